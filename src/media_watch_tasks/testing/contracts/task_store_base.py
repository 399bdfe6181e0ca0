"""What the parts of the TaskStore suite share: the store under test and short ways to fill and ask it."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import Clock, to_ns
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered, Failed, Pause, PauseScope, Released
from media_watch_tasks.model.shares import Share
from media_watch_tasks.model.tasks import (
    Claim,
    ClaimRef,
    ClaimRequest,
    EnqueueOutcome,
    NewTask,
    Task,
    TaskSelection,
    TaskState,
    WaitReason,
)
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock

__all__ = [
    "BACKOFF_NS",
    "LEASE",
    "OTHER_DESTINATION",
    "OTHER_SOURCE",
    "ROUTE",
    "TaskStoreSuite",
    "only",
]

ROUTE = Route("camera", "archive")
OTHER_SOURCE = Route("phone", "archive")
OTHER_DESTINATION = Route("camera", "cloud")

LEASE = timedelta(minutes=10)
BACKOFF_NS = tuple(to_ns(timedelta(seconds=seconds)) for seconds in (5, 10, 20))

_LONGEST_DELAY = timedelta(hours=24)
_Item = TypeVar("_Item")


def only(items: Collection[_Item]) -> _Item:
    """The one item that there must be."""
    assert len(items) == 1, f"expected one item, got {items}"
    return next(iter(items))


class TaskStoreSuite:
    """The store under test, its clock, and a worker."""

    def make_store(self, clock: Clock) -> TaskStore:
        """A new empty store that takes all times from this clock."""
        raise NotImplementedError

    def close_store(self, store: TaskStore) -> None:
        """Free what `make_store` opened."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock that the tests move."""
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> Iterator[TaskStore]:
        """The store under test."""
        store = self.make_store(clock)
        yield store
        self.close_store(store)

    @pytest.fixture
    def worker(self, store: TaskStore) -> str:
        """A worker that is alive."""
        return store.register_worker("first")

    # ---- filling

    @staticmethod
    def new(
        asset: str | bytes = "a.mov",
        *,
        version: int = 1,
        route: Route = ROUTE,
        due_ns: int = 0,
        priority: int = 0,
        tags: Collection[str] = (),
        constraints: Collection[str] = (),
        force: bool = False,
        size: int | None = None,
    ) -> NewTask:
        """A task to enqueue; another `version` of the asset has another fingerprint."""
        return NewTask(
            route=route,
            asset_id=asset if isinstance(asset, bytes) else asset.encode(),
            fingerprint=Fingerprint(1_000 + version if size is None else size, 1_700_000_000_000_000_000 + version),
            due_ns=due_ns,
            priority=priority,
            tags=frozenset(tags),
            constraints=frozenset(constraints),
            force=force,
        )

    @staticmethod
    def enqueue(store: TaskStore, *tasks: NewTask) -> list[int]:
        """The ids of tasks that must be new."""
        results = store.enqueue_if_absent(tasks)
        assert all(result.outcome.is_new for result in results), f"not all tasks were new: {results}"
        return [result.task_id for result in results if result.task_id is not None]

    def enqueue_one(self, store: TaskStore, new: NewTask) -> int:
        """The id of a task that must be new."""
        return only(self.enqueue(store, new))

    @staticmethod
    def outcomes(store: TaskStore, *tasks: NewTask) -> list[EnqueueOutcome]:
        """What became of each."""
        return [result.outcome for result in store.enqueue_if_absent(tasks)]

    # ---- working

    @staticmethod
    def request(
        worker: str,
        *,
        limit: int = 1,
        routes: Sequence[Route] = (ROUTE,),
        lease: timedelta = LEASE,
        unmet: Collection[str] = (),
        begin: bool = True,
        force: bool = False,
        alone: bool = False,
        floor: int | None = None,
        share: Share | None = None,
    ) -> ClaimRequest:
        """A claim request with the usual figures."""
        return ClaimRequest(
            worker_id=worker,
            routes=tuple(routes),
            limit=limit,
            lease_ns=to_ns(lease),
            longest_delay_ns=to_ns(_LONGEST_DELAY),
            unmet=frozenset(unmet),
            begin=begin,
            force=force,
            alone=alone,
            floor=floor,
            share=share,
        )

    def claim(self, store: TaskStore, request: ClaimRequest) -> Claim:
        """The one claim that there must be."""
        return only(store.claim_batch(request))

    def claimed_ids(self, store: TaskStore, request: ClaimRequest) -> list[int]:
        """The ids of what is claimed, in the order of the claims."""
        return [claim.task.id for claim in store.claim_batch(request)]

    @staticmethod
    def deliver(store: TaskStore, *refs: ClaimRef, receipt: UploadReceipt | None = None) -> None:
        """Settle claims as delivered; they must still be held."""
        settled = store.settle([Delivered(ref=ref, receipt=receipt or UploadReceipt("there")) for ref in refs]).settled
        assert settled == {ref.task_id for ref in refs}, "a claim that is held can be settled"

    @staticmethod
    def fail(store: TaskStore, ref: ClaimRef, *, retry_ns: int = 0, error: str = "no route to host") -> None:
        """Settle a claim as failed; it must still be held."""
        settled = store.settle([Failed(ref=ref, retry_ns=retry_ns, error=error)]).settled
        assert settled == {ref.task_id}, "a claim that is held can be settled"

    @staticmethod
    def release(
        store: TaskStore, ref: ClaimRef, *, due_ns: int | None = None, wait: WaitReason = WaitReason.SNOOZED
    ) -> None:
        """Settle a claim as released; it must still be held."""
        settled = store.settle([Released(ref=ref, due_ns=due_ns, wait=wait)]).settled
        assert settled == {ref.task_id}, "a claim that is held can be settled"

    def delivered_task(self, store: TaskStore, worker: str, new: NewTask, receipt: UploadReceipt | None = None) -> int:
        """Enqueue a task, and deliver it; nothing else may be eligible."""
        task_id = self.enqueue_one(store, new)
        claim = self.claim(store, self.request(worker, routes=(new.route,)))
        assert claim.task.id == task_id, "another task was eligible"
        self.deliver(store, claim.ref, receipt=receipt)
        return task_id

    def crash(self, store: TaskStore, clock: FakeClock, *, alone: bool = False) -> None:
        """A new worker claims the task that is eligible and dies on it; its lease has ended when this returns."""
        doomed = store.register_worker("doomed")
        self.claim(store, self.request(doomed, alone=alone))
        clock.advance(LEASE)

    # ---- asking

    @staticmethod
    def task(store: TaskStore, task_id: int) -> Task:
        """The task as it is now."""
        return only(store.tasks(TaskSelection(ids=frozenset({task_id}))))

    def state(self, store: TaskStore, task_id: int) -> tuple[TaskState, WaitReason | None, str | None]:
        """(state, what it waits for, reason)."""
        task = self.task(store, task_id)
        return task.state, task.waits_for, task.reason

    @staticmethod
    def ids(store: TaskStore, selection: TaskSelection) -> list[int]:
        """The ids of the tasks of a selection."""
        return [task.id for task in store.tasks(selection)]

    @staticmethod
    def pause(
        store: TaskStore,
        scope: PauseScope,
        value: str = "",
        *,
        until_ns: int | None = None,
        automatic: bool = False,
        task_id: int | None = None,
    ) -> None:
        """Pause something."""
        store.pause(Pause(scope=scope, value=value, until_ns=until_ns, automatic=automatic, task_id=task_id))
