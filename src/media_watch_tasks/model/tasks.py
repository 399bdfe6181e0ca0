"""Tasks: one per asset version and route, from enqueue to the end, and the values that move them.

What is made for each task that goes through the queue is a named tuple, given by keyword all the same: a store makes it
from a row by position, without a call for each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import attrs

from media_watch_tasks.clock import from_ns
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, Route, display_text, task_key
from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.model.shares import Share
from media_watch_tasks.model.uploads import UploadProgress, UploadReceipt
from media_watch_tasks.model.values import Value

__all__ = [
    "Claim",
    "ClaimRef",
    "ClaimRequest",
    "EnqueueOutcome",
    "EnqueueResult",
    "NewTask",
    "Task",
    "TaskSelection",
    "TaskState",
    "WaitReason",
]


class TaskState(StrEnum):
    """The public states. `failed` means: will be retried when due. `success`, `dead` and `cancelled` are ends."""

    PENDING = "pending"
    UPLOADING = "uploading"
    SUCCESS = "success"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def is_live(self) -> bool:
        """True while the task can still run."""
        return self in _LIVE


_LIVE = frozenset({TaskState.PENDING, TaskState.UPLOADING, TaskState.FAILED})


class WaitReason(StrEnum):
    """Why a live task is not eligible now."""

    SETTLING = "settling"
    """The file must stand still first."""
    BACKOFF = "backoff"
    """A failed attempt; `force` skips this wait and no other."""
    SNOOZED = "snoozed"
    """The resolver or uploader asked to wait."""
    HELD = "held"
    """A tag of the task is paused."""
    BEHIND = "behind"
    """An older version of the asset is running; this one follows when that has ended."""


class NewTask(NamedTuple):
    """What `enqueue_if_absent` takes."""

    route: Route
    asset_id: bytes
    fingerprint: Fingerprint
    due_ns: int
    """Wall time before which the task is not eligible."""
    priority: int = 0
    """Higher goes first."""
    tags: frozenset[str] = frozenset()
    constraints: frozenset[str] = frozenset()
    """Names of the constraints that must be met; each combination is a lane of its own."""
    force: bool = False
    """Send again although this version was delivered, and take the place of a waiting task."""

    @property
    def key(self) -> bytes:
        """The idempotency key, 32 bytes."""
        return task_key(self.route, self.asset_id, self.fingerprint)


class EnqueueOutcome(StrEnum):
    """What became of one `NewTask`."""

    ENQUEUED = "enqueued"
    SUPERSEDED = "superseded"
    """Enqueued; an older waiting version of the asset ended `cancelled: superseded`."""
    BEHIND = "behind"
    """Enqueued behind a running task of an older version."""
    LIVE = "live"
    """Nothing written: a live task has this key."""
    DELIVERED = "delivered"
    """Nothing written: this version is the asset's latest delivered one."""

    @property
    def is_new(self) -> bool:
        """True where a task was written."""
        return self in _NEW


_NEW = frozenset({EnqueueOutcome.ENQUEUED, EnqueueOutcome.SUPERSEDED, EnqueueOutcome.BEHIND})


class EnqueueResult(NamedTuple):
    """The outcome of one `NewTask`; `task_id` is the new task, or the live one that has the key, else None."""

    outcome: EnqueueOutcome
    task_id: int | None = None


class Task(NamedTuple):
    """A snapshot of a task. Times in `_ns` are nanoseconds since 1970-01-01 UTC; the properties are datetimes."""

    id: int
    route: Route
    asset_id: bytes
    fingerprint: Fingerprint
    key_bytes: bytes
    state: TaskState
    due_ns: int
    enqueued_ns: int
    live_since_ns: int
    """Enqueued, or the last `retry`: from here `expires_after` counts."""
    updated_ns: int
    waits_for: WaitReason | None = None
    """Why a `pending` or `failed` task is not eligible now; None when it is."""
    priority: int = 0
    tags: frozenset[str] = frozenset()
    constraints: frozenset[str] = frozenset()
    attempts: int = 0
    """Attempts that ended in a failure or success since `live_since_ns`, and the one that runs."""
    crashes: int = 0
    """Deaths of a worker process while it worked on this task."""
    ever_begun: bool = False
    """Work on this key had begun before this claim: the destination is asked before anything is sent.

    Neither release nor retry resets it, and a task that is enqueued anew for an earlier version inherits it.
    """
    reason: str | None = None
    """Why the task is `dead` or `cancelled`: a stable word such as `source_gone`, `superseded`, `crashed`."""
    error: str | None = None
    """The last error, for people; redacted."""
    resume_state: Mapping[str, Any] | None = None
    progress: UploadProgress | None = None
    receipt: UploadReceipt | None = None
    delivered_ns: int | None = None
    replaced: bool = False
    """A newer version of the asset was delivered; this receipt answers no question any more."""

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self._fields if name not in _NOT_SHOWN)
        return f"Task({', '.join(shown)})"

    @property
    def source_id(self) -> str:
        """The source of the route."""
        return self.route.source_id

    @property
    def destination_id(self) -> str:
        """The destination of the route."""
        return self.route.destination_id

    @property
    def asset(self) -> MediaAsset:
        """The version of the asset that the task delivers."""
        return MediaAsset(self.route.source_id, self.asset_id, self.fingerprint.size, self.fingerprint.mtime_ns)

    @property
    def key(self) -> str:
        """The idempotency key as 64 hex digits."""
        return self.key_bytes.hex()

    @property
    def display(self) -> str:
        """The path for people and logs."""
        return display_text(self.asset_id)

    @property
    def kind(self) -> MediaKind:
        """The kind by extension."""
        return kind_of(self.asset_id)

    @property
    def due_at(self) -> datetime:
        """When the task becomes eligible."""
        return from_ns(self.due_ns)

    @property
    def enqueued_at(self) -> datetime:
        """When the task was enqueued."""
        return from_ns(self.enqueued_ns)

    @property
    def updated_at(self) -> datetime:
        """The last change of state."""
        return from_ns(self.updated_ns)

    @property
    def delivered_at(self) -> datetime | None:
        """When the success was written."""
        return None if self.delivered_ns is None else from_ns(self.delivered_ns)


_NOT_SHOWN = frozenset({"key_bytes", "resume_state"})
"""Bytes, which `key` has for people, and what an uploader keeps for itself."""


class ClaimRef(NamedTuple):
    """Names a claim: writes act only where both still match."""

    task_id: int
    token: int
    """The fencing token: of one task it grows with every claim, so that an older claim of it fences nothing."""


class Claim(NamedTuple):
    """A task that this worker holds until its lease ends."""

    task: Task
    token: int

    @property
    def ref(self) -> ClaimRef:
        """What `extend`, `settle` and `save_resume_state` take."""
        return ClaimRef(self.task.id, self.token)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ClaimRequest(Value):
    """What a worker asks for."""

    worker_id: str
    routes: tuple[Route, ...]
    limit: int
    """No more than the worker will turn to at once, or one batch of the destination."""
    lease_ns: int
    longest_delay_ns: int
    """A due time further off than this is pulled in: the wall clock has jumped."""
    unmet: frozenset[str] = frozenset()
    """Names of constraints that are not met now: lanes that ask for one of them are passed by."""
    begin: bool = True
    """Count the attempt now, because the work starts at once. False: `begin()` is called later."""
    force: bool = False
    """Take tasks in back-off too. Settling, snoozed and held ones stay."""
    alone: bool = False
    """Take one task that must be begun alone (two workers died on it), and no other."""
    floor: int | None = None
    """No task that this worker has claimed with a token above this one: a run takes each task at most once."""
    share: Share | None = None
    """Only tasks that belong to it; None: all."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskSelection(Value):
    """Which tasks a call means: every given field narrows it. An empty selection means all tasks of the routes."""

    routes: tuple[Route, ...] | None = None
    ids: frozenset[int] | None = None
    keys: frozenset[bytes] | None = None
    asset_ids: frozenset[bytes] | None = None
    states: frozenset[TaskState] | None = None
    tag: str | None = None
