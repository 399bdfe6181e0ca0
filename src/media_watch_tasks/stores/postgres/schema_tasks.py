"""The tables of the task store, as version 1 of the schema has them.

They are those of the SQLite stores, where their shape is reasoned and measured: a phase of its own for each way to
stand in the queue and a partial index for each, a lane for each combination of route and constraints, `slot` in one
unique index over (route, asset_id). What differs: ids come from identity columns, and the queue's tables are cleaned
early, for a claim walks over the remains of earlier versions of rows until that has been done.

Times are UTC nanoseconds, `lease_end` by the clock that the stores were given.
"""

from __future__ import annotations

__all__ = ["TASK_SCHEMA"]

_CLEANED_EARLY = """
WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)
"""

TASK_SCHEMA: tuple[str, ...] = (
    # One row. `names_version`: a random number that changes with routes, lanes, boots and pauses, so that processes may
    # keep those in memory.
    "CREATE TABLE task_store (id BIGINT PRIMARY KEY CHECK (id = 1), names_version BIGINT NOT NULL)",
    "INSERT INTO task_store VALUES (1, 0)",
    """
    CREATE TABLE task_route (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source_id TEXT NOT NULL,
        destination_id TEXT NOT NULL,
        UNIQUE (source_id, destination_id)
    )
    """,
    # `constraints`: a sorted JSON array of their names.
    """
    CREATE TABLE task_lane (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        route BIGINT NOT NULL,
        constraints TEXT NOT NULL,
        UNIQUE (route, constraints)
    )
    """,
    # The names that the clock of the leases had, so that a lease names one by a small number.
    "CREATE TABLE task_boot (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE)",
    # `session`: the start of the server during which the worker's lock was taken: see `presence`.
    """
    CREATE TABLE task_worker (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        worker_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        session TEXT NOT NULL,
        registered_ns BIGINT NOT NULL,
        ended BIGINT NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE task_pause (
        scope TEXT NOT NULL,
        value TEXT NOT NULL,
        until_ns BIGINT,
        reason TEXT NOT NULL,
        automatic BIGINT NOT NULL,
        rounds BIGINT NOT NULL,
        task_id BIGINT,
        PRIMARY KEY (scope, value)
    )
    """,
    # phase: `stores.phases.Phase`; state, wait: `task_codec`. slot: 0 the live task of an asset, 1 the one behind it,
    # 2 the latest delivered one, NULL history. counted: 1 where slot is not NULL; unlike slot it does not change on the
    # way from live to delivered. begins: how many times work on this key has begun. worker, token: of the latest claim.
    f"""
    CREATE TABLE task (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        lane BIGINT NOT NULL,
        route BIGINT NOT NULL,
        due_ns BIGINT NOT NULL,
        token BIGINT NOT NULL DEFAULT 0,
        worker BIGINT,
        boot BIGINT,
        lease_end BIGINT,
        enqueued_ns BIGINT NOT NULL,
        live_since_ns BIGINT NOT NULL,
        updated_ns BIGINT NOT NULL,
        size BIGINT NOT NULL,
        mtime_ns BIGINT NOT NULL,
        priority BIGINT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        begins INTEGER NOT NULL DEFAULT 0,
        phase SMALLINT NOT NULL,
        slot SMALLINT,
        counted SMALLINT,
        state SMALLINT NOT NULL,
        wait SMALLINT,
        begun SMALLINT NOT NULL DEFAULT 0,
        key BYTEA NOT NULL,
        asset_id BYTEA NOT NULL,
        cancel_reason TEXT,
        tags TEXT,
        reason TEXT,
        error TEXT,
        resume_state TEXT,
        progress TEXT,
        CHECK (
            CASE phase WHEN 3 THEN slot IS NOT DISTINCT FROM 1 WHEN 5 THEN slot IS NULL OR slot = 2
            ELSE slot IS NOT DISTINCT FROM 0 END
        ),
        CHECK ((slot IS NULL) = (counted IS NULL))
    ) {_CLEANED_EARLY}
    """,
    "CREATE UNIQUE INDEX task_asset ON task (route, asset_id, slot)",
    """
    CREATE INDEX task_ready ON task (lane, priority DESC, due_ns, id) WHERE phase = 0 AND crashes < 2
    """,
    """
    CREATE INDEX task_suspect ON task (lane, priority DESC, due_ns, id) WHERE phase = 0 AND crashes >= 2
    """,
    "CREATE INDEX task_waiting ON task (lane, due_ns) WHERE phase = 1",
    "CREATE INDEX task_backoff ON task (lane, priority DESC, due_ns, id) WHERE phase = 1 AND wait = 1",
    "CREATE INDEX task_held ON task (lane) WHERE phase = 2",
    "CREATE INDEX task_behind ON task (lane) WHERE phase = 3",
    "CREATE INDEX task_running ON task (boot, lease_end) WHERE phase = 4",
    "CREATE INDEX task_ended ON task (route, state, updated_ns) WHERE phase = 5",
    "CREATE INDEX task_size ON task (route, size) WHERE counted = 1",
    # tag: a JSON string (ASCII). Tags of ended tasks stay until those are purged.
    "CREATE TABLE task_tag (tag TEXT NOT NULL, task_id BIGINT NOT NULL, PRIMARY KEY (tag, task_id))",
    """
    CREATE TABLE task_receipt (
        task_id BIGINT PRIMARY KEY,
        remote_id TEXT,
        size BIGINT,
        sha256 TEXT,
        etag TEXT,
        verified SMALLINT NOT NULL,
        deduplicated SMALLINT NOT NULL,
        details TEXT
    )
    """,
    "CREATE INDEX task_receipt_sha256 ON task_receipt (sha256) WHERE sha256 IS NOT NULL AND deduplicated = 0",
    # After-upload actions that are owed.
    "CREATE TABLE task_action (task_id BIGINT PRIMARY KEY, action TEXT NOT NULL)",
    # A reservation counts only while its task runs with its token.
    """
    CREATE TABLE content_reservation (
        task_id BIGINT PRIMARY KEY,
        token BIGINT NOT NULL,
        destination_id TEXT NOT NULL,
        sha256 TEXT NOT NULL
    )
    """,
)
"""Statements that create the tables and indices, in order."""
