"""The TaskStore on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.model.uploads import UploadProgress
from media_watch_tasks.stores.phases import CRASH_BACKOFF_NS, DEAD_AFTER
from media_watch_tasks.stores.relational.announcements import Announcements
from media_watch_tasks.stores.relational.task_claim import TaskClaim
from media_watch_tasks.stores.relational.task_content import TaskContent
from media_watch_tasks.stores.relational.task_control import TaskControl
from media_watch_tasks.stores.relational.task_core import TaskCore
from media_watch_tasks.stores.relational.task_queries import TaskQueries
from media_watch_tasks.stores.relational.task_sequel import TaskSequel
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore, nobody_else
from media_watch_tasks.stores.sqlite.action_locks import ActionLocks
from media_watch_tasks.stores.sqlite.announcements import watch_announcements
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.shared_database import SharesDatabase
from media_watch_tasks.stores.sqlite.task_enqueue import SqliteTaskEnqueue
from media_watch_tasks.stores.sqlite.task_settle import SqliteTaskSettle
from media_watch_tasks.stores.sqlite.task_workers import TaskWorkers

__all__ = ["SqliteTaskStore"]

_T = TypeVar("_T")


class SqliteTaskStore(SharesDatabase, RelationalTaskStore):
    """The queue of tasks, in an SQLite file. Made by `SqliteStores`.

    Beside the database it keeps a folder with a lock file for each worker: see `worker_locks`.
    """

    _settle: SqliteTaskSettle

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        dead_after: int = DEAD_AFTER,
        crash_backoff_ns: Sequence[int] = CRASH_BACKOFF_NS,
        on_end: Callable[[Sequence[str]], None] = nobody_else,
    ) -> None:
        """Take the database.

        Args:
            database: shared with the other store.
            clock: where the store takes the time from.
            dead_after: what `claim_batch` goes by before the first `take_back`, see there.
            crash_backoff_ns: as `dead_after`.
            on_end: called in the transaction in which workers end or are found dead, with their ids: they hold
                nothing any more.
        """
        super().__init__(database, clock)
        self._core = TaskCore(database, clock)
        self._workers = TaskWorkers(self._core, path=database.path, on_end=on_end)
        self._enqueue = SqliteTaskEnqueue(self._core)
        self._claim = TaskClaim(self._core, self._workers, dead_after=dead_after, crash_backoff_ns=crash_backoff_ns)
        self._sequel = TaskSequel(self._core)
        self._settle = SqliteTaskSettle(self._core, self._enqueue, self._sequel)
        self._content = TaskContent(self._core)
        self._control = TaskControl(self._core)
        self._queries = TaskQueries(self._core)
        self._announcements = Announcements(partial(watch_announcements, database))
        self._actions = ActionLocks(database.path)

    def extend(
        self, refs: Sequence[ClaimRef], *, lease_ns: int, progress: Mapping[int, UploadProgress] | None = None
    ) -> frozenset[int]:
        """See `TaskStore`. A small file confirms a moment after its claim: to look is enough then, without a commit."""
        if len(refs) == 1 and not progress and self._settle.is_fresh(refs[0], lease_ns=lease_ns):
            return frozenset((refs[0].task_id,))
        return super().extend(refs, lease_ns=lease_ns, progress=progress)

    def _alone(self, work: Callable[[], _T]) -> _T:
        with self.transaction():
            return work()

    def _beside(self, work: Callable[[], _T], *, durable: bool = False) -> _T:
        with self.transaction(durable=durable):
            return work()
