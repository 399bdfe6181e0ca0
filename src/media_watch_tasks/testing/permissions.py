"""Permission bits that bind the superuser too, so that a test of an unreadable folder is real wherever it runs."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["permissions_enforced"]

# linux/capability.h
_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def permissions_enforced() -> Iterator[None]:
    """Inside of the block this thread, and threads that it starts, read only what permission bits allow.

    On Linux the thread puts aside the two capabilities with which root passes over them (capabilities belong to
    threads); nothing has to be done for other users. Elsewhere root gets a `RuntimeError`.
    """
    if os.geteuid() != 0:
        yield
        return
    if not sys.platform.startswith("linux"):
        raise RuntimeError("permission bits do not bind root here: run this test as another user")
    before = _effective()
    _set_effective(before & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH))
    try:
        yield
    finally:
        _set_effective(before)


def _read() -> ctypes.Array[_Capabilities]:
    found = (_Capabilities * 2)()
    _call("capget", found)
    return found


def _effective() -> int:
    return int(_read()[0].effective)


def _set_effective(capabilities: int) -> None:
    changed = _read()
    changed[0].effective = capabilities
    _call("capset", changed)


def _call(name: str, data: ctypes.Array[_Capabilities]) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(ctypes.byref(_Header(_VERSION_3, 0)), data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
