"""MemoryTaskStore: the queue of tasks in dicts, the clearest statement of what a `TaskStore` does."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping, Sequence

from media_watch_tasks.abc.stores import Reservation, TaskStore
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError, LeaseLost
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import (
    Interrupt,
    Pause,
    PauseScope,
    ReservationState,
    Settlement,
    SettleResult,
)
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
from media_watch_tasks.stores.memory import claiming, enqueueing, settling, task_control, task_sequel
from media_watch_tasks.stores.memory.task_book import TaskBook
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.phases import CRASH_BACKOFF_NS, DEAD_AFTER, Phase

__all__ = ["MemoryTaskStore"]


class MemoryTaskStore(TaskStore):
    """A queue that is gone when the process ends: for tests, and for trials of a destination.

    Every call walks all tasks: it is meant for thousands of them, not for millions. `durable` promises nothing here.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        dead_after: int = DEAD_AFTER,
        crash_backoff_ns: Sequence[int] = CRASH_BACKOFF_NS,
    ) -> None:
        """`dead_after`, `crash_backoff_ns`: what `claim_batch` goes by before the first `take_back`."""
        self._lock = threading.RLock()
        self._book = TaskBook(clock or SystemClock())
        self._workers: set[str] = set()
        self._dead_after = dead_after
        self._crash_backoff_ns = tuple(crash_backoff_ns)

    # ---- workers

    def register_worker(self, name: str = "") -> str:  # noqa: ARG002 - a name helps people who look into a database
        """A new worker id. A process that dies takes this store with it, so no peer has to see it."""
        worker_id = uuid.uuid4().hex
        with self._lock:
            self._workers.add(worker_id)
        return worker_id

    def unregister_worker(self, worker_id: str) -> None:
        """Release what it still holds."""
        with self._lock:
            for row in self._book.running():
                if row.worker == worker_id:
                    self._book.release(row, due_ns=None, wait=None)
            self._workers.discard(worker_id)

    # ---- the queue

    def enqueue_if_absent(self, tasks: Sequence[NewTask], *, durable: bool = False) -> Sequence[EnqueueResult]:  # noqa: ARG002 - see the class
        """One after the other."""
        with self._lock:
            self._book.apply_pauses()
            return tuple(enqueueing.enqueue(self._book, new) for new in tasks)

    def claim_batch(self, request: ClaimRequest) -> Sequence[Claim]:
        """Take back what is over, then claim."""
        with self._lock:
            return self._claim(request)

    def begin(self, refs: Sequence[ClaimRef]) -> frozenset[int]:
        """Count the attempts."""
        with self._lock:
            rows = self._claimed(refs)
            for row in rows:
                claiming.begin(row)
            return frozenset(row.id for row in rows)

    def extend(
        self, refs: Sequence[ClaimRef], *, lease_ns: int, progress: Mapping[int, UploadProgress] | None = None
    ) -> frozenset[int]:
        """Move the ends of the leases."""
        with self._lock:
            clock = self._book.clock
            rows = self._claimed(refs)
            for row in rows:
                row.lease_end, row.boot_id = clock.boot_ns() + lease_ns, clock.boot_id()
                if progress is not None:
                    row.progress = progress.get(row.id, row.progress)
            return frozenset(row.id for row in rows)

    def settle(
        self,
        settlements: Sequence[Settlement],
        *,
        durable: bool = False,  # noqa: ARG002 - see the class
        then_claim: ClaimRequest | None = None,
    ) -> SettleResult:
        """One after the other, then claim."""
        with self._lock:
            self._book.apply_pauses()
            settled = frozenset(item.ref.task_id for item in settlements if settling.settle(self._book, item))
            claims = () if then_claim is None else self._claim(then_claim)
            return SettleResult(settled=settled, claims=claims)

    def save_resume_state(self, ref: ClaimRef, state: Mapping[str, object] | None) -> bool:
        """Keep a copy, as JSON would give it back."""
        copy = None if state is None else json.loads(json.dumps(dict(state)))
        with self._lock:
            row = self._book.claimed(ref)
            if row is None:
                return False
            row.resume_state = copy
            return True

    def interrupts(self, worker_id: str) -> Sequence[Interrupt]:
        """Look at what the worker holds."""
        with self._lock:
            book = self._book
            held = book.pauses.held_tags(book.now_ns)
            return tuple(
                Interrupt(ClaimRef(row.id, row.token), paused=row.cancel_reason is None)
                for row in book.running()
                if row.worker == worker_id
                and (
                    row.cancel_reason is not None or bool(row.tags & held) or book.pauses.stops(row.route, book.now_ns)
                )
            )

    def take_back(self, *, dead_after: int, backoff_ns: Sequence[int], asking: str | None = None) -> int:
        """With the caller's policy."""
        with self._lock:
            self._dead_after, self._crash_backoff_ns = dead_after, tuple(backoff_ns)
            return claiming.take_back(self._book, dead_after=dead_after, backoff_ns=backoff_ns, asking=asking)

    def last_token(self) -> int:
        """The counter."""
        with self._lock:
            return self._book.token

    def next_due_ns(self, routes: Sequence[Route]) -> int | None:
        """The smallest."""
        with self._lock:
            self._book.apply_pauses()
            now = self._book.now_ns
            waiting = (row for row in self._book.rows.values() if row.phase is Phase.WAITING and row.route in routes)
            return min((row.due_ns for row in waiting if row.due_ns > now), default=None)

    # ---- what was delivered

    def delivered(self, route: Route, asset_ids: Sequence[bytes]) -> Sequence[Task | None]:
        """Look each up."""
        with self._lock:
            rows = [self._book.latest(route, asset_id) for asset_id in asset_ids]
            return tuple(None if row is None else row.snapshot(self._book.now_ns) for row in rows)

    def has_content_of_size(self, ref: ClaimRef, size: int) -> bool:
        """Look at all of the destination."""
        with self._lock:
            own = self._book.rows.get(ref.task_id)
            return own is None or any(
                row.fingerprint.size == size
                and row.route.destination_id == own.route.destination_id
                and (row.route, row.asset_id) != (own.route, own.asset_id)
                and (row.is_live or row.is_latest)
                for row in self._book.rows.values()
            )

    def reserve_content(self, ref: ClaimRef, sha256: str) -> Reservation:
        """Delivered, sent by somebody now, or reserved."""
        with self._lock:
            own = self._book.claimed(ref)
            if own is None:
                raise LeaseLost(f"task {ref.task_id} is no longer held with token {ref.token}")
            peers = [row for row in self._book.rows.values() if row.route.destination_id == own.route.destination_id]
            for row in peers:
                receipt = row.receipt
                # A shared receipt names another task's object: it proves nothing once that one was replaced.
                if row.is_latest and receipt is not None and receipt.sha256 == sha256 and not receipt.deduplicated:
                    return ReservationState.DELIVERED, receipt
            if any(row.reserved == sha256 for row in peers if row is not own):
                return ReservationState.BUSY, None
            own.reserved = sha256
            return ReservationState.RESERVED, None

    # ---- what follows a delivery

    def live_directories(self, source_id: str, *, limit: int) -> frozenset[bytes] | None:
        """Of all live tasks."""
        with self._lock:
            return task_sequel.live_directories(self._book, source_id, limit=limit)

    def move(self, route: Route, asset_id: bytes, to: bytes) -> Task | None:
        """See `task_sequel`."""
        with self._lock:
            row = task_sequel.move(self._book, route, asset_id, to)
            return None if row is None else row.snapshot(self._book.now_ns)

    def pending_actions(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """Those that are marked."""
        with self._lock:
            rows = task_sequel.pending_actions(self._book, routes, limit=limit)
            return tuple(row.snapshot(self._book.now_ns) for row in rows)

    def finish_action(self, task_id: int, *, error: str | None = None) -> None:  # noqa: ARG002 - told in an event
        """Take the mark away."""
        with self._lock:
            if task_id in self._book.rows:
                self._book.rows[task_id].action = None

    def unfinished(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """Those that kept their state."""
        with self._lock:
            rows = [row for row in self._book.rows.values() if row.route in routes and _is_unfinished(row)]
            return tuple(row.snapshot(self._book.now_ns) for row in rows[:limit])

    def finish_unfinished(self, task_id: int) -> None:
        """Take the state away."""
        with self._lock:
            row = self._book.rows.get(task_id)
            if row is not None and _is_unfinished(row):
                row.resume_state = None

    def activity(self, routes: Sequence[Route]) -> tuple[int | None, int | None]:
        """See `task_sequel`."""
        with self._lock:
            return task_sequel.activity(self._book, routes)

    # ---- people

    def cancel(self, selection: TaskSelection, *, reason: str = "user") -> tuple[int, int]:
        """See `task_control`."""
        with self._lock:
            return task_control.cancel(self._book, selection, reason=reason)

    def retry(self, selection: TaskSelection) -> tuple[Sequence[int], Mapping[int, str]]:
        """See `task_control`."""
        with self._lock:
            self._book.apply_pauses()
            return task_control.retry(self._book, selection)

    def pause(self, pause: Pause) -> None:
        """Set or replace it."""
        with self._lock:
            self._book.pauses.put(pause)
            self._book.apply_pauses()

    def resume(self, scope: PauseScope, value: str = "") -> bool:
        """Forget it; held tasks get their earlier wait back."""
        with self._lock:
            self._book.apply_pauses()
            ended = self._book.pauses.remove(scope, value)
            self._book.apply_pauses(let_go=scope is PauseScope.TAG)
            return ended is not None

    def pauses(self) -> Sequence[Pause]:
        """Those in force."""
        with self._lock:
            return self._book.pauses.listed(self._book.now_ns)

    def tasks(self, selection: TaskSelection, *, limit: int = 100, after_id: int = 0) -> Sequence[Task]:
        """Snapshots."""
        with self._lock:
            self._book.apply_pauses()
            rows = [row for row in task_control.chosen(self._book, selection) if row.id > after_id]
            return tuple(row.snapshot(self._book.now_ns) for row in rows[: max(limit, 0)])

    def counts(self, routes: Sequence[Route] | None = None) -> Mapping[TaskState, int]:
        """Count them."""
        with self._lock:
            return task_control.counts(self._book, routes)

    def purge(self, selection: TaskSelection, *, before_ns: int) -> int:
        """See `task_control`."""
        with self._lock:
            return task_control.purge(self._book, selection, before_ns=before_ns)

    # ---- parts of several calls

    def _claim(self, request: ClaimRequest) -> tuple[Claim, ...]:
        if request.worker_id not in self._workers:
            raise ConfigurationError(f"worker {request.worker_id!r} is not registered: call register_worker() first")
        claiming.take_back(
            self._book, dead_after=self._dead_after, backoff_ns=self._crash_backoff_ns, asking=request.worker_id
        )
        return claiming.claim(self._book, request)

    def _claimed(self, refs: Sequence[ClaimRef]) -> list[Row]:
        rows = (self._book.claimed(ref) for ref in refs)
        return [row for row in rows if row is not None]


def _is_unfinished(row: Row) -> bool:
    return row.phase is Phase.ENDED and row.resume_state is not None
