"""What a worker process gives up before it looks at the first foreign byte. All of it is POSIX and needs no rights."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

__all__ = ["lock_down"]

_ONE_FILE = 4
"""stdin (the socket), stdout, stderr, and the file that is described: no fifth descriptor can exist."""


def lock_down(*, memory: int) -> None:
    """Limit memory to what is used now plus `memory` bytes, and end the ability to open files and sockets.

    With no descriptor left, `open()` and `socket()` fail in every library of the process: a playlist, a script or a
    taken-over parser reaches neither the network nor another file. No core is dumped, Ctrl-C is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _address_space() + memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    _close_others()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_ONE_FILE, _ONE_FILE))


def _address_space() -> int:
    """Bytes of address space in use; macOS has no such figure, and does not enforce the limit either."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 1 << 33
    return pages * resource.getpagesize()


def _close_others() -> None:
    os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65_536))
