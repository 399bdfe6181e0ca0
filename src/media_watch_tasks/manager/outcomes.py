"""What an exception raised by an attempt means for its task: the one place that decides it."""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta
from typing import Literal

import attrs

from media_watch_tasks.cancellation import CancelReason
from media_watch_tasks.clock import to_ns
from media_watch_tasks.errors import (
    AlreadyExists,
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    LeaseLost,
    OperationCancelled,
    PermanentError,
    RateLimited,
    Snooze,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.settlements import (
    Cancelled,
    Dead,
    Delivered,
    Failed,
    PauseScope,
    Released,
    Settlement,
    Superseded,
)
from media_watch_tasks.model.tasks import Claim, Task, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.model.values import Value
from media_watch_tasks.options import TaskManagerOptions

__all__ = ["Counted", "Outcome", "PauseWish", "SourceVersionFound", "judge", "succeeded", "superseded"]

_log = logging.getLogger(__name__)

Counted = Literal["succeeded", "failed", "dead", "cancelled", "superseded", "released", "given_back", "lease_lost"]
"""Under what a run counts a task."""


class SourceVersionFound(Exception):  # noqa: N818 - a finding of the attempt, never shown to anybody
    """The file at the source is another version than the task's."""

    def __init__(self, found: Fingerprint) -> None:
        super().__init__(f"found {found.size} bytes, mtime {found.mtime_ns}")
        self.found = found


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PauseWish(Value):
    """A party asks to be left alone."""

    scope: PauseScope
    value: str
    reason: str
    until_ns: int | None = None
    """Wall time; None: the back-off decides."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Outcome(Value):
    """What becomes of one claim, and what goes with it."""

    claim: Claim
    counted: Counted
    settlement: Settlement | None = None
    """None: the lease was lost, nothing is written."""
    pause: PauseWish | None = None
    gone: bool = False
    """The asset is not at the source any more."""
    found: Fingerprint | None = None
    """A look at the source showed this version."""
    metadata: MediaMetadata | None = None
    """What a prober found, to be kept whatever became of the upload."""
    bytes_sent: int = 0
    message: str | None = None


def succeeded(
    claim: Claim, receipt: UploadReceipt, *, bytes_sent: int, metadata: MediaMetadata | None, action: str | None
) -> Outcome:
    """The bytes are at the destination."""
    return Outcome(
        claim=claim,
        counted="succeeded",
        settlement=Delivered(ref=claim.ref, receipt=receipt, action=action),
        bytes_sent=bytes_sent,
        metadata=metadata,
    )


def superseded(claim: Claim, found: Fingerprint, *, due_ns: int) -> Outcome:
    """The file is another version: that one is queued at once."""
    settlement = Superseded(ref=claim.ref, found=found, due_ns=due_ns)
    return Outcome(claim=claim, counted="superseded", settlement=settlement, found=found)


def judge(  # noqa: C901, PLR0911 - a table: one case and one return for each class of error
    claim: Claim, error: BaseException, *, options: TaskManagerOptions, now_ns: int, draw: float
) -> Outcome:
    """The outcome that an exception means.

    Args:
        claim: whose attempt raised it.
        error: the exception.
        options: back-off and limits.
        now_ns: wall time.
        draw: a random number from 0 to 1, for the jitter of the back-off.
    """
    message = redact(str(error)) or type(error).__name__
    ref = claim.ref
    match error:
        case OperationCancelled():
            return _cancelled(claim, error.reason, options=options, now_ns=now_ns, draw=draw)
        case LeaseLost():
            return Outcome(claim=claim, counted="lease_lost", message=message)
        case SourceVersionFound():
            return superseded(claim, error.found, due_ns=now_ns + to_ns(options.settle_for))
        case AssetNotFound():
            settlement: Settlement = Cancelled(ref=ref, reason="source_gone")
            return Outcome(claim=claim, counted="cancelled", settlement=settlement, gone=True, message=message)
        case Snooze():
            until = now_ns + to_ns(min(error.delay, options.longest_delay))
            settlement = Released(ref=ref, due_ns=until, wait=WaitReason.SNOOZED, note=message)
            return Outcome(claim=claim, counted="released", settlement=settlement, message=message)
        case SourceOfflineError() | AuthenticationRequiredError() | DestinationFull() | RateLimited():
            wish = _pause_wish(claim.task, error, message, options=options, now_ns=now_ns)
            settlement = Released(ref=ref, due_ns=None, note=message)
            return Outcome(claim=claim, counted="released", settlement=settlement, pause=wish, message=message)
        case AlreadyExists():
            return _dead(claim, "name_conflict", message)
        case ConfigurationError():
            return _dead(claim, "configuration", message)
        case PermanentError():
            return _dead(claim, "permanent", message)
        case TransientError():
            return _failed(claim, message, options=options, now_ns=now_ns, draw=draw, wanted=error.retry_after)
        case _:
            _log_unknown(claim.task, error)
            text = f"{type(error).__name__}: {message}"
            return _failed(claim, text, options=options, now_ns=now_ns, draw=draw)


def _cancelled(claim: Claim, reason: CancelReason, *, options: TaskManagerOptions, now_ns: int, draw: float) -> Outcome:
    match reason:
        case CancelReason.USER:
            return Outcome(
                claim=claim, counted="cancelled", settlement=Cancelled(ref=claim.ref, reason="user"), message="user"
            )
        case CancelReason.LEASE_LOST:
            return Outcome(claim=claim, counted="lease_lost", message="lease lost")
        case CancelReason.STALL:
            return _failed(claim, "stalled: no progress for too long", options=options, now_ns=now_ns, draw=draw)
        case CancelReason.SHUTDOWN | CancelReason.PAUSED:
            settlement = Released(ref=claim.ref, note=str(reason))
            return Outcome(claim=claim, counted="released", settlement=settlement, message=str(reason))


def _failed(
    claim: Claim,
    message: str,
    *,
    options: TaskManagerOptions,
    now_ns: int,
    draw: float,
    wanted: timedelta | None = None,
) -> Outcome:
    attempt = max(claim.task.attempts, 1)
    if attempt >= options.retry.attempts:
        return _dead(claim, "attempts_exhausted", message)
    delay = options.retry.delay(attempt, draw=draw)
    if wanted is not None:
        delay = min(max(wanted, timedelta(0)), options.retry.retry_after_cap)
    settlement = Failed(ref=claim.ref, retry_ns=now_ns + to_ns(delay), error=message)
    return Outcome(claim=claim, counted="failed", settlement=settlement, message=message)


def _dead(claim: Claim, reason: str, message: str) -> Outcome:
    settlement = Dead(ref=claim.ref, reason=reason, error=message)
    return Outcome(claim=claim, counted="dead", settlement=settlement, message=message)


def _pause_wish(
    task: Task, error: BaseException, message: str, *, options: TaskManagerOptions, now_ns: int
) -> PauseWish:
    of_source = isinstance(error, SourceOfflineError)
    if isinstance(error, AuthenticationRequiredError):
        of_source = error.party == "source"
    until = None
    if isinstance(error, RateLimited):
        until = min(to_ns(error.until), now_ns + to_ns(options.retry.retry_after_cap))
    return PauseWish(
        scope=PauseScope.SOURCE if of_source else PauseScope.DESTINATION,
        value=task.route.source_id if of_source else task.route.destination_id,
        reason=message,
        until_ns=until,
    )


def _log_unknown(task: Task, error: BaseException) -> None:
    # The traceback is logged as text, so that a URL or a token in an exception's message can be masked.
    trace = redact("".join(traceback.format_exception(error))[-1_900:])
    _log.error(
        "attempt raised an exception that it does not classify: %s",
        trace,
        extra={"task_id": task.id, "asset": task.display, "destination_id": task.destination_id},
    )
