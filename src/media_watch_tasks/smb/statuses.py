"""NT status codes (MS-ERREF 2.3.1) that mean something to this library, and the exception each one becomes."""

from __future__ import annotations

from datetime import timedelta

from media_watch_tasks.errors import (
    AssetNotFound,
    AuthenticationRequiredError,
    MediaWatchError,
    Snooze,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.smb import wire

__all__ = ["CONNECTION_OVER", "DENIED", "GONE", "NO_FILE", "Status", "describe", "error_for"]


class Status:
    """The codes that are looked at by name."""

    SUCCESS = 0
    PENDING = 0x0000_0103
    BUFFER_OVERFLOW = 0x8000_0005
    NO_MORE_FILES = 0x8000_0006
    STOPPED_ON_SYMLINK = 0x8000_002D
    INVALID_PARAMETER = 0xC000_000D
    NO_SUCH_FILE = 0xC000_000F
    END_OF_FILE = 0xC000_0011
    ACCESS_DENIED = 0xC000_0022
    OBJECT_NAME_INVALID = 0xC000_0033
    OBJECT_NAME_NOT_FOUND = 0xC000_0034
    OBJECT_NAME_COLLISION = 0xC000_0035
    OBJECT_PATH_NOT_FOUND = 0xC000_003A
    SHARING_VIOLATION = 0xC000_0043
    FILE_LOCK_CONFLICT = 0xC000_0054
    DELETE_PENDING = 0xC000_0056
    FILE_IS_A_DIRECTORY = 0xC000_00BA
    NETWORK_NAME_DELETED = 0xC000_00C9
    BAD_NETWORK_NAME = 0xC000_00CC
    NOT_A_DIRECTORY = 0xC000_0103
    FILE_CLOSED = 0xC000_0128
    USER_SESSION_DELETED = 0xC000_0203
    PATH_NOT_COVERED = 0xC000_0257
    NETWORK_SESSION_EXPIRED = 0xC000_035C


_NAMES = {value: name for name, value in vars(Status).items() if not name.startswith("_")} | {
    0xC000_0001: "UNSUCCESSFUL",
    0xC000_0010: "INVALID_DEVICE_REQUEST",
    0xC000_0039: "OBJECT_PATH_INVALID",
    0xC000_003B: "OBJECT_PATH_SYNTAX_BAD",
    0xC000_006D: "LOGON_FAILURE",
    0xC000_009A: "INSUFFICIENT_RESOURCES",
    0xC000_00B5: "IO_TIMEOUT",
    0xC000_00BB: "NOT_SUPPORTED",
    0xC000_011F: "TOO_MANY_OPENED_FILES",
    0xC000_0120: "CANCELLED",
    0xC000_0205: "INSUFF_SERVER_RESOURCES",
    0xC000_020C: "CONNECTION_DISCONNECTED",
    0xC000_0466: "SERVER_UNAVAILABLE",
}

GONE = frozenset(
    {
        Status.NO_SUCH_FILE,
        Status.OBJECT_NAME_NOT_FOUND,
        Status.OBJECT_PATH_NOT_FOUND,
        Status.OBJECT_NAME_INVALID,
        Status.DELETE_PENDING,
        0xC000_0039,
        0xC000_003B,
    }
)
"""Nothing stands at that path (or soon nothing will). A name that the server cannot even hold stands there neither."""
NO_FILE = frozenset({Status.FILE_IS_A_DIRECTORY, Status.NOT_A_DIRECTORY})
"""Something else stands at that path, or in its way."""
DENIED = frozenset({Status.ACCESS_DENIED, 0xC000_0061})
CONNECTION_OVER = frozenset(
    {
        Status.NETWORK_NAME_DELETED,
        Status.USER_SESSION_DELETED,
        Status.NETWORK_SESSION_EXPIRED,
        0xC000_020C,
        0xC000_0466,
    }
)
"""The session or the share's connection has ended: a new login may help."""
_IN_USE = frozenset({Status.SHARING_VIOLATION, Status.FILE_LOCK_CONFLICT})
_IN_USE_DELAY = timedelta(seconds=30)


def describe(status: int) -> str:
    """The name of a code, or its number, for people."""
    name = _NAMES.get(status)
    return f"STATUS_{name}" if name else f"NT status 0x{status:08X}"


def error_for(status: int, what: str) -> MediaWatchError:
    """The exception that says what is to be done about a status; `what` names the failed action and its path."""
    message = f"{what}: {describe(status)}"
    if status in GONE or status in NO_FILE:
        return AssetNotFound(message)
    if status in _IN_USE:
        return Snooze(_IN_USE_DELAY, f"{message} (another client is using it)")
    if status in CONNECTION_OVER or status == Status.BAD_NETWORK_NAME:
        return SourceOfflineError(message)
    if status == 0xC000_006D:  # noqa: PLR2004 - STATUS_LOGON_FAILURE
        return AuthenticationRequiredError(message, party="source")
    if status == Status.INVALID_PARAMETER:
        return wire.ProtocolViolation(message)
    return TransientError(message)
