"""The TaskStore as databases have it, put together from its parts."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

from media_watch_tasks.abc.announcements import AnnouncesWork
from media_watch_tasks.abc.stores import Reservation, TaskStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Interrupt, Pause, PauseScope, Settlement, SettleResult
from media_watch_tasks.model.tasks import (
    Claim,
    ClaimRef,
    ClaimRequest,
    EnqueueResult,
    NewTask,
    Task,
    TaskSelection,
    TaskState,
)
from media_watch_tasks.model.uploads import UploadProgress
from media_watch_tasks.stores.relational.announcements import Announcements
from media_watch_tasks.stores.relational.task_claim import TaskClaim
from media_watch_tasks.stores.relational.task_content import TaskContent
from media_watch_tasks.stores.relational.task_control import TaskControl
from media_watch_tasks.stores.relational.task_core import TaskCore
from media_watch_tasks.stores.relational.task_enqueue import TaskEnqueue
from media_watch_tasks.stores.relational.task_names import Names
from media_watch_tasks.stores.relational.task_queries import TaskQueries
from media_watch_tasks.stores.relational.task_sequel import TaskSequel
from media_watch_tasks.stores.relational.task_settle import TaskSettle
from media_watch_tasks.stores.relational.worker_records import WorkerRecords

__all__ = ["ActionLocks", "RelationalTaskStore", "nobody_else"]

_T = TypeVar("_T")


def nobody_else(_worker_ids: Sequence[str]) -> None:
    """Workers that ended held nothing but tasks."""


class ActionLocks(Protocol):
    """Who does an after-upload action."""

    def hold(self, task_id: int, /) -> AbstractContextManager[bool]:
        """True where nobody else is at the action, until the block ends or the process dies."""

    def close(self) -> None:
        """Let go of what is kept between actions."""


class RelationalTaskStore(TaskStore, AnnouncesWork):
    """What a task store does, put together from its parts, which differ from one database to another."""

    clock: Clock
    _core: TaskCore
    _workers: WorkerRecords
    _enqueue: TaskEnqueue
    _claim: TaskClaim
    _sequel: TaskSequel
    _settle: TaskSettle
    _content: TaskContent
    _control: TaskControl
    _queries: TaskQueries
    _announcements: Announcements
    _actions: ActionLocks

    @abstractmethod
    def _alone(self, work: Callable[[], _T]) -> _T:
        """Do work that rests on more than the rows it writes, in a transaction."""

    @abstractmethod
    def _beside(self, work: Callable[[], _T], *, durable: bool = False) -> _T:
        """Do work that, where a database has many writers, can mostly be done beside work of its kind."""

    def close(self) -> None:
        """Let go of the workers' locks, as the end of the process would. The database is closed by its owner."""
        self._actions.close()
        self._announcements.close()
        self._workers.close()

    def on_work(self, call: Callable[[], None]) -> Callable[[], None]:
        """See `AnnouncesWork`."""
        return self._announcements.add(call)

    # ---- workers

    def register_worker(self, name: str = "") -> str:
        """See `TaskStore`."""
        return self._alone(lambda: self._workers.register(name))

    def unregister_worker(self, worker_id: str) -> None:
        """See `TaskStore`."""
        self._alone(lambda: self._workers.unregister(worker_id))
        self._workers.forget_lock(worker_id)

    # ---- the queue

    def enqueue_if_absent(self, tasks: Sequence[NewTask], *, durable: bool = False) -> Sequence[EnqueueResult]:
        """See `TaskStore`."""
        return self._beside(lambda: self._enqueue.enqueue(tasks), durable=durable)

    def claim_batch(self, request: ClaimRequest) -> Sequence[Claim]:
        """See `TaskStore`."""
        return self._beside(lambda: self._claim.claim(request))

    def begin(self, refs: Sequence[ClaimRef]) -> frozenset[int]:
        """See `TaskStore`."""
        return self._beside(lambda: self._claim.begin(refs))

    def extend(
        self, refs: Sequence[ClaimRef], *, lease_ns: int, progress: Mapping[int, UploadProgress] | None = None
    ) -> frozenset[int]:
        """See `TaskStore`."""
        return self._beside(lambda: self._settle.extend(refs, lease_ns=lease_ns, progress=progress))

    def settle(
        self, settlements: Sequence[Settlement], *, durable: bool = False, then_claim: ClaimRequest | None = None
    ) -> SettleResult:
        """See `TaskStore`."""

        def work() -> SettleResult:
            settled = self._settle.settle(settlements)
            claims = () if then_claim is None else self._claim.claim(then_claim)
            return SettleResult(settled=settled, claims=claims)

        return self._beside(work, durable=durable)

    def save_resume_state(self, ref: ClaimRef, state: Mapping[str, object] | None) -> bool:
        """See `TaskStore`. Raises TypeError or ValueError where the state is no JSON."""
        text = None if state is None else json.dumps(dict(state))
        return self._beside(lambda: self._settle.save_resume_state(ref, text))

    def interrupts(self, worker_id: str) -> Sequence[Interrupt]:
        """See `TaskStore`."""
        worker = self._workers.known_number(worker_id)
        return () if worker is None else self._queries.interrupts(worker)

    def take_back(self, *, dead_after: int, backoff_ns: Sequence[int], asking: str | None = None) -> int:
        """See `TaskStore`."""
        return self._alone(lambda: self._claim.take_back(dead_after=dead_after, backoff_ns=backoff_ns, asking=asking))

    def last_token(self) -> int:
        """See `TaskStore`."""
        return self._claim.last_token

    def next_due_ns(self, routes: Sequence[Route]) -> int | None:
        """See `TaskStore`."""
        names = self._core.names.current()
        if names.pauses.past(self.clock.now_ns()):
            names = self._alone(self._end_past_pauses)
        return self._queries.next_due_ns(names, routes)

    # ---- what was delivered

    def delivered(self, route: Route, asset_ids: Sequence[bytes]) -> Sequence[Task | None]:
        """See `TaskStore`."""
        return self._queries.delivered(route, asset_ids)

    def has_content_of_size(self, ref: ClaimRef, size: int) -> bool:
        """See `TaskStore`."""
        return self._content.has_size(ref, size)

    def reserve_content(self, ref: ClaimRef, sha256: str) -> Reservation:
        """See `TaskStore`."""
        return self._alone(lambda: self._content.reserve(ref, sha256))

    # ---- what follows a delivery

    def live_directories(self, source_id: str, *, limit: int) -> frozenset[bytes] | None:
        """See `TaskStore`."""
        return self._sequel.live_directories(source_id, limit=limit)

    def move(self, route: Route, asset_id: bytes, to: bytes) -> Task | None:
        """See `TaskStore`."""

        def work() -> Task | None:
            moved = self._sequel.move(route, asset_id, to)
            return None if moved is None else self._queries.delivered(route, (to,))[0]

        return self._alone(work)

    def pending_actions(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """See `TaskStore`."""
        owing = self._sequel.pending_actions(routes, limit=limit)
        return self.tasks(TaskSelection(ids=frozenset(owing)), limit=len(owing)) if owing else ()

    @contextmanager
    def acting(self, task_id: int) -> Iterator[bool]:
        """See `TaskStore`."""
        with self._actions.hold(task_id) as taken:
            # Behind the lock: whoever had it before may have done the action.
            yield taken and self._sequel.is_owed(task_id)

    def finish_action(self, task_id: int, *, error: str | None = None) -> bool:  # noqa: ARG002 - told in an event
        """See `TaskStore`."""
        return self._beside(lambda: self._sequel.finish_action(task_id))

    def unfinished(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """See `TaskStore`."""
        found = self._sequel.unfinished(routes, limit=limit)
        return self.tasks(TaskSelection(ids=frozenset(found)), limit=len(found)) if found else ()

    def finish_unfinished(self, task_id: int) -> None:
        """See `TaskStore`."""
        self._beside(lambda: self._sequel.finish_unfinished(task_id))

    def activity(self, routes: Sequence[Route]) -> tuple[int | None, int | None]:
        """See `TaskStore`."""
        return self._sequel.activity(self._core.names.current(), routes)

    # ---- people

    def cancel(self, selection: TaskSelection, *, reason: str = "user") -> tuple[int, int]:
        """See `TaskStore`."""
        return self._alone(lambda: self._control.cancel(selection, reason=reason))

    def retry(self, selection: TaskSelection) -> tuple[Sequence[int], Mapping[int, str]]:
        """See `TaskStore`."""
        return self._alone(lambda: self._control.retry(selection))

    def pause(self, pause: Pause) -> None:
        """See `TaskStore`."""
        self._alone(lambda: self._control.pause(pause))

    def resume(self, scope: PauseScope, value: str = "") -> bool:
        """See `TaskStore`."""
        return self._alone(lambda: self._control.resume(scope, value))

    def pauses(self) -> Sequence[Pause]:
        """See `TaskStore`."""
        return self._queries.pauses()

    def tasks(self, selection: TaskSelection, *, limit: int = 100, after_id: int = 0) -> Sequence[Task]:
        """See `TaskStore`."""
        return self._queries.tasks(selection, limit=limit, after_id=after_id)

    def counts(self, routes: Sequence[Route] | None = None) -> Mapping[TaskState, int]:
        """See `TaskStore`."""
        return self._queries.counts(routes)

    def purge(self, selection: TaskSelection, *, before_ns: int) -> int:
        """See `TaskStore`. It works in small transactions, so that nobody waits long for his turn."""
        return self._control.purge(selection, before_ns=before_ns)

    def _end_past_pauses(self) -> Names:
        names = self._core.names.current()
        self._core.end_past_pauses(names)
        return names
