"""Questions about tasks: lists, counts, due times, interrupts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Interrupt, Pause
from media_watch_tasks.model.tasks import ClaimRef, Task, TaskSelection, TaskState
from media_watch_tasks.stores.relational.task_codec import STATES, TASK_COLUMNS, tags_from_sql, task_from_row
from media_watch_tasks.stores.relational.task_core import TaskCore
from media_watch_tasks.stores.relational.task_database import Row
from media_watch_tasks.stores.relational.task_names import Names
from media_watch_tasks.stores.relational.task_selection import conditions

__all__ = ["TaskQueries"]

_TASKS = f"SELECT {TASK_COLUMNS} FROM task AS t LEFT JOIN task_receipt AS r ON r.task_id = t.id WHERE "  # noqa: S608 - a constant
_LATEST = _TASKS + "t.slot = 2 AND t.route = ? AND {assets}"
# Each line reads one partial index, and nothing but it.
_COUNTS = """
SELECT lane, {none}, state, count(*) FROM task WHERE phase = 0 AND crashes < 2 GROUP BY lane, state
UNION ALL SELECT lane, {none}, state, count(*) FROM task WHERE phase = 0 AND crashes >= 2 GROUP BY lane, state
UNION ALL SELECT lane, {none}, state, count(*) FROM task WHERE phase = 1 GROUP BY lane, state
UNION ALL SELECT lane, {none}, state, count(*) FROM task WHERE phase = 2 GROUP BY lane, state
UNION ALL SELECT lane, {none}, state, count(*) FROM task WHERE phase = 3 GROUP BY lane, state
UNION ALL SELECT lane, {none}, 2, count(*) FROM task WHERE phase = 4 GROUP BY lane
UNION ALL SELECT {none}, route, state, count(*) FROM task WHERE phase = 5 GROUP BY route, state
""".replace("{none}", "CAST(NULL AS BIGINT)")
_DUE = "SELECT min(due_ns) FROM task WHERE phase = 1 AND lane = ? AND due_ns > ?"
_HELD_BY = "SELECT id, token, cancel_reason IS NOT NULL, lane, tags FROM task WHERE phase = 4 AND worker = ?"
_ASKED_TO_STOP = "SELECT id, token FROM task WHERE phase = 4 AND cancel_reason IS NOT NULL AND worker = ?"
_PORTION = 10_000


class TaskQueries:
    """`tasks`, `delivered`, `counts`, `next_due_ns`, `interrupts`, `pauses`. They write nothing."""

    def __init__(self, core: TaskCore) -> None:
        self._core = core

    def tasks(self, selection: TaskSelection, *, limit: int, after_id: int) -> list[Task]:
        """See `TaskStore.tasks`."""
        if limit < 1:
            return []
        names = self._core.names.current()
        rows = [
            row
            for condition, params in conditions(selection, names, self._core.database.one_of)
            for row in self._core.database.execute(
                f"{_TASKS} {condition} AND t.id > ? ORDER BY t.id LIMIT ?", (*params, after_id, limit)
            )
        ]
        # Several conditions (thousands of keys) give several ordered lists.
        rows.sort(key=lambda row: int(row[0]))
        return self._as_tasks(names, rows[:limit])

    def delivered(self, route: Route, asset_ids: Sequence[bytes]) -> list[Task | None]:
        """See `TaskStore.delivered`."""
        names = self._core.names.current()
        route_id = names.route_ids.get(route)
        if route_id is None:
            return [None] * len(asset_ids)
        wanted = sorted(set(asset_ids))
        found: dict[bytes, Task] = {}
        for start in range(0, len(wanted), _PORTION):
            portion = wanted[start : start + _PORTION]
            assets, values = self._core.database.one_of("t.asset_id", portion)
            rows = self._core.database.execute(_LATEST.format(assets=assets), (route_id, *values))
            for task in self._as_tasks(names, rows):
                found[task.asset_id] = task
        return [found.get(asset_id) for asset_id in asset_ids]

    def counts(self, routes: Sequence[Route] | None) -> dict[TaskState, int]:
        """See `TaskStore.counts`."""
        found = dict.fromkeys(TaskState, 0)
        rows = self._core.database.execute(_COUNTS)
        names = self._core.names.current()
        wanted = None if routes is None else set(routes)
        for lane, route_id, state, number in rows:
            route = names.lanes[lane][0] if lane is not None else names.routes[route_id]
            if wanted is None or route in wanted:
                found[STATES[state]] += number
        return found

    def next_due_ns(self, names: Names, routes: Iterable[Route]) -> int | None:
        """See `TaskStore.next_due_ns`."""
        wanted = set(routes)
        lanes = [lane for lane, (route, _) in list(names.lanes.items()) if route in wanted]
        now = self._core.clock.now_ns()
        dues = [self._core.database.execute(_DUE, (lane, now))[0][0] for lane in lanes]
        return min((due for due in dues if due is not None), default=None)

    def interrupts(self, worker: int) -> list[Interrupt]:
        """See `TaskStore.interrupts`."""
        execute = self._core.database.execute
        names = self._core.names.current()
        if not names.pauses:
            return [Interrupt(ClaimRef(*row), paused=False) for row in execute(_ASKED_TO_STOP, (worker,))]
        now = self._core.clock.now_ns()
        held = names.pauses.held_tags(now)
        found = []
        for task_id, token, asked, lane, tags in execute(_HELD_BY, (worker,)):
            paused = names.pauses.stops(names.lanes[lane][0], now) or not held.isdisjoint(tags_from_sql(tags))
            if asked or paused:
                found.append(Interrupt(ClaimRef(task_id, token), paused=not asked))
        return found

    def pauses(self) -> Sequence[Pause]:
        """See `TaskStore.pauses`."""
        return self._core.names.current().pauses.listed(self._core.clock.now_ns())

    def _as_tasks(self, names: Names, rows: Iterable[Row]) -> list[Task]:
        now = self._core.clock.now_ns()
        held = names.pauses.held_tags(now)
        return [task_from_row(row, lanes=names.lanes, now_ns=now, held_tags=held) for row in rows]
