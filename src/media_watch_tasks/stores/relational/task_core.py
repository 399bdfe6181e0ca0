"""What the parts of the SQLite task store share: the database, the clock, the small tables, and the moves of a task.

A move takes tasks from one place of the state machine to another (`stores.memory.task_book` spells it out): one
statement for any number of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.phases import Phase
from media_watch_tasks.stores.relational.task_codec import (
    CANCELLED,
    FAILED,
    PENDING,
    json_of_ids,
    tag_to_sql,
    tags_from_sql,
)
from media_watch_tasks.stores.relational.task_database import TaskDatabase
from media_watch_tasks.stores.relational.task_names import Names, TaskNames
from media_watch_tasks.stores.relational.task_selection import WAITING_IDS
from media_watch_tasks.stores.relational.text_codec import to_sql

__all__ = ["RUNNING_BY_ID", "SUPERSEDED", "Again", "End", "Held", "TaskCore"]

SUPERSEDED = "superseded"

_RUNNING = """
SELECT t.id, t.token, t.route, t.lane, t.asset_id, t.tags, t.priority, t.due_ns, t.attempts, t.crashes, t.begins,
    t.begun, t.cancel_reason,
    (SELECT b.id FROM task AS b WHERE b.route = t.route AND b.asset_id = t.asset_id AND b.slot = 1)
FROM task AS t
WHERE t.phase = 4 AND
"""
RUNNING_BY_ID = _RUNNING + "t.id IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
_LAPSED = _RUNNING + "(t.boot, t.lease_end) <= (?, ?) AND t.worker <> coalesce(?, -1)"
_OF_WORKERS = _RUNNING + "t.worker IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants

_END = """
UPDATE task SET phase = 5, slot = NULL, counted = NULL, wait = NULL, state = ?, reason = ?, error = coalesce(?, error),
    attempts = ?, crashes = ?, begins = ?, begun = 0, cancel_reason = NULL, updated_ns = ?
WHERE id = ?
"""
_BACK = """
UPDATE task SET phase = ?, wait = ?, state = ?, due_ns = ?, error = coalesce(?, error),
    attempts = ?, crashes = ?, begins = ?, begun = 0, updated_ns = ?
WHERE id = ?
"""
_FORGET_WORKER = "UPDATE task SET worker = NULL WHERE id = ?"
_END_WAITING = """
UPDATE task SET phase = 5, slot = NULL, counted = NULL, wait = NULL, state = 5, reason = ?, updated_ns = ?
WHERE id IN (SELECT value FROM json_each(?))
"""
_FREED = """
SELECT b.id, b.tags, b.due_ns, b.wait FROM task AS b
WHERE b.phase = 3
  AND NOT EXISTS (SELECT 1 FROM task AS c WHERE c.route = b.route AND c.asset_id = b.asset_id AND c.slot = 0)
"""
_MOVE = "UPDATE task SET phase = ?, wait = ?, slot = 0 WHERE id = ?"
_HELD = "SELECT id, tags, due_ns, wait FROM task WHERE phase = 2"
_LIVE_BEHIND = "SELECT id, lane, asset_id, tags FROM task WHERE phase < 5 AND id > ? ORDER BY id LIMIT ?"
_BY_ID = "SELECT id, lane, asset_id, tags FROM task WHERE id IN (SELECT value FROM json_each(?))"
_TO_LANE = "UPDATE task SET lane = ? WHERE id IN (SELECT value FROM json_each(?))"
_PORTION = 10_000
_TO_HOLD = f"""
SELECT id, tags, due_ns, wait FROM task
WHERE id IN ({WAITING_IDS}) AND phase IN (0, 1) AND EXISTS (SELECT 1 FROM task_tag WHERE tag = ? AND task_id = task.id)
"""  # noqa: S608 - constants

_Values = tuple[int | str | bytes | None, ...]


class Held(NamedTuple):
    """A running task, as the doings of its worker need it."""

    id: int
    token: int
    route: int
    lane: int
    asset_id: bytes
    tags: str | None
    priority: int
    due_ns: int
    attempts: int
    crashes: int
    begins: int
    begun: int
    cancel_reason: str | bytes | None
    behind: int | None
    """The id of the task behind it."""


class End(NamedTuple):
    """A running task that ends otherwise than by a delivery."""

    task: Held
    state: int
    reason: str | bytes | None
    attempts: int
    crashes: int
    begins: int
    error: str | None = None


class Again(NamedTuple):
    """A running task that is to be done again: where it goes, unless somebody cancelled it or a newer version waits."""

    task: Held
    due_ns: int
    wait: int | None
    attempts: int
    crashes: int
    begins: int
    error: str | None = None
    untouched: bool = False


class TaskCore:
    """One database, and the moves of tasks in it. Every method that writes is called inside a transaction."""

    def __init__(self, database: TaskDatabase, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.names = TaskNames(database, clock)

    # ---- looking at running tasks

    def running(self, ids: Iterable[int]) -> list[Held]:
        """The running ones of these tasks."""
        return [Held(*row) for row in self.database.execute(RUNNING_BY_ID, (json_of_ids(list(ids)),))]

    def lapsed(self, names: Names, *, asking: int | None) -> list[Held]:
        """Running tasks whose lease has ended, except those of one worker."""
        params = (self.names.boot(names), self.clock.boot_ns(), asking)
        return [Held(*row) for row in self.database.execute(_LAPSED, params)]

    def held_by(self, workers: Iterable[int]) -> list[Held]:
        """What these workers hold."""
        return [Held(*row) for row in self.database.execute(_OF_WORKERS, (json_of_ids(list(workers)),))]

    # ---- moves of running tasks

    def end(self, rows: Sequence[End]) -> None:
        """End them."""
        now = self.clock.now_ns()
        values: list[_Values] = [
            (row.state, row.reason, to_sql(row.error), row.attempts, row.crashes, row.begins, now, row.task.id)
            for row in rows
        ]
        if values:
            self.database.executemany(_END, values)

    def back(self, names: Names, rows: Sequence[Again]) -> None:
        """Let them stop running, to be done again."""
        ended: list[End] = []
        moved: list[_Values] = []
        now = self.clock.now_ns()
        for row in rows:
            task = row.task
            if task.cancel_reason is not None or task.behind is not None:
                reason = SUPERSEDED if task.cancel_reason is None else task.cancel_reason
                ended.append(End(task, CANCELLED, reason, row.attempts, row.crashes, row.begins, row.error))
                continue
            phase, wait = self.place(names, tags=task.tags, due_ns=row.due_ns, wait=row.wait)
            state = FAILED if row.attempts else PENDING
            counts = (row.attempts, row.crashes, row.begins)
            moved.append((phase, wait, state, row.due_ns, to_sql(row.error), *counts, now, task.id))
        self.end(ended)
        if moved:
            self.database.executemany(_BACK, moved)
        forgotten = [(row.task.id,) for row in rows if row.untouched]
        if forgotten:
            self.database.executemany(_FORGET_WORKER, forgotten)

    def release(self, names: Names, tasks: Sequence[Held]) -> None:
        """Let them go back to where they were, with the attempt given back."""
        rows = [Again(task, task.due_ns, None, task.attempts - task.begun, task.crashes, task.begins) for task in tasks]
        self.back(names, rows)
        if any(task.behind is not None for task in tasks):
            self.free_behind(names)

    # ---- moves of waiting tasks

    def place(self, names: Names, *, tags: str | None, due_ns: int, wait: int | None) -> tuple[int, int | None]:
        """(phase, wait) of a live task that does not run, as its due time and its tags say."""
        now = self.clock.now_ns()
        if due_ns <= now:
            wait = None
        if tags is not None:
            held = names.pauses.held_tags(now)
            if held and not held.isdisjoint(tags_from_sql(tags)):
                return Phase.HELD, wait
        return (Phase.READY if wait is None else Phase.WAITING), wait

    def end_waiting(self, ids: Sequence[int], reason: str) -> None:
        """End tasks that do not run as cancelled."""
        self.database.execute(_END_WAITING, (to_sql(reason), self.clock.now_ns(), json_of_ids(ids)))

    def free_behind(self, names: Names) -> None:
        """Let tasks behind one that runs no more take its place. There are never more of them than running tasks."""
        self._move(names, self.database.execute(_FREED))

    def hold(self, names: Names, tag: str) -> None:
        """Hold the waiting tasks of a tag, if it is paused."""
        self._move(names, self.database.execute(_TO_HOLD, (tag_to_sql(tag),)))

    def let_go(self, names: Names) -> None:
        """Let go the held tasks whose tags are paused no more."""
        self._move(names, self.database.execute(_HELD))

    def end_past_pauses(self, names: Names) -> None:
        """Forget the pauses that have ended by themselves, and let go what they held."""
        past = names.pauses.past(self.clock.now_ns())
        if past:
            self.names.remove_pauses(names, past)
            self.let_go(names)

    # ---- lanes

    def sort_by(self, labels: frozenset[str]) -> Names:
        """From now on tasks with these labels stand in lanes of their own, those that are live already too."""
        names = self.names.current()
        if labels <= names.selectors:
            return names
        self.names.add_selectors(names, labels)
        last = 0
        while rows := self.database.execute(_LIVE_BEHIND, (last, _PORTION)):
            last = rows[-1][0]
            self._to_their_lanes(names, rows)
        return names

    def to_their_lanes(self, names: Names, ids: Sequence[int]) -> None:
        """Put tasks that were out of the queue for a while where their labels say now."""
        if names.selectors and ids:
            self._to_their_lanes(names, self.database.execute(_BY_ID, (json_of_ids(ids),)))

    def _to_their_lanes(self, names: Names, rows: Sequence[tuple[int, int, bytes, str | None]]) -> None:
        moves: dict[int, list[int]] = {}
        for task_id, lane, asset_id, tags in rows:
            key = names.lane_key(*names.lanes[lane], asset_id, tags_from_sql(tags))
            _, right = self.names.lane(names, key)
            if right != lane:
                moves.setdefault(right, []).append(task_id)
        for lane, ids in sorted(moves.items()):
            self.database.execute(_TO_LANE, (lane, json_of_ids(ids)))

    def _move(self, names: Names, rows: Sequence[tuple[int, str | None, int, int | None]]) -> None:
        """Put tasks where their due times and tags say."""
        moves = [
            (*self.place(names, tags=tags, due_ns=due_ns, wait=wait), task_id) for task_id, tags, due_ns, wait in rows
        ]
        if moves:
            self.database.executemany(_MOVE, moves)
