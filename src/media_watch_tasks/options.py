"""Settings of a `TaskManager`: frozen, checked when they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal

import attrs

from media_watch_tasks.abc.action import AfterUploadAction
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.shares import Share
from media_watch_tasks.model.values import Value

__all__ = ["RetryOptions", "TaskManagerOptions"]


def _at_least(least: timedelta) -> Callable[[object, attrs.Attribute[Any], timedelta | None], None]:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: timedelta | None) -> None:
        if value is not None and (not isinstance(value, timedelta) or value < least):
            raise ConfigurationError(f"{attribute.name} must be a timedelta of at least {least}, not {value!r}")

    return check


def _whole(least: int) -> Callable[[object, attrs.Attribute[Any], int], None]:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: int) -> None:
        if not isinstance(value, int) or value < least:
            raise ConfigurationError(f"{attribute.name} must be a whole number of at least {least}, not {value!r}")

    return check


def _one_of(*choices: str | None) -> Callable[[object, attrs.Attribute[Any], str | None], None]:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
        if value not in choices:
            raise ConfigurationError(f"{attribute.name} must be one of {choices}, not {value!r}")

    return check


def _is_share(_instance: object, attribute: attrs.Attribute[Any], value: Share | None) -> None:
    if value is not None and not isinstance(value, Share):
        raise ConfigurationError(f"{attribute.name} must be a Share, not {value!r}")


def _share(_instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{attribute.name} must be a number from 0 to 1, not {value!r}")


_ZERO = timedelta(0)
_INSTANT = timedelta(milliseconds=1)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RetryOptions(Value):
    """How failures are retried: after `min(initial * 2^(n-1), maximum)`, spread by `jitter`."""

    initial: timedelta = attrs.field(default=timedelta(seconds=30), validator=_at_least(_ZERO))
    maximum: timedelta = attrs.field(default=timedelta(hours=6), validator=_at_least(_ZERO))
    attempts: int = attrs.field(default=8, validator=_whole(1))
    """After this many failed attempts a task is `dead`."""
    jitter: float = 0.2
    """Share by which a delay is made shorter or longer at random, 0.0 to 1.0."""
    retry_after_cap: timedelta = attrs.field(default=timedelta(hours=24), validator=_at_least(_ZERO))
    """The longest delay that the other side can ask for."""

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"jitter must be between 0 and 1, not {self.jitter!r}")

    def delay(self, attempt: int, *, draw: float) -> timedelta:
        """The back-off after the n-th failed attempt; `draw` is a random number from 0 to 1."""
        # 2^63 would overflow a timedelta long before a task has so many attempts.
        base: timedelta = min(self.initial * 2 ** min(attempt - 1, 40), self.maximum)
        return base * (1 + self.jitter * (2 * draw - 1))


def _no_tags(_asset: MediaAsset) -> Iterable[str]:
    return ()


def _no_priority(_asset: MediaAsset) -> int:
    return 0


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskManagerOptions(Value):
    """What a `TaskManager` may be told. The defaults suit a NAS and a few upload threads."""

    settle_for: timedelta = attrs.field(default=timedelta(seconds=10), validator=_at_least(_ZERO))
    """A file is sent only once it has stood still for this long, seen by two looks at it."""
    workers: int = attrs.field(default=3, validator=_whole(1))
    """Upload threads: a task is claimed for each that is free, a few more while uploads take only milliseconds.

    A `BatchUploader` gets a batch for each.
    """
    retry: RetryOptions = attrs.field(factory=RetryOptions)
    lease: timedelta = attrs.field(default=timedelta(minutes=10), validator=_at_least(timedelta(milliseconds=50)))
    """How long a task stays a worker's without a sign of life."""
    stall_timeout: timedelta = attrs.field(default=timedelta(minutes=10), validator=_at_least(_INSTANT))
    """An upload without progress for this long is cancelled and retried."""
    attempt_timeout: timedelta | None = attrs.field(default=None, validator=_at_least(_INSTANT))
    """An upload that takes longer than this is cancelled and retried; None: never."""
    expires_after: timedelta | None = attrs.field(default=None, validator=_at_least(_INSTANT))
    """A task that has failed and is older than this becomes `dead: expired`; None: never."""
    shutdown_grace: timedelta = attrs.field(default=timedelta(seconds=30), validator=_at_least(_ZERO))
    """How long `close` lets running uploads go on before it cancels them."""
    enable_hash_dedup: bool = False
    """Send equal content (SHA-256) once per destination; later files share the receipt."""
    first_scan: Literal["refuse", "enqueue"] = attrs.field(default="refuse", validator=_one_of("refuse", "enqueue"))
    """What a scan before any baseline does: refuse, or take every file as new."""
    destination_changed: Literal["keep", "resend"] | None = attrs.field(
        default=None, validator=_one_of(None, "keep", "resend")
    )
    """What a destination does that the source was never run with: only new files go there, or all. None: refuse."""
    on_filter_widened: Literal["baseline", "enqueue"] = attrs.field(
        default="baseline", validator=_one_of("baseline", "enqueue")
    )
    """What becomes of files that an earlier, narrower filter hid."""
    party_pause: timedelta = attrs.field(default=timedelta(seconds=30), validator=_at_least(_INSTANT))
    """The first pause of a source or destination that is offline, full or wants credentials; doubled each time."""
    party_pause_max: timedelta = attrs.field(default=timedelta(minutes=30), validator=_at_least(_INSTANT))
    crash_backoff: timedelta = attrs.field(default=timedelta(seconds=2), validator=_at_least(_ZERO))
    """How long a task waits after its worker died; doubled each time."""
    unsettled_event_after: timedelta = attrs.field(default=timedelta(hours=24), validator=_at_least(_INSTANT))
    """A file that has been changing or in use for this long is named in an event, once."""
    constraints: tuple[str, ...] = ()
    """Names of the constraints that every new task asks for."""
    unknown_constraint: Literal["met", "unmet"] = attrs.field(default="met", validator=_one_of("met", "unmet"))
    """What a constraint counts as that cannot say."""
    on_move: Literal["record", "upload"] = attrs.field(default="record", validator=_one_of("record", "upload"))
    """What a file is that was moved within the source: the same one, or a new one."""
    rescan_unlisted: bool = True
    """Leave directories unlisted whose stamp proves that no entry was added, removed or renamed."""
    full_scan_every: int = attrs.field(default=24, validator=_whole(1))
    """Each so many scans all directories are listed: a change inside a file does not show in a directory's stamp."""
    full_scan_after: timedelta = attrs.field(default=timedelta(days=1), validator=_at_least(_INSTANT))
    """Each directory is listed at least this often."""
    quarantine_share: float = attrs.field(default=0.3, validator=_share)
    """When a complete scan misses more than this share of the known files, absences are held until confirmed."""
    quarantine_least: int = attrs.field(default=20, validator=_whole(0))
    """Sources with fewer known files are never put in quarantine for the share of what is absent."""
    after_upload: AfterUploadAction | None = None
    """What becomes of a file at its source once every destination has it; None: it stays."""
    act_on_unverified: bool = False
    """Do it also on receipts that the uploader did not verify, or that were shared by equal content."""
    tags: Callable[[MediaAsset], Iterable[str]] = _no_tags
    """Tags of the tasks of an asset."""
    share: Share | None = attrs.field(default=None, validator=_is_share)
    """The tasks that this manager works on, where several divide the queue between them; None: all."""
    priority: Callable[[MediaAsset], int] = _no_priority
    """Priority of the tasks of an asset; higher goes first."""

    @property
    def longest_delay(self) -> timedelta:
        """No task waits longer than this: a due time beyond it shows that the wall clock has jumped."""
        retry = self.retry
        return max(retry.maximum * (1 + retry.jitter), retry.retry_after_cap, self.settle_for, self.party_pause_max)
