"""The tables of the task store, as version 1 of the schema has them.

What made this shape, each measured (tests/benchmarks/bench_queue.py):

* a phase of its own for each way to stand in the queue, and a partial index for each: tasks that have ended, wait, are
  held or run are in nobody's way when the next one is looked for;
* a lane for each combination of route, constraints and labels: blocked tasks are never walked over;
* `slot` in one index over (route, asset_id), which serves every question about an asset and enforces what must be
  unique: a claim does not touch that index, and a settlement touches one page of it;
* receipts in a table of their own: task rows keep their size, so their pages are never split.

The key needs no index of its own to be unique among live tasks: it is a digest of route, asset and fingerprint, and of
one asset at most two tasks are live (slots 0 and 1), which `enqueue_if_absent` keeps apart.

Texts are written by `text_codec`; times are UTC nanoseconds, except for `lease_end`, which the boot clock measures.
"""

from __future__ import annotations

__all__ = ["TASK_SCHEMA"]

TASK_SCHEMA: tuple[str, ...] = (
    # One row. `purged_id`: the highest id that was ever purged, so that no id is used again. `names_version`: a random
    # number that changes with routes, lanes, boots and pauses, so that processes may keep those in memory.
    """
    CREATE TABLE task_store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        purged_id INTEGER NOT NULL,
        names_version INTEGER NOT NULL
    )
    """,
    "INSERT INTO task_store VALUES (1, 0, 0)",
    """
    CREATE TABLE task_route (
        id INTEGER PRIMARY KEY,
        source_id TEXT NOT NULL,
        destination_id TEXT NOT NULL,
        UNIQUE (source_id, destination_id)
    )
    """,
    # `constraints`: a sorted JSON array of their names; `labels`: one of kinds and tags, see `relational.labels`.
    """
    CREATE TABLE task_lane (
        id INTEGER PRIMARY KEY,
        route INTEGER NOT NULL,
        constraints TEXT NOT NULL,
        labels TEXT NOT NULL,
        UNIQUE (route, constraints, labels)
    )
    """,
    # The labels that workers have asked for: JSON strings (ASCII).
    "CREATE TABLE task_selector (label TEXT PRIMARY KEY) WITHOUT ROWID",
    # The boots of this machine, so that a lease names one by a small number. A later boot has a higher one.
    "CREATE TABLE task_boot (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE)",
    # `host`: the machine and boot (or container) in which the worker's lock file can be tried.
    """
    CREATE TABLE task_worker (
        id INTEGER PRIMARY KEY,
        worker_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        host TEXT NOT NULL,
        registered_ns INTEGER NOT NULL,
        ended INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
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
    """,
    # phase: `stores.phases.Phase`; state, wait: `task_codec`. slot: 0 the live task of an asset, 1 the one behind it,
    # 2 the latest delivered one, NULL history. counted: 1 where slot is not NULL; unlike slot it does not change on the
    # way from live to delivered, nor does the index on it. begins: how many times work on this key has begun.
    # worker, token: of the latest claim.
    """
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
    )
    """,
    "CREATE UNIQUE INDEX task_asset ON task (route, asset_id, slot)",
    # The columns behind the id answer `floor` and `counts` from the index alone.
    """
    CREATE INDEX task_ready ON task (lane, priority DESC, due_ns, id, token, worker, state)
    WHERE phase = 0 AND crashes < 2
    """,
    """
    CREATE INDEX task_suspect ON task (lane, priority DESC, due_ns, id, token, worker, state)
    WHERE phase = 0 AND crashes >= 2
    """,
    "CREATE INDEX task_waiting ON task (lane, due_ns, state) WHERE phase = 1",
    "CREATE INDEX task_backoff ON task (lane, priority DESC, due_ns, id, token, worker) WHERE phase = 1 AND wait = 1",
    "CREATE INDEX task_held ON task (lane, state) WHERE phase = 2",
    "CREATE INDEX task_behind ON task (lane, state) WHERE phase = 3",
    "CREATE INDEX task_running ON task (boot, lease_end, worker, lane) WHERE phase = 4",
    "CREATE INDEX task_asked_to_stop ON task (worker) WHERE phase = 4 AND cancel_reason IS NOT NULL",
    "CREATE INDEX task_ended ON task (route, state, updated_ns) WHERE phase = 5",
    # What cut-off uploads left at the destination.
    "CREATE INDEX task_unfinished ON task (route) WHERE phase = 5 AND resume_state IS NOT NULL",
    "CREATE INDEX task_size ON task (route, size) WHERE counted = 1",
    # tag: a JSON string (ASCII). Tags of ended tasks stay until those are purged.
    "CREATE TABLE task_tag (tag TEXT NOT NULL, task_id INTEGER NOT NULL, PRIMARY KEY (tag, task_id)) WITHOUT ROWID",
    # sha256: 32 bytes where it is lowercase hex, else the text as given.
    """
    CREATE TABLE task_receipt (
        task_id INTEGER PRIMARY KEY,
        remote_id TEXT,
        size INTEGER,
        sha256 BLOB,
        etag TEXT,
        verified INTEGER NOT NULL,
        deduplicated INTEGER NOT NULL,
        details TEXT
    )
    """,
    "CREATE INDEX task_receipt_sha256 ON task_receipt (sha256) WHERE sha256 IS NOT NULL AND deduplicated = 0",
    # After-upload actions that are owed.
    "CREATE TABLE task_action (task_id INTEGER PRIMARY KEY, action TEXT NOT NULL)",
    # A reservation counts only while its task runs with its token.
    """
    CREATE TABLE content_reservation (
        task_id INTEGER PRIMARY KEY,
        token INTEGER NOT NULL,
        destination_id TEXT NOT NULL,
        sha256 BLOB NOT NULL
    )
    """,
)
"""Statements that create the tables and indices, in order."""
