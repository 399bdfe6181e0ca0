"""What the parts of the PostgreSQL task store share: many writers, so rows are locked and small tables guarded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.settlements import Pause
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import Gate
from media_watch_tasks.stores.relational.task_control import TaskControl
from media_watch_tasks.stores.relational.task_core import RUNNING_BY_ID, Held, TaskCore
from media_watch_tasks.stores.relational.task_names import LaneKey, Names, TaskNames

__all__ = ["PostgresTaskControl", "PostgresTaskCore"]

_LOCKED = RUNNING_BY_ID + " ORDER BY t.id FOR UPDATE OF t"


class _GuardedNames(TaskNames):
    """The small tables change alone: whoever stands in the gate may rely on the version that it has seen."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self._guard = database.require_alone

    def boot(self, names: Names) -> int:
        if self._clock.boot_id() not in names.boots:
            self._guard()
        return super().boot(names)

    def remove_pauses(self, names: Names, pauses: Sequence[Pause]) -> None:
        if pauses:
            self._guard()
        super().remove_pauses(names, pauses)

    def add_selectors(self, names: Names, labels: frozenset[str]) -> None:
        self._guard()
        super().add_selectors(names, labels)

    def _add_lane(self, names: Names, key: LaneKey) -> tuple[int, int]:
        self._guard()
        return super()._add_lane(names, key)


class PostgresTaskCore(TaskCore):
    """One schema, and the moves of tasks in it. Every method that writes is called inside a transaction."""

    database: Database

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self.names = _GuardedNames(database, clock)

    def running(self, ids: Iterable[int]) -> list[Held]:
        """The running ones of these tasks. They are locked: no other settlement of them goes on beside this one."""
        numbers = "[" + ",".join(map(str, ids)) + "]"
        return [Held(*row) for row in self.database.execute(_LOCKED, (numbers,))]


class PostgresTaskControl(TaskControl):
    """`cancel`, `retry`, `pause`, `resume`, `purge`."""

    def __init__(self, core: PostgresTaskCore) -> None:
        super().__init__(core)
        self._gated = core.database.transaction

    def _portion(self) -> AbstractContextManager[None]:
        """In the gate: what is found to have ended is not retried before it is deleted."""
        return self._gated(gate=Gate.SHARED)

    def _keep_highest_id(self, task_id: int) -> None:
        """An identity column gives no number twice."""
