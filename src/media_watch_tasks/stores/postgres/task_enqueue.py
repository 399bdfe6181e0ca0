"""Enqueueing on PostgreSQL: one statement for assets that were never seen, the full look for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult, NewTask
from media_watch_tasks.stores.postgres.arrays import blobs, numbers, texts
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.driver_errors import RepeatableError, sqlstate_of
from media_watch_tasks.stores.postgres.gate import AloneNeededError
from media_watch_tasks.stores.postgres.task_core import PostgresTaskCore
from media_watch_tasks.stores.relational.task_enqueue import TaskEnqueue
from media_watch_tasks.stores.relational.task_names import LaneKey, Names

__all__ = ["PostgresTaskEnqueue"]

_STATE = """
SELECT names_version, ARRAY(SELECT nextval('task_id_seq') FROM generate_series(1, $1::bigint)) FROM task_store
"""
# Sorted by the unique key: two that write the same assets wait for each other, and never in a circle. One look at the
# index for each says that nothing is known: as a value, for a condition might be answered by reading all of the index.
_ADD_NEW = """
INSERT INTO task (id, route, asset_id, lane, phase, wait, priority, due_ns, size, mtime_ns, key, tags, enqueued_ns,
    live_since_ns, updated_ns, slot, begins, counted, state)
SELECT n.id, n.route, n.asset_id, n.lane, n.phase, n.wait, n.priority, n.due_ns, n.size, n.mtime_ns, n.key, n.tags,
    $12, $12, $12, 0, 0, 1, 0
FROM (
    SELECT coalesce(given.own_id, nextval('task_id_seq')) AS id, given.* FROM unnest(
        $1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::bytea[], $11::text[], $14::bigint[]
    ) AS given (route, asset_id, lane, phase, wait, priority, due_ns, size, mtime_ns, key, tags, own_id)
) AS n
WHERE (SELECT names_version FROM task_store) = $13
    AND (SELECT known.id FROM task AS known WHERE known.route = n.route AND known.asset_id = n.asset_id LIMIT 1) IS NULL
ORDER BY n.route, n.asset_id
RETURNING route, asset_id, id
"""
# All or none, for tasks that differ in nothing but their files.
_ADD_PLAIN = """
INSERT INTO task (id, route, lane, phase, wait, priority, asset_id, due_ns, size, mtime_ns, key, enqueued_ns,
    live_since_ns, updated_ns, slot, begins, counted, state)
SELECT n.id, $1, $2, $3, $4, $5, n.asset_id, n.due_ns, n.size, n.mtime_ns, n.key, $11, $11, $11, 0, 0, 1, 0
FROM (
    SELECT nextval('task_id_seq') AS id, given.*
    FROM unnest($6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[])
        AS given (asset_id, due_ns, size, mtime_ns, key)
) AS n
WHERE (SELECT names_version FROM task_store) = $12 AND NOT EXISTS (
    SELECT 1 FROM unnest($6::bytea[]) AS given (asset_id)
    WHERE (SELECT known.id FROM task AS known WHERE known.route = $1 AND known.asset_id = given.asset_id LIMIT 1) > 0
)
ORDER BY n.asset_id
RETURNING asset_id, id
"""
# The same for a single one: a third of the server's time.
_ADD_ONE = """
INSERT INTO task (route, lane, phase, wait, priority, asset_id, due_ns, size, mtime_ns, key, enqueued_ns,
    live_since_ns, updated_ns, slot, begins, counted, state)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11, 0, 0, 1, 0
WHERE (SELECT names_version FROM task_store) = $12
    AND NOT EXISTS (SELECT 1 FROM task AS known WHERE known.route = $1 AND known.asset_id = $6)
RETURNING asset_id, id
"""
# Nobody is told where nothing is added.
_AND_TELL = "WITH added AS ({}) SELECT asset_id, id, (SELECT pg_notify($13, '')) FROM added"
_ADD_PLAIN_AND_TELL, _ADD_ONE_AND_TELL = _AND_TELL.format(_ADD_PLAIN), _AND_TELL.format(_ADD_ONE)
_ADDED_BEFORE = """
SELECT task.asset_id, task.id FROM unnest($2::bytea[], $3::bytea[]) AS given (asset_id, key)
JOIN task ON task.route = $1 AND task.asset_id = given.asset_id AND task.key = given.key AND task.enqueued_ns = $4
"""
_UNIQUE_VIOLATION = "23505"

_Value = int | str | bytes | None
_Plain = tuple[_Value, ...]


class PostgresTaskEnqueue(TaskEnqueue):
    """`enqueue_if_absent`, and the task that a superseded one leaves behind. Needs a transaction, but for `at_once`."""

    _core: PostgresTaskCore

    def at_once(self, tasks: Sequence[NewTask]) -> Sequence[EnqueueResult] | None:
        """Enqueue in one trip to the server, outside of a transaction; None where that cannot be tried.

        Raises `AloneNeededError` where nothing was done, because some version of an asset is known.
        """
        names = self._core.names.latest_known()
        plain = self._plain(names, tasks)
        if plain is None:
            return None
        database = self._core.database
        try:
            if database.is_silent:
                add = _ADD_ONE if len(tasks) == 1 else _ADD_PLAIN
                added = database.at_once(add, (*plain, names.version))
            else:
                add = _ADD_ONE_AND_TELL if len(tasks) == 1 else _ADD_PLAIN_AND_TELL
                told = database.at_once(add, (*plain, names.version, database.channel))
                added = [(asset_id, task_id) for asset_id, task_id, _ in told]
                if added:
                    database.announced()
        except RepeatableError:
            # It was not done, or its answer was lost.
            found = database.run_alone(lambda: self._added_before(tasks, plain[0], plain[-1]))
            if found:
                return found
            raise AloneNeededError from None
        except Exception as error:
            if sqlstate_of(error) == _UNIQUE_VIOLATION:
                raise AloneNeededError from None
            raise
        if not added:
            raise AloneNeededError
        return _enqueued(tasks, added)

    def _enqueue_one(self, new: NewTask) -> EnqueueResult:
        return self._enqueue_distinct((new,))[0]

    def _enqueue_distinct(self, tasks: Sequence[NewTask]) -> list[EnqueueResult]:
        if not tasks:
            return []
        database = self._core.database
        names = self._core.names.latest_known()
        if not _lane_keys(names, tasks) <= names.lane_of.keys():
            names = self._core.names.current()
        plain = None if database.is_alone else self._plain(names, tasks)
        try:
            if plain is not None:
                add = _ADD_ONE if len(tasks) == 1 else _ADD_PLAIN
                added = database.execute(add, (*plain, names.version))
                if not added:
                    database.require_alone()
                return _enqueued(tasks, added)
            return self._enqueue_mixed(names, tasks)
        except Exception as error:
            # Another one has enqueued an asset since this statement began, as a user and a scan may at once.
            if sqlstate_of(error) == _UNIQUE_VIOLATION:
                database.require_alone()
            raise

    def _enqueue_mixed(self, names: Names, tasks: Sequence[NewTask]) -> list[EnqueueResult]:
        database = self._core.database
        rows = [row[:-1] for row in self._rows(names, tasks, 0)]
        ids = self._state(len(rows))[1] if database.is_alone else [None] * len(rows)
        values = (*_columns(rows), rows[0][11], names.version, numbers(ids))
        added = {row[:2]: row[2] for row in database.execute(_ADD_NEW, values)}
        if len(added) < len(rows):
            # Some version of an asset is known, or the small tables have changed since.
            database.require_alone()
            if names.version != self._core.names.current().version:
                return self._enqueue_distinct(tasks)
        results: list[EnqueueResult] = []
        tagged: list[tuple[int, NewTask]] = []
        for new, row, own_id in zip(tasks, rows, ids, strict=True):
            task_id = added.get(row[:2])
            if task_id is not None:
                results.append(EnqueueResult(EnqueueOutcome.ENQUEUED, task_id))
                tagged.append((task_id, new))
            elif own_id is not None:  # the first is no way past require_alone()
                results.append(self._enqueue_known(new, row, own_id))
        self._tag([pair for pair in tagged if pair[1].tags])
        return results

    def _plain(self, names: Names, tasks: Sequence[NewTask]) -> _Plain | None:
        """The parameters of `_ADD_PLAIN`, or `_ADD_ONE`, but for the version, where they can be used."""
        if not tasks or len({new.asset_id for new in tasks}) < len(tasks) or any(new.tags for new in tasks):
            return None
        if not _lane_keys(names, tasks) <= names.lane_of.keys():
            return None
        rows = self._rows(names, tasks, 0)
        if len(rows) == 1:
            ((route, asset_id, lane, phase, wait, priority, due, size, mtime, key, _, now, _),) = rows
            return (route, lane, phase, wait, priority, asset_id, due, size, mtime, key, now)
        routes, assets, lanes, phases, waits, priorities, dues, sizes, mtimes, keys, _, nows, _ = zip(
            *rows, strict=True
        )
        common: list[int | None] = []
        for column in (routes, lanes, phases, waits, priorities):
            first = column[0]
            if column.count(first) < len(column):
                return None
            common.append(first)
        return (*common, blobs(assets), numbers(dues), numbers(sizes), numbers(mtimes), blobs(keys), nows[0])

    def _added_before(self, tasks: Sequence[NewTask], route: _Value, now: _Value) -> list[EnqueueResult]:
        """What became of an attempt whose answer was lost: its results, or none. It is over: this one is alone.

        Its tasks are known by the time at which they were enqueued, in nanoseconds.
        """
        assets, keys = blobs([new.asset_id for new in tasks]), blobs([new.key for new in tasks])
        added = self._core.database.execute(_ADDED_BEFORE, (route, assets, keys, now))
        return _enqueued(tasks, added) if len(added) == len(tasks) else []

    def _state(self, count: int) -> tuple[int, Sequence[int]]:
        version, ids = self._core.database.execute(_STATE, (count,))[0]
        return version, ids


def _enqueued(tasks: Sequence[NewTask], added: Sequence[Row]) -> list[EnqueueResult]:
    ids: dict[bytes, int] = dict(added)
    return [EnqueueResult(EnqueueOutcome.ENQUEUED, ids[new.asset_id]) for new in tasks]


def _lane_keys(names: Names, tasks: Sequence[NewTask]) -> set[LaneKey]:
    if names.selectors:
        return {names.lane_key(new.route, new.constraints, new.asset_id, new.tags) for new in tasks}
    return {(new.route, new.constraints) for new in tasks}


def _columns(rows: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    routes, assets, lanes, phases, waits, priorities, dues, sizes, mtimes, keys, tags, _ = zip(*rows, strict=True)
    yield from (numbers(routes), blobs(assets), numbers(lanes), numbers(phases), numbers(waits), numbers(priorities))
    yield from (numbers(dues), numbers(sizes), numbers(mtimes), blobs(keys), texts(tags))
