"""Renames that overwrite nothing."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable

__all__ = ["rename_if_free"]

_RENAME_NOREPLACE = 1  # linux/fs.h
_NO_FLAGS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


def rename_if_free(name: bytes, wanted: bytes, *, source: int, target: int) -> bool:
    """Rename from one open folder into another; False if another file stands at the wanted name.

    `renameat2` does that in one step. Where it is missing (NFS, some FUSE mounts, other systems), a hard link and the
    removal of the old name do it in two, and a call that dies in between leaves both names, which the next one finds.
    """
    try:
        _rename_at_once()(name, wanted, source, target)
    except FileExistsError:
        return _finish_the_second_step(name, wanted, source=source, target=target)
    except OSError as error:
        if error.errno not in _NO_FLAGS:
            raise
        return _link_and_unlink(name, wanted, source=source, target=target)
    return True


def _link_and_unlink(name: bytes, wanted: bytes, *, source: int, target: int) -> bool:
    try:
        os.link(name, wanted, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        return _finish_the_second_step(name, wanted, source=source, target=target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Without hard links (FAT, some shares) a look before the rename has to do.
        try:
            os.stat(wanted, dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, wanted, src_dir_fd=source, dst_dir_fd=target)
            return True
        return False
    os.unlink(name, dir_fd=source)
    return True


def _finish_the_second_step(name: bytes, wanted: bytes, *, source: int, target: int) -> bool:
    first = os.stat(name, dir_fd=source, follow_symlinks=False)
    second = os.stat(wanted, dir_fd=target, follow_symlinks=False)
    # Two names of one file: what a call that died after the link has left, unless somebody else has made them.
    if not os.path.samestat(first, second):
        return False
    os.unlink(name, dir_fd=source)
    return True


@functools.cache
def _rename_at_once() -> Callable[[bytes, bytes, int, int], None]:
    import ctypes  # noqa: PLC0415 - loaded only where files are moved

    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def rename(name: bytes, wanted: bytes, source: int, target: int) -> None:
        if function is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), wanted)
        if function(source, name, target, wanted, _RENAME_NOREPLACE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), wanted)

    return rename
