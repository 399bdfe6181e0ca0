"""Enqueueing on PostgreSQL: one statement for all assets that were never seen, the full look for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult, NewTask
from media_watch_tasks.stores.postgres.arrays import blobs, numbers, texts
from media_watch_tasks.stores.postgres.driver_errors import sqlstate_of
from media_watch_tasks.stores.relational.task_enqueue import TaskEnqueue
from media_watch_tasks.stores.relational.task_names import LaneKey, Names

__all__ = ["PostgresTaskEnqueue"]

_STATE = """
SELECT names_version, ARRAY(SELECT nextval('task_id_seq') FROM generate_series(1, $1::bigint)) FROM task_store
"""
# Sorted by the unique key: two that write the same assets wait for each other, and never in a circle.
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
    AND NOT EXISTS (SELECT 1 FROM task AS known WHERE known.route = n.route AND known.asset_id = n.asset_id)
ORDER BY n.route, n.asset_id
RETURNING route, asset_id, id
"""
_UNIQUE_VIOLATION = "23505"


class PostgresTaskEnqueue(TaskEnqueue):
    """`enqueue_if_absent`, and the task that a superseded one leaves behind. Every method needs a transaction."""

    def _enqueue_one(self, new: NewTask) -> EnqueueResult:
        return self._enqueue_distinct((new,))[0]

    def _enqueue_distinct(self, tasks: Sequence[NewTask]) -> list[EnqueueResult]:
        if not tasks:
            return []
        database = self._core.database
        names = self._core.names.latest_known()
        if not _lane_keys(names, tasks) <= names.lane_of.keys():
            names = self._core.names.current()
        rows = [row[:-1] for row in self._rows(names, tasks, 0)]
        ids = self._state(len(rows))[1] if database.is_alone else [None] * len(rows)
        values = (*_columns(rows), rows[0][11], names.version, numbers(ids))
        try:
            added = {row[:2]: row[2] for row in database.execute(_ADD_NEW, values)}
        except Exception as error:
            # Another one has enqueued an asset since this statement began, as a user and a scan may at once.
            if sqlstate_of(error) == _UNIQUE_VIOLATION:
                database.require_alone()
            raise
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

    def _state(self, count: int) -> tuple[int, Sequence[int]]:
        version, ids = self._core.database.execute(_STATE, (count,))[0]
        return version, ids


def _lane_keys(names: Names, tasks: Sequence[NewTask]) -> set[LaneKey]:
    if names.selectors:
        return {names.lane_key(new.route, new.constraints, new.asset_id, new.tags) for new in tasks}
    return {(new.route, new.constraints) for new in tasks}


def _columns(rows: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    routes, assets, lanes, phases, waits, priorities, dues, sizes, mtimes, keys, tags, _ = zip(*rows, strict=True)
    yield from (numbers(routes), blobs(assets), numbers(lanes), numbers(phases), numbers(waits), numbers(priorities))
    yield from (numbers(dues), numbers(sizes), numbers(mtimes), blobs(keys), texts(tags))
