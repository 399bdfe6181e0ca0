"""The facts of which the model of the queue consists; where a task stands in the queue follows from them.

Nothing here is fast, and nothing is kept twice: whether a task is ready, waits, is held or stands behind another one is
found out anew at every look. So there is no place in which the model could forget to change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import Any

import attrs

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.model.tasks import NewTask, Task, TaskSelection, TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadProgress, UploadReceipt

__all__ = ["Hold", "Job", "Jobs", "Place", "in_order"]

_PARTIES = frozenset({PauseScope.SOURCE, PauseScope.DESTINATION})


class Place(Enum):
    """Where a task stands."""

    READY = auto()
    WAITING = auto()
    HELD = auto()
    BEHIND = auto()
    RUNNING = auto()
    ENDED = auto()


@attrs.define(eq=False, kw_only=True)
class Hold:
    """A worker's claim on a task."""

    worker: str
    token: int
    boot_id: str
    lease_end_ns: int
    counted: bool = False
    """The attempt."""
    stop: str | None = None
    """The reason for which somebody wants it to stop."""
    content: str | None = None
    """The SHA-256 that it has reserved."""


@attrs.define(eq=False, kw_only=True)
class Job:
    """What is known of one task."""

    number: int
    wish: NewTask
    """As it was enqueued; the asset may have moved since."""
    due_ns: int
    wait: WaitReason | None
    """Why it is not to be done before it is due. None once it was seen to be due: the wall clock may jump back."""
    enqueued_ns: int
    live_since_ns: int
    updated_ns: int
    hold: Hold | None = None
    last: tuple[str, int] = ("", 0)
    """(worker, token) of the latest claim."""
    end: TaskState | None = None
    reason: str | None = None
    error: str | None = None
    attempts: int = 0
    crashes: int = 0
    ever_begun: bool = False
    resume: Mapping[str, Any] | None = None
    progress: UploadProgress | None = None
    receipt: UploadReceipt | None = None
    delivered_ns: int | None = None
    replaced: bool = False
    owes: str | None = None
    """The after-upload action that is not done yet."""

    @property
    def asset(self) -> tuple[Route, bytes]:
        """Whose version this is."""
        return self.wish.route, self.wish.asset_id

    @property
    def is_latest(self) -> bool:
        """True for the asset's latest delivered version."""
        return self.end is TaskState.SUCCESS and not self.replaced

    @property
    def state(self) -> TaskState:
        """The public one."""
        if self.end is not None:
            return self.end
        if self.hold is not None:
            return TaskState.UPLOADING
        return TaskState.FAILED if self.attempts > 0 else TaskState.PENDING


class Jobs:
    """All tasks and pauses, and what follows from them now."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.all: dict[int, Job] = {}
        self.pauses: dict[tuple[PauseScope, str], Pause] = {}
        self.given = 0
        """How many numbers were given."""

    @property
    def now(self) -> int:
        """Wall time."""
        return self.clock.now_ns()

    def look(self) -> None:
        """Notice what time has done: pauses that ended are forgotten, and what they held is let go."""
        ended = {
            name: pause
            for name, pause in self.pauses.items()
            if not self.in_force(pause) and not (pause.automatic and pause.scope in _PARTIES)
        }
        if ended:
            self.notice_due_of(self.paused_tags() | {value for scope, value in ended if scope is PauseScope.TAG})
        for name in ended:
            del self.pauses[name]

    def notice_due_of(self, tags: AbstractSet[str], *, but_of: AbstractSet[str] = frozenset()) -> None:
        """Notice which tasks of these tags, and of none of the others, are due.

        It happens when they begin and cease to be held: nobody looks at what is held meanwhile.
        """
        for job in self.live():
            of_tags = not job.wish.tags.isdisjoint(tags) and job.wish.tags.isdisjoint(but_of)
            if of_tags and job.hold is None and self.running(job.asset) is None:
                self.notice_due(job)

    # ---- what follows from the facts

    def of_asset(self, asset: tuple[Route, bytes]) -> list[Job]:
        """All versions, in the order in which they were enqueued."""
        return [job for job in self.all.values() if job.asset == asset]

    def live(self) -> Iterator[Job]:
        """What has not ended."""
        return (job for job in self.all.values() if job.end is None)

    def running(self, asset: tuple[Route, bytes]) -> Job | None:
        """The version that somebody holds."""
        return next((job for job in self.of_asset(asset) if job.hold is not None), None)

    def waiting(self, asset: tuple[Route, bytes]) -> Job | None:
        """The version that is live and that nobody holds."""
        return next((job for job in self.of_asset(asset) if job.end is None and job.hold is None), None)

    def latest(self, asset: tuple[Route, bytes]) -> Job | None:
        """The latest delivered version."""
        return next((job for job in self.of_asset(asset) if job.is_latest), None)

    def place(self, job: Job) -> Place:
        """Where it stands."""
        if job.end is not None:
            return Place.ENDED
        if job.hold is not None:
            return Place.RUNNING
        if self.running(job.asset) is not None:
            return Place.BEHIND
        if job.wish.tags & self.paused_tags():
            return Place.HELD
        return Place.READY if job.wait is None else Place.WAITING

    def is_sent(self, asset: tuple[Route, bytes], key: bytes) -> bool:
        """True if this version was delivered last, and nothing can have overwritten it."""
        latest = self.latest(asset)
        if latest is None or latest.wish.key != key:
            return False
        return not any(
            job.ever_begun or job.hold is not None for job in self.of_asset(asset) if job.number > latest.number
        )

    # ---- pauses

    def in_force(self, pause: Pause) -> bool:
        """True until its end."""
        return pause.until_ns is None or self.now < pause.until_ns

    def paused_tags(self) -> frozenset[str]:
        """Tags on which a pause is in force."""
        return frozenset(
            value for (scope, value), pause in self.pauses.items() if scope is PauseScope.TAG and self.in_force(pause)
        )

    def is_stopped(self, route: Route) -> bool:
        """True if a pause of everything, the source or the destination is in force."""
        return any(pause is not None and self.in_force(pause) for pause in (self._all(), *self.parties(route)))

    def parties(self, route: Route) -> tuple[Pause | None, Pause | None]:
        """The pauses of the source and of the destination."""
        return (
            self.pauses.get((PauseScope.SOURCE, route.source_id)),
            self.pauses.get((PauseScope.DESTINATION, route.destination_id)),
        )

    def _all(self) -> Pause | None:
        return self.pauses.get((PauseScope.ALL, ""))

    # ---- moves

    def add(self, wish: NewTask, *, remembers: bool) -> Job:
        """A new task. With `remembers`, work that began on its key before counts."""
        begun = remembers and any(job.ever_begun and job.wish.key == wish.key for job in self.of_asset(_of(wish)))
        self.given += 1
        job = Job(
            number=self.given,
            wish=wish,
            due_ns=wish.due_ns,
            wait=WaitReason.SETTLING,
            enqueued_ns=self.now,
            live_since_ns=self.now,
            updated_ns=self.now,
            ever_begun=begun,
        )
        self.notice_due(job)
        self.all[job.number] = job
        return job

    def notice_due(self, job: Job) -> None:
        """Once it was due it does not wait again."""
        if job.due_ns <= self.now:
            job.wait = None

    def finish(self, job: Job, state: TaskState, reason: str | None = None) -> None:
        """End it; what stands behind it steps forward."""
        was_held = job.hold is not None
        job.hold, job.end, job.reason, job.updated_ns, job.wait = None, state, reason, self.now, None
        follower = self.waiting(job.asset) if was_held else None
        if follower is not None:
            self.notice_due(follower)

    def again(self, job: Job, *, due_ns: int, wait: WaitReason | None) -> None:
        """A held task is to be done again, unless somebody wants it to stop or there is a newer version."""
        assert job.hold is not None  # noqa: S101 - as in all suites
        if job.hold.stop is not None:
            self.finish(job, TaskState.CANCELLED, job.hold.stop)
        elif self.waiting(job.asset) is not None:
            self.finish(job, TaskState.CANCELLED, "superseded")
        else:
            job.hold, job.due_ns, job.wait, job.updated_ns = None, due_ns, wait, self.now
            self.notice_due(job)

    def count(self, job: Job) -> None:
        """Work begins: that is an attempt."""
        assert job.hold is not None  # noqa: S101 - as in all suites
        if not job.hold.counted:
            job.hold.counted = job.ever_begun = True
            job.attempts += 1

    def uncount(self, job: Job) -> None:
        """Give the attempt back."""
        assert job.hold is not None  # noqa: S101 - as in all suites
        job.attempts -= job.hold.counted

    # ---- what callers see

    def chosen(self, selection: TaskSelection) -> list[Job]:
        """By number."""
        return [job for job in self.all.values() if _fits(job, selection)]

    def shown(self, job: Job) -> Task:
        """A snapshot."""
        waits = {
            Place.HELD: WaitReason.HELD,
            Place.BEHIND: WaitReason.BEHIND,
            Place.WAITING: job.wait if job.due_ns > self.now else None,
        }
        return Task(
            id=job.number,
            route=job.wish.route,
            asset_id=job.wish.asset_id,
            fingerprint=job.wish.fingerprint,
            key_bytes=job.wish.key,
            state=job.state,
            waits_for=waits.get(self.place(job)),
            priority=job.wish.priority,
            tags=job.wish.tags,
            constraints=job.wish.constraints,
            due_ns=job.due_ns,
            enqueued_ns=job.enqueued_ns,
            live_since_ns=job.live_since_ns,
            updated_ns=job.updated_ns,
            attempts=job.attempts,
            crashes=job.crashes,
            ever_begun=job.ever_begun,
            reason=job.reason,
            error=job.error,
            resume_state=job.resume,
            progress=job.progress,
            receipt=job.receipt,
            delivered_ns=job.delivered_ns,
            replaced=job.replaced,
        )

    def version_of(self, job: Job, found: Fingerprint, due_ns: int) -> NewTask:
        """What is wished for in its place when the file was found changed."""
        return job.wish._replace(fingerprint=found, due_ns=due_ns, force=False)


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """As they are given out: by priority (high first), due time, number."""
    return sorted(jobs, key=lambda job: (-job.wish.priority, job.due_ns, job.number))


def _of(wish: NewTask) -> tuple[Route, bytes]:
    return wish.route, wish.asset_id


def _fits(job: Job, selection: TaskSelection) -> bool:
    wanted = (
        (selection.routes, job.wish.route),
        (selection.ids, job.number),
        (selection.keys, job.wish.key),
        (selection.asset_ids, job.wish.asset_id),
        (selection.states, job.state),
    )
    return all(some is None or one in some for some, one in wanted) and (
        selection.tag is None or selection.tag in job.wish.tags
    )
