"""The step that makes a finished copy visible: under a name that nothing has, or over the file it may replace."""

from __future__ import annotations

import contextlib
import errno
import os
import threading

__all__ = ["place_new", "place_over"]

_AT_MOST_ONE = threading.Lock()
# What file systems without hard links answer (FAT, exFAT, some FUSE and SMB mounts), a system that forbids them, and a
# full one where a second name costs an inode (tmpfs) or a block.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.ENOSPC, errno.EDQUOT}
)
_NO_FLAGS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_RENAME_NOREPLACE = 1  # linux/fs.h


def place_new(folder_fd: int, temporary: bytes, name: bytes) -> None:
    """Give the temporary file this name; whatever has it by then stays. Atomic.

    A hard link does that everywhere it exists; where it does not, `renameat2` with RENAME_NOREPLACE; where that is
    missing too, a look and a rename, one at a time in this process.

    Raises:
        FileExistsError: something has the name, or one that the file system takes for the same.
        OSError: it cannot be done.
    """
    try:
        os.link(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
    except FileExistsError:
        # NFS may repeat a request whose answer was lost: then the name is there, and it is this very file.
        if not _is_same_file(folder_fd, temporary, name):
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_without_replacing(folder_fd, temporary, name)
        return
    # A name too many is swept later; the file is in its place.
    with contextlib.suppress(OSError):
        os.unlink(temporary, dir_fd=folder_fd)


def place_over(folder_fd: int, temporary: bytes, name: bytes) -> None:
    """Give the temporary file this name, in the place of the file that has it. Atomic."""
    os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


def _is_same_file(folder_fd: int, temporary: bytes, name: bytes) -> bool:
    first, second = (os.stat(entry, dir_fd=folder_fd, follow_symlinks=False) for entry in (temporary, name))
    return os.path.samestat(first, second)


def _rename_without_replacing(folder_fd: int, temporary: bytes, name: bytes) -> None:
    try:
        _renameat2(folder_fd, temporary, name)
    except OSError as error:
        if error.errno not in _NO_FLAGS:
            raise
    else:
        return
    with _AT_MOST_ONE:
        try:
            os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _renameat2(folder_fd: int, temporary: bytes, name: bytes) -> None:
    import ctypes  # noqa: PLC0415 - loaded only where a file system has no hard links

    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if function(folder_fd, temporary, folder_fd, name, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
