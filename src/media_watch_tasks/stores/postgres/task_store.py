"""The TaskStore on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.tasks import EnqueueResult, NewTask, TaskSelection
from media_watch_tasks.stores.phases import CRASH_BACKOFF_NS, DEAD_AFTER
from media_watch_tasks.stores.postgres.action_locks import ActionLocks
from media_watch_tasks.stores.postgres.announcements import watch_announcements
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import AloneNeededError
from media_watch_tasks.stores.postgres.shared_database import SharesDatabase
from media_watch_tasks.stores.postgres.task_claim import PostgresTaskClaim
from media_watch_tasks.stores.postgres.task_core import PostgresTaskControl, PostgresTaskCore
from media_watch_tasks.stores.postgres.task_enqueue import PostgresTaskEnqueue
from media_watch_tasks.stores.postgres.task_settle import PostgresTaskSettle
from media_watch_tasks.stores.postgres.task_workers import PostgresTaskWorkers
from media_watch_tasks.stores.relational.announcements import Announcements
from media_watch_tasks.stores.relational.task_content import TaskContent
from media_watch_tasks.stores.relational.task_queries import TaskQueries
from media_watch_tasks.stores.relational.task_sequel import TaskSequel
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore, nobody_else

__all__ = ["PostgresTaskStore"]

_T = TypeVar("_T")


class PostgresTaskStore(SharesDatabase, RelationalTaskStore):
    """The queue of tasks, in a PostgreSQL schema. Made by `PostgresStores`.

    What can be done beside other work is done so; where it turns out that it cannot, it is taken back and done alone:
    see `gate`. Each worker holds a lock that its peers see: see `presence`.
    """

    _enqueue: PostgresTaskEnqueue

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        dead_after: int = DEAD_AFTER,
        crash_backoff_ns: Sequence[int] = CRASH_BACKOFF_NS,
        on_end: Callable[[Sequence[str]], None] = nobody_else,
    ) -> None:
        """Take the database; the parameters are those of `SqliteTaskStore`."""
        super().__init__(database, clock)
        core = PostgresTaskCore(database, clock)
        workers = PostgresTaskWorkers(core, on_end=on_end)
        enqueue = PostgresTaskEnqueue(core)
        sequel = TaskSequel(core)
        self._core = core
        self._workers = workers
        self._enqueue = enqueue
        self._claim = PostgresTaskClaim(core, workers, dead_after=dead_after, crash_backoff_ns=crash_backoff_ns)
        self._sequel = sequel
        self._settle = PostgresTaskSettle(core, enqueue, sequel)
        self._content = TaskContent(core)
        self._control = PostgresTaskControl(core)
        self._queries = TaskQueries(core)
        self._announcements = Announcements(partial(watch_announcements, database))
        self._actions = ActionLocks(database)

    def enqueue_if_absent(self, tasks: Sequence[NewTask], *, durable: bool = False) -> Sequence[EnqueueResult]:
        """See `TaskStore`."""

        def work() -> Sequence[EnqueueResult]:
            results = self._enqueue.enqueue(tasks)
            if any(result.outcome.is_new for result in results):
                self.database.announce()
            return results

        if not durable and not self.database.in_transaction:
            try:
                at_once = self._enqueue.at_once(tasks)
            except AloneNeededError:
                return self._alone(work)
            if at_once is not None:
                return at_once
        return self._beside(work, durable=durable)

    def register_worker(self, name: str = "") -> str:
        """See `TaskStore`. It is synced: a number that the server forgot would be given to a second worker."""
        return self.database.run_alone(lambda: self._workers.register(name), durable=True)

    def purge(self, selection: TaskSelection, *, before_ns: int) -> int:
        """See `TaskStore`. It works in small transactions, so that nobody waits long for his turn."""
        return self._control.purge(selection, before_ns=before_ns)

    def _alone(self, work: Callable[[], _T]) -> _T:
        return self.database.run_alone(work)

    def _beside(self, work: Callable[[], _T], *, durable: bool = False) -> _T:
        return self.database.run_beside(work, durable=durable)
