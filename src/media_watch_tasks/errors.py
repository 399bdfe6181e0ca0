"""The exceptions of the library: each class says what is to be done about it.

The manager turns an exception raised by a scanner, a resolver or an uploader into the outcome of a task.
Authors of plug-ins raise the class whose sentence fits; anything they do not classify counts as
`TransientError` and is logged with its traceback.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from media_watch_tasks.cancellation import CancelReason
    from media_watch_tasks.model.uploads import UploadReceipt

__all__ = [
    "AlreadyExists",
    "AssetChanged",
    "AssetNotFound",
    "AuthenticationRequiredError",
    "BaselineRequiredError",
    "ConfigurationError",
    "DestinationFull",
    "DestinationOfflineError",
    "LeaseLost",
    "MediaWatchError",
    "MissingDependencyError",
    "OperationCancelled",
    "Party",
    "PermanentError",
    "RateLimited",
    "SchemaTooNewError",
    "Snooze",
    "SourceOfflineError",
    "StoreError",
    "TransientError",
]

Party = Literal["source", "destination"]
"""Who is meant: where files come from, or where they go."""


class MediaWatchError(Exception):
    """Root of all exceptions that this library raises on purpose."""


class ConfigurationError(MediaWatchError):
    """The program or its settings are wrong; a retry cannot help. A task that meets it becomes `dead`."""


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional package is not installed; the message holds the `pip install` command that brings it."""

    def __init__(self, feature: str, *, package: str, extra: str) -> None:
        """Say which feature needs which package, and the extra that installs it."""
        super().__init__(f'{feature} needs the package {package}: pip install "media-watch-tasks[{extra}]"')
        self.package = package
        self.extra = extra


class BaselineRequiredError(ConfigurationError):
    """A scan was asked for before `initialize_baseline()` had completed for this source."""


class PermanentError(MediaWatchError):
    """This file can never be delivered this way (refused, invalid, too large): the task becomes `dead`."""


class TransientError(MediaWatchError):
    """It may work later: the task fails, an attempt is spent, and it is retried after a back-off.

    `retry_after` (a timedelta) wins over the back-off, up to a cap.
    """

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        """Take the message and, where the other side named one, the delay."""
        super().__init__(message)
        self.retry_after = retry_after


class Snooze(MediaWatchError):  # noqa: N818 - a request to wait, not a fault
    """Not now, through nobody's fault: the task waits `delay`, no attempt is spent."""

    def __init__(self, delay: timedelta, reason: str = "") -> None:
        """Take the delay and what is being waited for."""
        super().__init__(reason or f"asked to wait {delay.total_seconds():g} s")
        self.delay = delay


class AssetNotFound(MediaWatchError):  # noqa: N818 - the name says the finding
    """The file is gone although its folder can be read: the task ends `cancelled: source_gone`."""


class AssetChanged(MediaWatchError):  # noqa: N818 - the name says the finding
    """The file is another version than the task's: the newer version is queued at once, no attempt is spent."""


class SourceOfflineError(MediaWatchError):
    """The place the files come from cannot be reached: its tasks are released and the source pauses."""


class AuthenticationRequiredError(MediaWatchError):
    """Credentials are missing, expired or refused: the party that asked for them pauses, no attempt is spent.

    `party` says who asked: None means whoever raised it (a resolver: the source; an uploader: the destination).
    """

    def __init__(self, message: str = "", *, party: Party | None = None) -> None:
        """Take the message (never a secret) and who asked for credentials."""
        super().__init__(message)
        self.party = party


class DestinationFull(MediaWatchError):  # noqa: N818 - the name says the finding
    """The destination has no room left: it pauses with a back-off, no attempt is spent."""


class DestinationOfflineError(DestinationFull):
    """The destination cannot be used at all now (gone, read-only, not the one it was): it pauses as a full one does."""


class RateLimited(MediaWatchError):  # noqa: N818 - the name says the finding
    """The destination asks to be left alone until `until` (aware UTC): it pauses, no attempt is spent."""

    def __init__(self, message: str = "", *, until: datetime) -> None:
        """Take the message and the end of the pause."""
        super().__init__(message)
        self.until = until


class AlreadyExists(MediaWatchError):  # noqa: N818 - the name says the finding
    """Something already stands at the target. `receipt` describes it where the uploader could look.

    It counts as delivered where the receipt's size, and its hash if it has one, are the file's, or where the
    destination addresses objects by the key (`by_key`). Otherwise `find_existing` is asked, and without proof the task
    becomes `dead: name_conflict`.
    """

    def __init__(self, message: str = "", *, receipt: UploadReceipt | None = None, by_key: bool = False) -> None:
        """Take the message, what is known of the object that exists, and whether its name is the key."""
        super().__init__(message)
        self.receipt = receipt
        self.by_key = by_key


class LeaseLost(MediaWatchError):  # noqa: N818 - the name says the finding
    """Another worker may hold this task now: stop at once, make nothing visible, write nothing."""


class OperationCancelled(MediaWatchError):  # noqa: N818 - the name says the finding
    """A `CancelToken` was cancelled; `reason` says by whom."""

    def __init__(self, reason: CancelReason) -> None:
        """Take the reason that the token holds."""
        super().__init__(f"cancelled: {reason}")
        self.reason = reason


class StoreError(MediaWatchError):
    """The database cannot do it (full, read-only, damaged, locked for too long); the message says what to do."""


class SchemaTooNewError(StoreError):
    """The database was written by a newer release: upgrade the package; nothing was changed."""
