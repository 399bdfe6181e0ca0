"""What follows a delivery: receipts that move with their file, after-upload actions, signs of life."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from media_watch_tasks.model.identity import Fingerprint, Route, split, task_key
from media_watch_tasks.stores.relational.task_codec import json_of_ids
from media_watch_tasks.stores.relational.task_core import SUPERSEDED, TaskCore
from media_watch_tasks.stores.relational.task_names import Names
from media_watch_tasks.stores.relational.task_selection import RUNNING_IDS, WAITING_IDS

__all__ = ["TaskSequel"]

_LIVE_ASSETS = f"""
SELECT asset_id FROM task
WHERE id IN ({WAITING_IDS} UNION ALL {RUNNING_IDS}) AND route IN (SELECT value FROM json_each(?)) LIMIT ?
"""  # noqa: S608 - constants
_WAITING = "SELECT id FROM task WHERE route = ? AND asset_id = ? AND slot IN (0, 1) AND phase <> 4"
_LATEST = "SELECT id, size, mtime_ns FROM task WHERE route = ? AND asset_id = ? AND slot = 2"
_REPLACE = "UPDATE task SET slot = NULL, counted = NULL WHERE route = ? AND asset_id = ? AND slot = 2"
_MOVE = "UPDATE task SET asset_id = ?, key = ? WHERE id = ?"
_OWE = "INSERT INTO task_action VALUES (?, ?) ON CONFLICT (task_id) DO UPDATE SET action = excluded.action"
_OWED = """
SELECT a.task_id FROM task_action AS a JOIN task AS t ON t.id = a.task_id
WHERE t.route IN (SELECT value FROM json_each(?)) ORDER BY a.task_id LIMIT ?
"""
_IS_OWED = "SELECT 1 FROM task_action WHERE task_id = ?"
_DONE = "DELETE FROM task_action WHERE task_id = ?"
_UNFINISHED = """
SELECT id FROM task
WHERE phase = 5 AND resume_state IS NOT NULL AND route IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?
"""
_FINISHED = "UPDATE task SET resume_state = NULL WHERE id = ? AND phase = 5"
_DUE = """
SELECT min(due_ns) FROM (
    SELECT due_ns FROM task WHERE phase = 0 AND crashes < 2 AND lane IN (SELECT value FROM json_each(?1))
    UNION ALL SELECT due_ns FROM task WHERE phase = 0 AND crashes >= 2 AND lane IN (SELECT value FROM json_each(?1))
    UNION ALL SELECT due_ns FROM task WHERE phase = 1 AND lane IN (SELECT value FROM json_each(?1))
) AS due
"""
_DELIVERED = "SELECT max(updated_ns) FROM task WHERE phase = 5 AND state = 3 AND route = ?"


class TaskSequel:
    """`live_directories`, `move`, owed actions, unfinished uploads, `activity`. What writes needs a transaction."""

    def __init__(self, core: TaskCore) -> None:
        self._core = core

    def live_directories(self, source_id: str, *, limit: int) -> frozenset[bytes] | None:
        """See `TaskStore.live_directories`."""
        names = self._core.names.current()
        routes = [number for number, route in names.routes.items() if route.source_id == source_id]
        rows = self._core.database.execute(_LIVE_ASSETS, (json_of_ids(routes), limit + 1))
        return None if len(rows) > limit else frozenset(split(asset_id)[0] for (asset_id,) in rows)

    def move(self, route: Route, asset_id: bytes, to: bytes) -> int | None:
        """See `TaskStore.move`; the id of the task whose receipt moved."""
        execute = self._core.database.execute
        number = self._core.names.current().route_ids.get(route)
        if number is None:
            return None
        waiting = [row[0] for row in execute(_WAITING, (number, asset_id))]
        if waiting:
            self._core.end_waiting(waiting, SUPERSEDED)
        latest = execute(_LATEST, (number, asset_id))
        if not latest:
            return None
        task_id, size, mtime_ns = latest[0]
        execute(_REPLACE, (number, to))
        execute(_MOVE, (to, task_key(route, to, Fingerprint(size, mtime_ns)), task_id))
        return int(task_id)

    def owe(self, actions: Iterable[tuple[int, str]]) -> None:
        """Write the actions that deliveries owe: (task id, name)."""
        self._core.database.executemany(_OWE, list(actions))

    def pending_actions(self, routes: Sequence[Route], *, limit: int) -> list[int]:
        """See `TaskStore.pending_actions`; the ids."""
        numbers = self._core.names.current().ids_of(routes)
        return [row[0] for row in self._core.database.execute(_OWED, (json_of_ids(numbers), limit))]

    def is_owed(self, task_id: int) -> bool:
        """True while the action of the task is owed."""
        return bool(self._core.database.execute(_IS_OWED, (task_id,)))

    def finish_action(self, task_id: int) -> bool:
        """See `TaskStore.finish_action`."""
        return bool(self._core.database.write(_DONE, (task_id,)))

    def unfinished(self, routes: Sequence[Route], *, limit: int) -> list[int]:
        """See `TaskStore.unfinished`; the ids."""
        numbers = self._core.names.current().ids_of(routes)
        return [row[0] for row in self._core.database.execute(_UNFINISHED, (json_of_ids(numbers), limit))]

    def finish_unfinished(self, task_id: int) -> None:
        """See `TaskStore.finish_unfinished`."""
        self._core.database.execute(_FINISHED, (task_id,))

    def activity(self, names: Names, routes: Sequence[Route]) -> tuple[int | None, int | None]:
        """See `TaskStore.activity`."""
        execute = self._core.database.execute
        wanted = set(routes)
        lanes = json_of_ids([lane for lane, (route, _) in list(names.lanes.items()) if route in wanted])
        due = execute(_DUE, (lanes,))[0][0]
        delivered = [execute(_DELIVERED, (number,))[0][0] for number in names.ids_of(routes)]
        return due, max((when for when in delivered if when is not None), default=None)
