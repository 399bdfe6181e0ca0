"""What the manager's methods return: frozen, and never None where a number is known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import attrs

from media_watch_tasks.model.scans import ScanProblem
from media_watch_tasks.model.settlements import Pause
from media_watch_tasks.model.sources import BaselineState
from media_watch_tasks.model.values import Value

__all__ = [
    "BaselineReport",
    "CheckReport",
    "DescribeReport",
    "EnqueueReport",
    "ForeverReport",
    "HealthReport",
    "ProcessReport",
    "QuarantineReport",
    "RetryReport",
    "RunReport",
    "ScanReport",
    "SelectionReport",
    "SourceReport",
    "VerifyReport",
]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ScanReport(Value):
    """A scan. `complete` False: something could not be listed, or the scan was cut short."""

    source_id: str
    complete: bool = False
    skipped: str | None = None
    """Why nothing was scanned, for example `another scan is running`."""
    resumed: bool = False
    directories: int = 0
    assets: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    enqueued: int = 0
    already_queued: int = 0
    """A live task had the version already."""
    already_delivered: int = 0
    """The version is the latest delivered one."""
    moved: int = 0
    """Files that were found at another path: their receipts moved with them, nothing is sent again."""
    missing: int = 0
    """Files that this complete scan has found to be gone."""
    unlisted: int = 0
    """Directories left unlisted, because their stamp proves that their entries are the same."""
    quarantine: str | None = None
    """Why absences are held back, None if they are not."""
    baseline_recorded: int = 0
    """New files recorded without a task: they belong to a baseline that was still owed."""
    problems: tuple[ScanProblem, ...] = ()
    """The first 100."""
    problem_count: int = 0
    error: str | None = None
    """Why the scan ended early."""
    elapsed: timedelta = timedelta(0)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BaselineReport(Value):
    """A baseline."""

    source_id: str
    complete: bool
    already_complete: bool = False
    """It was complete before the call, which changed nothing."""
    resumed: bool = False
    skipped: str | None = None
    directories: int = 0
    recorded: int = 0
    """Assets recorded as seen by this call."""
    assets: int = 0
    problems: tuple[ScanProblem, ...] = ()
    """The first 100; these directories are owed: their first complete listing is their baseline."""
    problem_count: int = 0
    elapsed: timedelta = timedelta(0)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ProcessReport(Value):
    """A run of the queue. Every task taken is counted once, under what became of it."""

    taken: int = 0
    succeeded: int = 0
    deduplicated: int = 0
    """Of the succeeded: equal content was there already, nothing was sent."""
    failed: int = 0
    dead: int = 0
    cancelled: int = 0
    superseded: int = 0
    """The file had changed: the version found is queued."""
    released: int = 0
    """Back to waiting, no attempt spent: snoozed, still settling, paused, shut down."""
    lease_lost: int = 0
    """Another worker had taken the task: this one wrote nothing."""
    bytes_sent: int = 0
    unmet_constraints: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    """Name of the constraint and what it said last; tasks that ask for it stayed pending."""
    unknown_constraints: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    """Constraints that could not say at some time of this run, and why: they counted as the options say."""
    stopped_by: str = "empty"
    """`empty` (nothing is eligible now), `limit`, `time_budget`, `cancelled` or `closed`."""
    elapsed: timedelta = timedelta(0)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RunReport(Value):
    """`run_once`: the scan and the processing that ran with it and after it."""

    scan: ScanReport
    process: ProcessReport


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EnqueueReport(Value):
    """`enqueue`: asset ids by what became of them, over all destinations."""

    enqueued: int = 0
    already_queued: int = 0
    already_delivered: int = 0
    not_found: tuple[bytes, ...] = ()
    """Not at the source."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SelectionReport(Value):
    """`cancel`, `pause`, `resume`, `purge`: how many tasks the call acted on."""

    tasks: int = 0
    running: int = 0
    """Of them running, now or in another process: asked to stop, which they do within seconds."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RetryReport(Value):
    """`retry`."""

    retried: int = 0
    skipped: Mapping[int, str] = attrs.field(factory=dict, hash=False)
    """Task id and why it was left: `live task`, `newer version delivered`, `not ended`."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class QuarantineReport(Value):
    """`confirm_quarantine` and `reject_quarantine`."""

    source_id: str
    ended: bool
    """False: there was none."""
    missing: int = 0
    """Files that are called missing now."""
    skipped: str | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class DescribeReport(Value):
    """`describe`."""

    described: int = 0
    failed: int = 0
    """Files that could not be described; their metadata says why, and they are tried again when they change."""
    skipped: int = 0
    """Files that are gone, have changed, are in use, or could not be read now: another call takes them."""
    left: bool = False
    """True if files of the kinds that the resolver describes are left without a description."""
    stopped_by: str = "empty"
    """`empty`, `limit`, `time_budget`, `cancelled`, `closed` or `source offline: …`."""
    elapsed: timedelta = timedelta(0)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class VerifyReport(Value):
    """`verify`: receipts that were held against the destination."""

    checked: int = 0
    good: int = 0
    bad: tuple[int, ...] = ()
    """Task ids of receipts that the destination does not bear out."""
    unchecked: int = 0
    """Receipts of destinations that cannot verify, or could not be asked."""
    repaired: int = 0
    """Of the bad ones, queued again."""
    errors: tuple[str, ...] = ()
    """Why receipts could not be checked, each reason once."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class CheckReport(Value):
    """`check`: can this manager do its work? Empty `problems`: yes."""

    problems: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Destinations that have no check."""

    @property
    def ok(self) -> bool:
        """True if nothing was found."""
        return not self.problems


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HealthReport(Value):
    """`health`: does it do its work? Empty `problems`: yes."""

    problems: tuple[str, ...] = ()
    seconds_since_complete_scan: float | None = None
    seconds_since_delivery: float | None = None
    """None before the first."""
    oldest_waiting_seconds: float | None = None
    """How long the task has been due that has been due the longest; None if none is."""

    @property
    def ok(self) -> bool:
        """True if nothing was found."""
        return not self.problems


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SourceReport(Value):
    """A source as `sources()` shows it."""

    source_id: str
    baseline: BaselineState
    destinations: frozenset[str]
    assets: int
    """Known and present."""
    missing: int
    owed_directories: int
    complete_scans: int
    seconds_since_complete_scan: float | None
    """None before the first complete scan."""
    pauses: tuple[Pause, ...] = ()
    quarantine: str | None = None
    """Why absences are held back, None if they are not; `confirm_quarantine` or `reject_quarantine` ends it."""
    held_absences: int = 0
    """How many absences are held."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ForeverReport(Value):
    """`run_forever`, once it has been told to stop."""

    scans: int = 0
    """Complete ones."""
    failed_scans: int = 0
    """Scans that ended early or could not list everything."""
    succeeded: int = 0
    failed: int = 0
    dead: int = 0
