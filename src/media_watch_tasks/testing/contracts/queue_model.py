"""QueueModel: what a `TaskStore` does, said as shortly as it can be, for comparison with a real one.

It was written from the interface alone and shares nothing with the stores of this library. It walks all tasks at every
call, promises nothing to threads, and keeps nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from media_watch_tasks.abc.stores import Reservation, TaskStore
from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.errors import ConfigurationError, LeaseLost
from media_watch_tasks.model.identity import Route, split
from media_watch_tasks.model.settlements import (
    Cancelled,
    Dead,
    Delivered,
    Failed,
    Interrupt,
    Pause,
    PauseScope,
    Released,
    ReservationState,
    Settlement,
    SettleResult,
    Superseded,
)
from media_watch_tasks.model.tasks import (
    Claim,
    ClaimRef,
    ClaimRequest,
    EnqueueOutcome,
    EnqueueResult,
    NewTask,
    Task,
    TaskSelection,
    TaskState,
    WaitReason,
)
from media_watch_tasks.model.uploads import UploadProgress
from media_watch_tasks.testing.contracts.queue_model_jobs import Hold, Job, Jobs, Place, in_order

__all__ = ["CRASH_BACKOFF_NS", "DEAD_AFTER", "QueueModel"]

_ALONE_FROM = 2
_ENDED_WITHOUT = frozenset({TaskState.DEAD, TaskState.CANCELLED})
DEAD_AFTER = 5
CRASH_BACKOFF_NS = tuple(seconds * NANOSECONDS for seconds in (5, 10, 20, 40))


class QueueModel(TaskStore):
    """See the module. `durable` promises nothing; `lose_worker` is the death of a worker's process."""

    def __init__(self, clock: Clock) -> None:
        self.jobs = Jobs(clock)
        self._workers: set[str] = set()
        self._lost: set[str] = set()
        self._workers_ever = 0
        self._token = 0

    # ---- workers

    def register_worker(self, name: str = "") -> str:  # noqa: ARG002 - for people
        """A number."""
        self._workers_ever += 1
        worker_id = f"worker {self._workers_ever}"
        self._workers.add(worker_id)
        return worker_id

    def unregister_worker(self, worker_id: str) -> None:
        """Release what it holds."""
        self.jobs.look()
        for job in self._held_by(worker_id):
            self.jobs.uncount(job)
            self.jobs.again(job, due_ns=job.due_ns, wait=None)
        self._workers.discard(worker_id)

    def lose_worker(self, worker_id: str) -> None:
        """Its process has died: its leases are over, and it never asks again."""
        self._workers.discard(worker_id)
        self._lost.add(worker_id)

    # ---- the queue

    def enqueue_if_absent(self, tasks: Sequence[NewTask], *, durable: bool = False) -> Sequence[EnqueueResult]:  # noqa: ARG002 - see the class
        """One after the other."""
        self.jobs.look()
        return [self._enqueue(wish) for wish in tasks]

    def _enqueue(self, wish: NewTask) -> EnqueueResult:
        asset = wish.route, wish.asset_id
        running, waiting = self.jobs.running(asset), self.jobs.waiting(asset)
        for job in (running, waiting):
            stands_in_the_way = job is running or not wish.force
            if job is not None and job.wish.key == wish.key and stands_in_the_way:
                return EnqueueResult(EnqueueOutcome.LIVE, job.number)
        if not wish.force and self.jobs.is_sent(asset, wish.key):
            return EnqueueResult(EnqueueOutcome.DELIVERED)
        if waiting is not None:
            self.jobs.finish(waiting, TaskState.CANCELLED, "superseded")
        number = self.jobs.add(wish, remembers=not wish.force).number
        if running is not None:
            return EnqueueResult(EnqueueOutcome.BEHIND, number)
        return EnqueueResult(EnqueueOutcome.ENQUEUED if waiting is None else EnqueueOutcome.SUPERSEDED, number)

    def claim_batch(self, request: ClaimRequest) -> Sequence[Claim]:
        """Take back, notice what is due, choose, give."""
        if request.worker_id not in self._workers:
            raise ConfigurationError(f"worker {request.worker_id!r} is not registered")
        self.take_back(dead_after=DEAD_AFTER, backoff_ns=CRASH_BACKOFF_NS, asking=request.worker_id)
        if request.limit < 1:
            return ()
        asked = [job for job in self.jobs.live() if job.hold is None and self._is_open(job, request)]
        for job in asked:
            if self.jobs.place(job) is Place.WAITING:
                self.jobs.notice_due(job)
                job.due_ns = min(job.due_ns, self.jobs.now + request.longest_delay_ns)
        eligible = in_order(job for job in asked if self._is_eligible(job, request))
        probed = {job.wish.route.destination_id: job for job in reversed(self._probes(eligible))}
        chosen = [job for job in eligible if probed.get(job.wish.route.destination_id, job) is job]
        chosen = [job for job in chosen if not self._is_being_probed(job)][: 1 if request.alone else request.limit]
        self._token += bool(chosen)
        return tuple(self._give(job, request) for job in chosen)

    def _is_open(self, job: Job, request: ClaimRequest) -> bool:
        route = job.wish.route
        return (
            route in request.routes
            and not self.jobs.is_stopped(route)
            and job.wish.constraints.isdisjoint(request.unmet)
            and (request.share is None or request.share.takes(job.wish.asset_id, job.wish.tags))
        )

    def _is_eligible(self, job: Job, request: ClaimRequest) -> bool:
        place = self.jobs.place(job)
        is_due = place is Place.READY or (request.force and place is Place.WAITING and job.wait is WaitReason.BACKOFF)
        worker, token = job.last
        was_given = request.floor is not None and worker == request.worker_id and token > request.floor
        return is_due and not was_given and request.alone is (job.crashes >= _ALONE_FROM)

    def _half_open(self, job: Job) -> Pause | None:
        """The automatic pause of its destination, if its time is over."""
        _, pause = self.jobs.parties(job.wish.route)
        return pause if pause is not None and pause.automatic and not self.jobs.in_force(pause) else None

    def _probes(self, eligible: Sequence[Job]) -> list[Job]:
        """Of half-open destinations: in the order of preference, the task that was the reason last."""
        suspects = [job for job in eligible if (pause := self._half_open(job)) and pause.task_id == job.number]
        half_open = [job for job in eligible if self._half_open(job)]
        return [job for job in half_open if job not in suspects] + suspects

    def _is_being_probed(self, job: Job) -> bool:
        destination = job.wish.route.destination_id
        return self._half_open(job) is not None and any(
            other.hold is not None and other.wish.route.destination_id == destination for other in self.jobs.live()
        )

    def _give(self, job: Job, request: ClaimRequest) -> Claim:
        clock = self.jobs.clock
        began_before = job.ever_begun
        job.hold = Hold(
            worker=request.worker_id,
            token=self._token,
            boot_id=clock.boot_id(),
            lease_end_ns=clock.boot_ns() + request.lease_ns,
        )
        job.last = request.worker_id, self._token
        job.wait = job.progress = None
        job.updated_ns = self.jobs.now
        if request.begin:
            self.jobs.count(job)
        return Claim(self.jobs.shown(job)._replace(ever_begun=began_before), self._token)

    def begin(self, refs: Sequence[ClaimRef]) -> frozenset[int]:
        """Count the attempts."""
        jobs = self._held(refs)
        for job in jobs:
            self.jobs.count(job)
        return _numbers(jobs)

    def extend(
        self, refs: Sequence[ClaimRef], *, lease_ns: int, progress: Mapping[int, UploadProgress] | None = None
    ) -> frozenset[int]:
        """Move the ends of the leases."""
        jobs = self._held(refs)
        for job in jobs:
            assert job.hold is not None  # noqa: S101 - as in all suites
            job.hold.boot_id = self.jobs.clock.boot_id()
            job.hold.lease_end_ns = self.jobs.clock.boot_ns() + lease_ns
            job.progress = (progress or {}).get(job.number, job.progress)
        return _numbers(jobs)

    def settle(
        self,
        settlements: Sequence[Settlement],
        *,
        durable: bool = False,  # noqa: ARG002 - see the class
        then_claim: ClaimRequest | None = None,
    ) -> SettleResult:
        """One after the other, then claim."""
        self.jobs.look()
        settled = [job for item in settlements for job in self._held([item.ref]) if self._settle(job, item)]
        claims = () if then_claim is None else self.claim_batch(then_claim)
        return SettleResult(settled=_numbers(settled), claims=tuple(claims))

    def _settle(self, job: Job, item: Settlement) -> bool:
        jobs = self.jobs
        if isinstance(item, Delivered | Failed | Dead):
            jobs.count(job)
        else:
            job.attempts -= _is_counted(job) and not isinstance(item, Cancelled)
        match item:
            case Delivered():
                self._deliver(job, item)
            case Failed():
                job.error = item.error
                jobs.again(job, due_ns=item.retry_ns, wait=WaitReason.BACKOFF)
            case Dead():
                job.error = job.error if item.error is None else item.error
                jobs.finish(job, TaskState.DEAD, item.reason)
            case Released():
                job.error = job.error if item.note is None else item.note
                jobs.again(job, due_ns=job.due_ns if item.due_ns is None else item.due_ns, wait=item.wait)
            case Cancelled():
                jobs.finish(job, TaskState.CANCELLED, item.reason)
            case Superseded():
                jobs.finish(job, TaskState.CANCELLED, "superseded")
                self._enqueue_found(jobs.version_of(job, item.found, item.due_ns))
        return True

    def _deliver(self, job: Job, item: Delivered) -> None:
        earlier = self.jobs.latest(job.asset)
        if earlier is not None:
            earlier.replaced = True
        job.receipt, job.delivered_ns, job.owes = item.receipt, self.jobs.now, item.action
        job.error = job.resume = job.progress = None
        self.jobs.finish(job, TaskState.SUCCESS)
        if not item.receipt.deduplicated:
            for pause in self.jobs.parties(job.wish.route):
                if pause is not None and pause.automatic and not self.jobs.in_force(pause):
                    del self.jobs.pauses[pause.scope, pause.value]

    def _enqueue_found(self, wish: NewTask) -> None:
        waiting = self.jobs.waiting((wish.route, wish.asset_id))
        if waiting is None or waiting.wish.key != wish.key:
            self._enqueue(wish)

    def save_resume_state(self, ref: ClaimRef, state: Mapping[str, object] | None) -> bool:
        """Keep it as JSON gives it back."""
        held = self._held([ref])
        for job in held:
            job.resume = None if state is None else json.loads(json.dumps(dict(state)))
        return bool(held)

    def interrupts(self, worker_id: str) -> Sequence[Interrupt]:
        """What shall stop."""
        return [
            Interrupt(ClaimRef(job.number, hold.token), paused=hold.stop is None)
            for job in self._held_by(worker_id)
            if (hold := job.hold)
            and (hold.stop or job.wish.tags & self.jobs.paused_tags() or self.jobs.is_stopped(job.wish.route))
        ]

    def take_back(self, *, dead_after: int, backoff_ns: Sequence[int], asking: str | None = None) -> int:
        """What is over."""
        self.jobs.look()
        lapsed = [job for job in self.jobs.live() if job.hold and job.hold.worker != asking and self._is_over(job.hold)]
        for job in lapsed:
            if not _is_counted(job):
                self.jobs.again(job, due_ns=job.due_ns, wait=None)
                continue
            self.jobs.uncount(job)
            job.crashes += 1
            if job.crashes >= dead_after and job.hold is not None and job.hold.stop is None:
                self.jobs.finish(job, TaskState.DEAD, "crashed")
            else:
                wait_ns = backoff_ns[min(job.crashes, len(backoff_ns)) - 1]
                self.jobs.again(job, due_ns=self.jobs.now + wait_ns, wait=WaitReason.BACKOFF)
        return len(lapsed)

    def _is_over(self, hold: Hold) -> bool:
        clock = self.jobs.clock
        return hold.worker in self._lost or hold.boot_id != clock.boot_id() or hold.lease_end_ns <= clock.boot_ns()

    def last_token(self) -> int:
        """The counter."""
        return self._token

    def next_due_ns(self, routes: Sequence[Route]) -> int | None:
        """The smallest due time that lies ahead."""
        self.jobs.look()
        waiting = (job for job in self.jobs.live() if self.jobs.place(job) is Place.WAITING)
        due = (job.due_ns for job in waiting if job.wish.route in routes)
        return min((when for when in due if when > self.jobs.now), default=None)

    # ---- what was delivered

    def delivered(self, route: Route, asset_ids: Sequence[bytes]) -> Sequence[Task | None]:
        """The latest of each."""
        latest = (self.jobs.latest((route, asset_id)) for asset_id in asset_ids)
        return [None if job is None else self.jobs.shown(job) for job in latest]

    def has_content_of_size(self, ref: ClaimRef, size: int) -> bool:
        """Another asset's."""
        own = self.jobs.all.get(ref.task_id)
        return own is None or any(
            job.wish.fingerprint.size == size and job.asset != own.asset and (job.end is None or job.is_latest)
            for job in self._at(own.wish.route.destination_id)
        )

    def reserve_content(self, ref: ClaimRef, sha256: str) -> Reservation:
        """Delivered, reserved by another, or free."""
        for own in self._held([ref]):
            peers = self._at(own.wish.route.destination_id)
            for job in peers:
                receipt = job.receipt
                if job.is_latest and receipt and receipt.sha256 == sha256 and not receipt.deduplicated:
                    return ReservationState.DELIVERED, receipt
            if any(job.hold and job.hold.content == sha256 for job in peers if job is not own):
                return ReservationState.BUSY, None
            assert own.hold is not None  # noqa: S101 - as in all suites
            own.hold.content = sha256
            return ReservationState.RESERVED, None
        raise LeaseLost(f"task {ref.task_id} is not held with token {ref.token}")

    def _at(self, destination_id: str) -> list[Job]:
        return [job for job in self.jobs.all.values() if job.wish.route.destination_id == destination_id]

    # ---- what follows a delivery

    def live_directories(self, source_id: str, *, limit: int) -> frozenset[bytes] | None:
        """Of all live tasks."""
        live = [job.wish.asset_id for job in self.jobs.live() if job.wish.route.source_id == source_id]
        return None if len(live) > limit else frozenset(split(asset_id)[0] for asset_id in live)

    def move(self, route: Route, asset_id: bytes, to: bytes) -> Task | None:
        """The receipt goes along, the waiting task ends."""
        waiting, latest = self.jobs.waiting((route, asset_id)), self.jobs.latest((route, asset_id))
        if waiting is not None:
            self.jobs.finish(waiting, TaskState.CANCELLED, "superseded")
        if latest is None:
            return None
        standing = self.jobs.latest((route, to))
        if standing is not None:
            standing.replaced = True
        latest.wish = latest.wish._replace(asset_id=to)
        return self.jobs.shown(latest)

    def pending_actions(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """By number."""
        owing = [job for job in self.jobs.all.values() if job.owes is not None and job.wish.route in routes]
        return [self.jobs.shown(job) for job in owing[:limit]]

    def finish_action(self, task_id: int, *, error: str | None = None) -> bool:  # noqa: ARG002 - for people
        """It owes nothing more."""
        job = self.jobs.all.get(task_id)
        if job is None or job.owes is None:
            return False
        job.owes = None
        return True

    def unfinished(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """By number."""
        mine = [job for job in self.jobs.all.values() if job.wish.route in routes]
        left = [job for job in mine if job.state in _ENDED_WITHOUT and job.resume is not None]
        return [self.jobs.shown(job) for job in left[:limit]]

    def finish_unfinished(self, task_id: int) -> None:
        """Nobody goes on with it."""
        job = self.jobs.all.get(task_id)
        if job is not None and job.state in _ENDED_WITHOUT:
            job.resume = None

    def activity(self, routes: Sequence[Route]) -> tuple[int | None, int | None]:
        """(earliest due time, latest delivery)."""
        mine = [job for job in self.jobs.all.values() if job.wish.route in routes]
        due = (job.due_ns for job in mine if self.jobs.place(job) in {Place.READY, Place.WAITING})
        delivered = (job.delivered_ns for job in mine if job.delivered_ns is not None)
        return min(due, default=None), max(delivered, default=None)

    # ---- people

    def cancel(self, selection: TaskSelection, *, reason: str = "user") -> tuple[int, int]:
        """End what waits, ask what runs."""
        self.jobs.look()
        chosen = [job for job in self.jobs.chosen(selection) if job.end is None]
        waiting = [job for job in chosen if job.hold is None]
        for job in chosen:
            if job.hold is not None:
                job.hold.stop = reason
            else:
                self.jobs.finish(job, TaskState.CANCELLED, reason)
        return len(waiting), len(chosen) - len(waiting)

    def retry(self, selection: TaskSelection) -> tuple[Sequence[int], Mapping[int, str]]:
        """The newest first."""
        self.jobs.look()
        is_named = any(given is not None for given in (selection.ids, selection.keys, selection.asset_ids))
        retried: list[int] = []
        skipped: dict[int, str] = {}
        for job in reversed(self.jobs.chosen(selection)):
            obstacle = self._obstacle(job)
            if obstacle is None:
                job.end = job.reason = job.wait = None
                job.attempts = job.crashes = 0
                job.live_since_ns = job.updated_ns = job.due_ns = self.jobs.now
                retried.append(job.number)
            elif is_named or job.state in {TaskState.DEAD, TaskState.CANCELLED, TaskState.FAILED}:
                skipped[job.number] = obstacle
        return tuple(sorted(retried)), skipped

    def _obstacle(self, job: Job) -> str | None:
        if job.end is None:
            failed = job.state is TaskState.FAILED or job.wait is WaitReason.BACKOFF
            return None if failed and self.jobs.place(job) is not Place.BEHIND else "not ended"
        if job.end is TaskState.SUCCESS:
            return "delivered"
        if any(other.end is None for other in self.jobs.of_asset(job.asset)):
            return "live task"
        latest = self.jobs.latest(job.asset)
        return "newer version delivered" if latest is not None and latest.number > job.number else None

    def pause(self, pause: Pause) -> None:
        """Set or replace it."""
        if pause.scope is PauseScope.TAG:
            self.jobs.notice_due_of({pause.value}, but_of=self.jobs.paused_tags())
        self.jobs.pauses[pause.scope, pause.value] = pause
        self.jobs.look()

    def resume(self, scope: PauseScope, value: str = "") -> bool:
        """Forget it."""
        self.jobs.look()
        held = self.jobs.paused_tags()
        found = self.jobs.pauses.pop((scope, value), None)
        if found is not None and scope is PauseScope.TAG:
            self.jobs.notice_due_of(held)
        return found is not None

    def pauses(self) -> Sequence[Pause]:
        """All that still count."""
        self.jobs.look()
        return list(self.jobs.pauses.values())

    def tasks(self, selection: TaskSelection, *, limit: int = 100, after_id: int = 0) -> Sequence[Task]:
        """By number."""
        self.jobs.look()
        chosen = [job for job in self.jobs.chosen(selection) if job.number > after_id]
        return [self.jobs.shown(job) for job in chosen[:limit]]

    def counts(self, routes: Sequence[Route] | None = None) -> Mapping[TaskState, int]:
        """Count."""
        found = Counter(job.state for job in self.jobs.all.values() if routes is None or job.wish.route in routes)
        return {state: found[state] for state in TaskState}

    def purge(self, selection: TaskSelection, *, before_ns: int) -> int:
        """Ended, old, no latest receipt, and nothing that may have overwritten what one tells of."""
        old = [job for job in self.jobs.chosen(selection) if job.end and not job.is_latest]
        gone = [job for job in old if job.updated_ns < before_ns and not self._casts_doubt(job)]
        for job in gone:
            del self.jobs.all[job.number]
        return len(gone)

    # ---- parts

    def _casts_doubt(self, job: Job) -> bool:
        latest = self.jobs.latest(job.asset)
        return job.ever_begun and latest is not None and latest.number < job.number

    def _held(self, refs: Sequence[ClaimRef]) -> list[Job]:
        """The tasks of the claims that still hold."""
        found = ((self.jobs.all.get(ref.task_id), ref) for ref in refs)
        return [job for job, ref in found if job and job.hold and job.hold.token == ref.token]

    def _held_by(self, worker_id: str) -> list[Job]:
        return [job for job in self.jobs.live() if job.hold and job.hold.worker == worker_id]


def _is_counted(job: Job) -> bool:
    return job.hold is not None and job.hold.counted


def _numbers(jobs: Sequence[Job]) -> frozenset[int]:
    return frozenset(job.number for job in jobs)
