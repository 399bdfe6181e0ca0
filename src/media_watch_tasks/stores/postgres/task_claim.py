"""Claims on PostgreSQL: chosen and locked by one statement, beside those of other workers."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.tasks import ClaimRequest
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.task_core import PostgresTaskCore
from media_watch_tasks.stores.postgres.task_workers import PostgresTaskWorkers
from media_watch_tasks.stores.relational.claim_plan import TAKE_CHOSEN_LOCKED, ClaimPlan, plan_for
from media_watch_tasks.stores.relational.task_claim import TaskClaim
from media_watch_tasks.stores.relational.task_names import Names

__all__ = ["PostgresTaskClaim"]


class PostgresTaskClaim(TaskClaim):
    """`claim_batch`, `begin`, `take_back`. Every method needs a transaction."""

    take_chosen = TAKE_CHOSEN_LOCKED
    locks_every_ns = NANOSECONDS // 2
    look_every_ns = NANOSECONDS // 100

    def __init__(
        self,
        core: PostgresTaskCore,
        workers: PostgresTaskWorkers,
        *,
        dead_after: int,
        crash_backoff_ns: Sequence[int],
    ) -> None:
        self._token_lock = threading.Lock()
        self._last_token = 0
        super().__init__(core, workers, dead_after=dead_after, crash_backoff_ns=crash_backoff_ns)
        self._pg_workers = workers

    @property
    def last_token(self) -> int:
        """No token that this object has given out is higher."""
        return self._last_token

    @last_token.setter
    def last_token(self, token: int) -> None:
        # Threads claim side by side.
        with self._token_lock:
            self._last_token = max(self._last_token, token)

    def least_token(self, now_ns: int) -> int:
        """The time, or what follows the last one.

        A server that loses power forgets the commits of the last moment, claims and tasks among them, and the worker
        lives on. Counted from one, its token would be given out again, for that task or for another one under the same
        number, and its settlement would be taken for the other's.
        """
        return max(now_ns, self._last_token + 1)

    @staticmethod
    def counted(pick: str) -> str:
        """The pick as it is: parameters that it does not use are left out."""
        return pick

    def plan(self, names: Names, request: ClaimRequest, now_ns: int) -> ClaimPlan:
        """The plan for requests like this one."""
        return plan_for(names, request, now_ns, locking=True)

    def _take(self, plan: ClaimPlan, names: Names, request: ClaimRequest, worker: int, now_ns: int) -> list[Row]:
        if plan.probes:
            # Two that looked at the same moment would both try.
            self._core.database.require_alone()
        return super()._take(plan, names, request, worker, now_ns)

    def _none_left(self, plan: ClaimPlan, names: Names, request: ClaimRequest, worker: int, now_ns: int) -> list[Row]:  # noqa: ARG002 - alone, the choice is made anew from the start
        # Others have taken all of it meanwhile; there may be more behind.
        if not self._core.database.is_alone:
            self._core.database.require_alone()
        return []

    def _void_dead_workers(self) -> int:
        now = self._core.clock.monotonic_ns()
        if self._locks_tried_ns is not None and now - self._locks_tried_ns < self.locks_every_ns:
            return 0
        database = self._core.database
        if not database.is_alone:
            self._pg_workers.come_back()
            if self._pg_workers.somebody_is_gone():
                database.require_alone()
            self._locks_tried_ns = now
            return 0
        return super()._void_dead_workers()
