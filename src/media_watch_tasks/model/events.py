"""What happens, told to listeners: frozen values, sent from a thread of their own, never in the way of the work."""

from __future__ import annotations

from datetime import datetime

import attrs

from media_watch_tasks.clock import from_ns
from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.scans import ScanProblem
from media_watch_tasks.model.settlements import Pause
from media_watch_tasks.model.tasks import Task
from media_watch_tasks.model.uploads import UploadProgress, UploadReceipt
from media_watch_tasks.model.values import Value

__all__ = [
    "ActionDone",
    "AssetChangedEvent",
    "AssetDiscovered",
    "AssetEvent",
    "AssetMissing",
    "AssetMoved",
    "AssetUnsettled",
    "BaselineDebtPaid",
    "Event",
    "EventsDropped",
    "Paused",
    "PayloadFreed",
    "PayloadKept",
    "QuarantineEnded",
    "Quarantined",
    "Resumed",
    "RootAccepted",
    "ScanFinished",
    "ScanPageDone",
    "ScanProblemFound",
    "ScanStarted",
    "SourceEvent",
    "TaskBegun",
    "TaskCancelled",
    "TaskDead",
    "TaskEnqueued",
    "TaskEvent",
    "TaskFailed",
    "TaskProgress",
    "TaskReleased",
    "TaskSucceeded",
]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Event(Value):
    """Something that happened."""

    at_ns: int = attrs.field(repr=False)
    """Wall time, nanoseconds since 1970-01-01 UTC."""

    @property
    def at(self) -> datetime:
        """Wall time as an aware UTC datetime."""
        return from_ns(self.at_ns)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EventsDropped(Event):
    """The listener was too slow: this many events were left out before this one."""

    count: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SourceEvent(Event):
    """Something about a source."""

    source_id: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ScanStarted(SourceEvent):
    """A scan began; `resumed` if it goes on where an earlier one was cut off."""

    resumed: bool = False
    baseline: bool = False


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ScanPageDone(SourceEvent):
    """A page was committed."""

    directory: bytes
    assets: int
    enqueued: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ScanProblemFound(SourceEvent):
    """Something could not be listed; the scan goes on."""

    problem: ScanProblem


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ScanFinished(SourceEvent):
    """A scan ended; `complete` if every directory was listed."""

    complete: bool
    assets: int
    new: int
    changed: int
    enqueued: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BaselineDebtPaid(SourceEvent):
    """A directory that the baseline could not see was listed: what is in it counts as the baseline, nothing is sent."""

    directory: bytes
    assets: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RootAccepted(SourceEvent):
    """The root got other names (a remount gives other device numbers) and was recognised by its files, or confirmed."""

    identity: RootIdentity


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Quarantined(SourceEvent):
    """Too much was absent, or another place stands at the root: no file is called missing until somebody has looked."""

    reason: str
    absent: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class QuarantineEnded(SourceEvent):
    """The files are back, or somebody has confirmed or rejected the absences."""

    how: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AssetEvent(SourceEvent):
    """Something about an asset."""

    asset_id: bytes

    @property
    def display(self) -> str:
        """The path for people and logs."""
        return display_text(self.asset_id)


class AssetDiscovered(AssetEvent):
    """A file that was not known."""

    __slots__ = ()


class AssetChangedEvent(AssetEvent):
    """A known file with another size or mtime."""

    __slots__ = ()


class AssetMissing(AssetEvent):
    """A known file was gone in a complete scan, or its task found it gone."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AssetMoved(AssetEvent):
    """A known file was found at another path; its receipts moved with it."""

    moved_from: bytes


class AssetUnsettled(AssetEvent):
    """The file has been changing, or in use, for a day: nothing was sent yet."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Paused(Event):
    """Something was paused, by a call or because a party asked for it."""

    pause: Pause


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Resumed(Event):
    """A pause ended."""

    pause: Pause


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskEvent(Event):
    """Something about a task; `task` is the snapshot the worker had."""

    task: Task


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskEnqueued(Event):
    """A task was written (the store gave it this id)."""

    task_id: int
    source_id: str
    destination_id: str
    asset_id: bytes

    @property
    def display(self) -> str:
        """The path for people and logs."""
        return display_text(self.asset_id)


class TaskBegun(TaskEvent):
    """Work on the task began."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskProgress(TaskEvent):
    """The upload moved on: sent each 1 %, and each half second in which it moved."""

    progress: UploadProgress


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskSucceeded(TaskEvent):
    """The bytes are durable at the destination and the receipt is in the database."""

    receipt: UploadReceipt


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskFailed(TaskEvent):
    """An attempt failed; the task is retried at `retry_ns`."""

    error: str
    retry_ns: int

    @property
    def retry_at(self) -> datetime:
        """When the next attempt is due."""
        return from_ns(self.retry_ns)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskDead(TaskEvent):
    """The task will not be tried again by itself; it is kept for inspection and `retry`."""

    reason: str
    error: str | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskCancelled(TaskEvent):
    """The task ended without delivery and without fault: `user`, `superseded`, `source_gone`."""

    reason: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ActionDone(TaskEvent):
    """The after-upload action was done, or given up for the reason `error`."""

    action: str
    error: str | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PayloadKept(TaskEvent):
    """The bytes of the file are kept on this machine until it is delivered."""

    size: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PayloadFreed(TaskEvent):
    """Bytes that were kept are not any more: delivered, cancelled, dead, expired."""

    size: int
    """Bytes that this made free; 0 where another task has the same content."""
    reason: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskReleased(TaskEvent):
    """The task went back to waiting, no attempt spent."""

    reason: str
