"""What an error of the destination's file system means: one place for all of them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    DestinationFull,
    DestinationOfflineError,
    MediaWatchError,
    PermanentError,
    TransientError,
)
from media_watch_tasks.model.identity import display_text

__all__ = ["REFUSALS", "classified", "naming", "sync_folder", "unusable_root"]

REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Somebody has to allow something, for one folder or for all of the destination."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BAD_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})
_CANNOT_SYNC_FOLDERS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})


def _words(error: OSError) -> str:
    return f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})"


def unusable_root(target: str, error: OSError) -> MediaWatchError:
    """The whole destination cannot be used: it pauses, and no attempt is spent, until a person has mended it.

    Permission denied asks for credentials or rights; everything else (gone, read-only, a dead mount) is offline.
    """
    if error.errno in {errno.EACCES, errno.EPERM}:
        return AuthenticationRequiredError(
            f"the destination {target} cannot be written to: {_words(error)}; give this user the right to write there",
            party="destination",
        )
    if error.errno == errno.EROFS:
        return DestinationOfflineError(f"the destination {target} is read-only; mount it writable: {_words(error)}")
    return DestinationOfflineError(f"the destination {target} cannot be used: {_words(error)}; is it mounted?")


def classified(error: OSError, *, doing: str, path: bytes) -> MediaWatchError:
    """What an error that concerns one file means.

    Full: the destination pauses. A name or a size that the file system cannot hold: never. A folder that may not be
    written to, although the destination as a whole may: retried, as somebody may mend it, and it must not stop the
    other files. Anything else, such as an I/O error: retried.
    """
    text = f"{doing} {display_text(path)}: {_words(error)}"
    if error.errno in _FULL:
        return DestinationFull(f"{text}; make room there")
    if error.errno in _BAD_NAME:
        return PermanentError(f"{text}; the destination's file system cannot hold this name")
    if error.errno == errno.EFBIG:
        return PermanentError(f"{text}; the destination's file system cannot hold a file of this size")
    if error.errno in REFUSALS:
        return TransientError(f"{text}; give this user the right to write to that folder")
    return TransientError(text)


@contextlib.contextmanager
def naming(path: bytes) -> Iterator[None]:
    """Around a call that gives something a name: EINVAL there means a name that the file system cannot hold."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise PermanentError(
            f"the destination's file system cannot hold the name {display_text(path)}: {_words(error)}"
        ) from error


def sync_folder(fd: int) -> None:
    """Make the entries of an open folder durable; some file systems do that by themselves and know no such call."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
