PRAGMA application_id = 1836545073;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE absent_asset (
        source INTEGER NOT NULL,
        directory INTEGER NOT NULL,
        name BLOB NOT NULL,
        scan INTEGER NOT NULL,
        PRIMARY KEY (source, directory, name)
    ) WITHOUT ROWID
    ;
INSERT INTO "absent_asset" VALUES(1,1,X'62',7);
INSERT INTO "absent_asset" VALUES(2,3,X'62',7);
CREATE TABLE asset (
        directory INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        file_id,
        unchanged_since_ns INTEGER NOT NULL,
        first_seen_ns INTEGER NOT NULL,
        missing_since_ns INTEGER,
        baseline INTEGER NOT NULL DEFAULT 0,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (directory, name)
    ) WITHOUT ROWID
    ;
INSERT INTO "asset" VALUES(1,X'61',1001,1700000000000000001,X'00FFFFFFFFFFFFFFFF',1767268800000000000,1767268800000000000,NULL,0,10);
INSERT INTO "asset" VALUES(1,X'62',1001,1700000000000000001,X'00FFFFFFFFFFFFFFFF',1767268800000000000,1767268800000000000,NULL,0,2);
INSERT INTO "asset" VALUES(1,X'63',1001,1700000000000000001,X'00FFFFFFFFFFFFFFFF',1767268800000000000,1767268800000000000,1767268800000000000,0,9);
INSERT INTO "asset" VALUES(2,X'FF',1001,1700000000000000001,NULL,1767268800000000000,1767268800000000000,NULL,0,4);
INSERT INTO "asset" VALUES(3,X'61',1001,1700000000000000001,X'00FFFFFFFFFFFFFFFF',1767268800000000000,1767268800000000000,NULL,1,5);
INSERT INTO "asset" VALUES(3,X'62',1001,1700000000000000001,X'00FFFFFFFFFFFFFFFF',1767268800000000000,1767268800000000000,NULL,1,6);
INSERT INTO "asset" VALUES(4,X'FF',1001,1700000000000000001,NULL,1767268800000000000,1767268800000000000,NULL,0,8);
INSERT INTO "asset" VALUES(5,X'63',1001,1700000000000000001,NULL,1767268800000000000,1767268800000000000,NULL,1,12);
CREATE TABLE asset_removed (
        source INTEGER NOT NULL,
        path BLOB NOT NULL,
        name BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (source, path, name)
    ) WITHOUT ROWID
    ;
INSERT INTO "asset_removed" VALUES(2,X'64',X'63',11);
CREATE TABLE change_bookmark (reader TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "change_bookmark" VALUES('reader','{"sequence": 3}');
CREATE TABLE change_sequence (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL);
INSERT INTO "change_sequence" VALUES(1,12);
CREATE TABLE content_reservation (
        task_id INTEGER PRIMARY KEY,
        token INTEGER NOT NULL,
        destination_id TEXT NOT NULL,
        sha256 BLOB NOT NULL
    );
CREATE TABLE directory (
        id INTEGER PRIMARY KEY,
        source INTEGER NOT NULL,
        path BLOB NOT NULL,
        listed INTEGER NOT NULL DEFAULT 0,
        digest BLOB,
        UNIQUE (source, path)
    );
INSERT INTO "directory" VALUES(1,1,X'64',1,X'2083D6355D8959D48E0E806729345295');
INSERT INTO "directory" VALUES(2,1,X'',0,NULL);
INSERT INTO "directory" VALUES(3,2,X'64',1,X'2083D6355D8959D48E0E806729345295');
INSERT INTO "directory" VALUES(4,2,X'',0,NULL);
INSERT INTO "directory" VALUES(5,2,X'65',0,X'52A32D3618C373DCF58B1899DFB656B2');
CREATE TABLE directory_listing (
        directory INTEGER PRIMARY KEY,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        file_id,
        since_ns INTEGER NOT NULL,
        trusted INTEGER NOT NULL,
        children BLOB NOT NULL
    );
INSERT INTO "directory_listing" VALUES(2,1,2,X'00FFFFFFFFFFFFFFFF',3600000000000,0,X'65');
INSERT INTO "directory_listing" VALUES(4,1,2,X'00FFFFFFFFFFFFFFFF',3600000000000,0,X'65');
CREATE TABLE metadata (
        directory INTEGER NOT NULL,
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (directory, name)
    );
INSERT INTO "metadata" VALUES(1,X'61',1001,1700000000000000001,'{"confidence": "exact", "container": "mov", "duration": 12.5, "transient": false}');
CREATE TABLE owed_directory (
        source INTEGER NOT NULL,
        path BLOB NOT NULL,
        PRIMARY KEY (source, path)
    ) WITHOUT ROWID
    ;
INSERT INTO "owed_directory" VALUES(1,X'6F77656400FF');
CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        source_id TEXT NOT NULL UNIQUE,
        baseline TEXT NOT NULL DEFAULT 'none',
        destinations TEXT NOT NULL DEFAULT '[]',
        identity_strong TEXT,
        identity_weak TEXT,
        identity_stable INTEGER,
        filter_spec TEXT,
        checkpoint TEXT,
        scans INTEGER NOT NULL DEFAULT 0,
        last_complete_ns INTEGER,
        last_full_ns INTEGER,
        scans_since_full INTEGER NOT NULL DEFAULT 0,
        stamps_lie INTEGER NOT NULL DEFAULT 0,
        quarantine TEXT,
        quarantine_scan INTEGER,
        scan_token INTEGER NOT NULL DEFAULT 0,
        scan_held INTEGER NOT NULL DEFAULT 0,
        scan_owner TEXT,
        scan_boot_id TEXT,
        scan_ends_boot_ns INTEGER
    );
INSERT INTO "source" VALUES(1,'camera','complete','["archive"]','uuid:1','dev:2',1,'filter','checkpoint',7,3600000000000,3600000000000,3,1,'half of it is gone',7,1,0,'scanner','00000000-0000-0000-0000-000000000001',8600000000000);
INSERT INTO "source" VALUES(2,'phone','none','[]',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,0,0,NULL,NULL,1,0,'scanner','00000000-0000-0000-0000-000000000001',8600000000000);
CREATE TABLE sync_mark (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL);
INSERT INTO "sync_mark" VALUES(1,2);
CREATE TABLE task (
        id INTEGER PRIMARY KEY,
        phase INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        route INTEGER NOT NULL,
        slot INTEGER,
        counted INTEGER,
        state INTEGER NOT NULL,
        wait INTEGER,
        priority INTEGER NOT NULL,
        due_ns INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        begins INTEGER NOT NULL DEFAULT 0,
        begun INTEGER NOT NULL DEFAULT 0,
        token INTEGER NOT NULL DEFAULT 0,
        worker INTEGER,
        boot INTEGER,
        lease_end INTEGER,
        cancel_reason TEXT,
        enqueued_ns INTEGER NOT NULL,
        live_since_ns INTEGER NOT NULL,
        updated_ns INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        key BLOB NOT NULL,
        asset_id BLOB NOT NULL,
        tags TEXT,
        reason TEXT,
        error TEXT,
        resume_state TEXT,
        progress TEXT,
        CHECK (CASE phase WHEN 3 THEN slot IS 1 WHEN 5 THEN slot IS NULL OR slot IS 2 ELSE slot IS 0 END),
        CHECK ((slot IS NULL) = (counted IS NULL))
    );
INSERT INTO "task" VALUES(1,5,1,1,2,1,3,NULL,0,0,1,0,1,0,1,1,1,8600000000000,NULL,1767268800000000000,1767268800000000000,1767268800000000000,1001,1700000000000000001,X'A6C84DFB862348305E8517C5983199A5E265A01FFFF8ED43B408A67B98D33DEE',X'642F61','["t"]',NULL,NULL,NULL,NULL);
INSERT INTO "task" VALUES(2,0,1,1,0,1,1,NULL,0,3600000000000,1,0,1,0,1,1,1,8600000000000,NULL,1767268800000000000,1767268800000000000,1767268800000000000,1001,1700000000000000001,X'7A460F585C5204DD5FBE15D5B242D9AA609A16AD909EB927B7D32C5B46A49C71',X'642F62','["t"]',NULL,'no route to host',NULL,NULL);
INSERT INTO "task" VALUES(3,0,1,1,0,1,0,NULL,0,0,0,0,0,0,0,NULL,NULL,NULL,NULL,1767268800000000000,1767268800000000000,1767268800000000000,1001,1700000000000000001,X'40E11A5BB8973CB4934D846252EC3E1023A9843324C11ECBE20A18C2382EB091',X'FF','["t"]',NULL,NULL,NULL,NULL);
CREATE TABLE task_action (task_id INTEGER PRIMARY KEY, action TEXT NOT NULL);
CREATE TABLE task_boot (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE);
INSERT INTO "task_boot" VALUES(1,'00000000-0000-0000-0000-000000000001');
CREATE TABLE task_lane (
        id INTEGER PRIMARY KEY,
        route INTEGER NOT NULL,
        constraints TEXT NOT NULL,
        labels TEXT NOT NULL,
        UNIQUE (route, constraints, labels)
    );
INSERT INTO "task_lane" VALUES(1,1,'[]','[]');
CREATE TABLE task_pause (
        scope TEXT NOT NULL,
        value TEXT NOT NULL,
        until_ns INTEGER,
        reason TEXT NOT NULL,
        automatic INTEGER NOT NULL,
        rounds INTEGER NOT NULL,
        task_id INTEGER,
        PRIMARY KEY (scope, value)
    ) WITHOUT ROWID
    ;
CREATE TABLE task_receipt (
        task_id INTEGER PRIMARY KEY,
        remote_id TEXT,
        size INTEGER,
        sha256 BLOB,
        etag TEXT,
        verified INTEGER NOT NULL,
        deduplicated INTEGER NOT NULL,
        details TEXT
    );
INSERT INTO "task_receipt" VALUES(1,'there',NULL,NULL,NULL,0,0,NULL);
CREATE TABLE task_route (
        id INTEGER PRIMARY KEY,
        source_id TEXT NOT NULL,
        destination_id TEXT NOT NULL,
        UNIQUE (source_id, destination_id)
    );
INSERT INTO "task_route" VALUES(1,'camera','archive');
CREATE TABLE task_selector (label TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE task_store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        purged_id INTEGER NOT NULL,
        names_version INTEGER NOT NULL
    );
INSERT INTO "task_store" VALUES(1,0,952027910007029427);
CREATE TABLE task_tag (tag TEXT NOT NULL, task_id INTEGER NOT NULL, PRIMARY KEY (tag, task_id)) WITHOUT ROWID;
INSERT INTO "task_tag" VALUES('"t"',1);
INSERT INTO "task_tag" VALUES('"t"',2);
INSERT INTO "task_tag" VALUES('"t"',3);
CREATE TABLE task_worker (
        id INTEGER PRIMARY KEY,
        worker_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        host TEXT NOT NULL,
        registered_ns INTEGER NOT NULL,
        ended INTEGER NOT NULL DEFAULT 0
    );
INSERT INTO "task_worker" VALUES(1,'worker','worker','host',1767268800000000000,1);
CREATE INDEX asset_version ON asset (mtime_ns, size);
CREATE INDEX asset_sequence ON asset (sequence);
CREATE INDEX asset_removed_sequence ON asset_removed (sequence);
CREATE TRIGGER asset_changed AFTER UPDATE OF directory, name, size, mtime_ns, missing_since_ns ON asset BEGIN
        UPDATE directory SET digest = NULL WHERE id IN (old.directory, new.directory) AND digest IS NOT NULL;
    END;
CREATE TRIGGER asset_deleted AFTER DELETE ON asset BEGIN
        UPDATE directory SET digest = NULL WHERE id = old.directory AND digest IS NOT NULL;
    END;
CREATE UNIQUE INDEX task_asset ON task (route, asset_id, slot);
CREATE INDEX task_ready ON task (lane, priority DESC, due_ns, id, token, worker, state)
    WHERE phase = 0 AND crashes < 2
    ;
CREATE INDEX task_suspect ON task (lane, priority DESC, due_ns, id, token, worker, state)
    WHERE phase = 0 AND crashes >= 2
    ;
CREATE INDEX task_waiting ON task (lane, due_ns, state) WHERE phase = 1;
CREATE INDEX task_backoff ON task (lane, priority DESC, due_ns, id, token, worker) WHERE phase = 1 AND wait = 1;
CREATE INDEX task_held ON task (lane, state) WHERE phase = 2;
CREATE INDEX task_behind ON task (lane, state) WHERE phase = 3;
CREATE INDEX task_running ON task (boot, lease_end, worker, lane) WHERE phase = 4;
CREATE INDEX task_asked_to_stop ON task (worker) WHERE phase = 4 AND cancel_reason IS NOT NULL;
CREATE INDEX task_ended ON task (route, state, updated_ns) WHERE phase = 5;
CREATE INDEX task_unfinished ON task (route) WHERE phase = 5 AND resume_state IS NOT NULL;
CREATE INDEX task_size ON task (route, size) WHERE counted = 1;
CREATE INDEX task_receipt_sha256 ON task_receipt (sha256) WHERE sha256 IS NOT NULL AND deduplicated = 0;
COMMIT;
