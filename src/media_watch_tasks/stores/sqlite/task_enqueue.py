"""Enqueueing on SQLite: a short way for the new files of a folder, which mostly go to one place in the queue."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.identity import task_key
from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult, NewTask, WaitReason
from media_watch_tasks.stores.phases import Phase
from media_watch_tasks.stores.relational.task_codec import wait_number
from media_watch_tasks.stores.relational.task_database import Row
from media_watch_tasks.stores.relational.task_enqueue import TaskEnqueue
from media_watch_tasks.stores.relational.task_names import Names

__all__ = ["SqliteTaskEnqueue"]

_ADD_ALIKE = """
INSERT INTO task (
    route, asset_id, lane, phase, wait, priority, due_ns, size, mtime_ns, key, tags, enqueued_ns, live_since_ns,
    updated_ns, slot, begins, id, counted, state
)
VALUES ({route}, ?1, {lane}, {phase}, {wait}, ?2, ?3, ?4, ?5, ?6, NULL, ?7, ?7, ?7, 0, 0, ?8, 1, 0)
"""
_READY, _WAITING, _SETTLING = int(Phase.READY), int(Phase.WAITING), wait_number(WaitReason.SETTLING)
_new = tuple.__new__
"""Makes a named tuple of its values in order, at half the price of the class."""


class SqliteTaskEnqueue(TaskEnqueue):
    """`enqueue_if_absent`, and the task that a superseded one leaves behind. Every method needs a transaction."""

    def _enqueue_distinct(self, tasks: Sequence[NewTask]) -> list[EnqueueResult]:
        version, ids = self._state(len(tasks))
        names = self._core.names.at(version)
        added = not tasks[0].tags and not names.selectors and self._add_alike(names, tasks, ids[0])
        if not added:
            return super()._enqueue_distinct(tasks)
        enqueued = EnqueueOutcome.ENQUEUED
        return [_new(EnqueueResult, (enqueued, task_id)) for task_id in ids]

    def _add_alike(self, names: Names, tasks: Sequence[NewTask], task_id: int) -> bool:
        """Add them, with ids from this one on, if all are new and go to the place of the first; else none.

        What they share stands in the statement, and the rows hold no None and no bytes: either costs the driver a
        look-up of its adapters, as much as three numbers.
        """
        route, _, _, due_ns, _, _, constraints, _ = tasks[0]
        route_id, lane_id = self._core.names.lane(names, (route, constraints))
        now = self._core.clock.now_ns()
        waits = due_ns > now
        rows: list[Row] = []
        for its_route, asset_id, fingerprint, due_ns, priority, tags, its_constraints, _ in tasks:
            if its_route != route or tags or its_constraints != constraints or (due_ns > now) is not waits:
                return False
            key = bytearray(task_key(route, asset_id, fingerprint))
            rows.append((bytearray(asset_id), priority, due_ns, *fingerprint, key, now, task_id))
            task_id += 1
        if self._known_of(route_id, [new[1] for new in tasks]):
            return False
        phase, wait = (_WAITING, _SETTLING) if waits else (_READY, "NULL")
        statement = _ADD_ALIKE.format(route=route_id, lane=lane_id, phase=phase, wait=wait)
        self._core.database.executemany(statement, rows)
        return True
