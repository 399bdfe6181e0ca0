"""FreeDisk: room on a file system."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta

from media_watch_tasks.constraints.look import PATIENCE, Look
from media_watch_tasks.constraints.named import NamedConstraint
from media_watch_tasks.errors import ConfigurationError

__all__ = ["FreeDisk"]

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1_024


class FreeDisk(NamedConstraint):
    """Met while the file system of `path` has room.

        FreeDisk("/mnt/backup", at_least=20 * 2**30)
        FreeDisk("/mnt/backup", share=0.05)

    What counts is the room that programs without special rights can fill. A path that is not there is unknown, not
    unmet; so is a file system that does not answer in time, as a network mount whose server is gone, or that tells no
    size.

    Args:
        path: any path on the file system.
        at_least: bytes that must be free.
        share: part of the whole file system that must be free, above 0.0 and below 1.0. With both, both must hold.
        name: what tasks ask for; two disks need two names.
        patience: how long one answer is waited for, in real time. The run of the queue stands still meanwhile.

    Raises:
        ConfigurationError: neither `at_least` nor `share`, or one of them out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        at_least: int | None = None,
        share: float | None = None,
        name: str = "free-disk",
        patience: timedelta = PATIENCE,
    ) -> None:
        super().__init__(name)
        if at_least is None and share is None:
            raise ConfigurationError("say how much of the disk must be free: at_least= bytes, share= of it, or both")
        if at_least is not None and (isinstance(at_least, bool) or not isinstance(at_least, int) or at_least < 1):
            raise ConfigurationError(f"at_least must be a whole number of bytes above zero, not {at_least!r}")
        if share is not None and (not isinstance(share, int | float) or not 0 < share < 1):
            raise ConfigurationError(f"share must be above 0.0 and below 1.0, not {share!r}")
        self._path = os.fspath(path)
        self._at_least = at_least
        self._share = share
        self._look = Look(lambda: shutil.disk_usage(self._path), patience=patience)

    def unmet(self) -> str | None:
        """How much is free and how much must be, or None.

        Raises:
            OSError: the path cannot be looked at.
            LookupError: the file system tells no size.
            TimeoutError: the file system does not answer in time.
        """
        usage = self._look.answer()
        if usage.total == 0:
            # Some file systems in user space do so: it does not mean that they are full.
            raise LookupError(f"the file system of {self._path} does not tell how large it is")
        wanted = max(self._at_least or 0, 0 if self._share is None else self._share * usage.total)
        if usage.free >= wanted:
            return None
        return f"{self._path} has {_readable(usage.free)} free, less than {_readable(wanted)}"


def _readable(count: float) -> str:
    power = 0
    while count >= _STEP and power < len(_UNITS) - 1:
        count, power = count / _STEP, power + 1
    return f"{count:.{min(power, 1)}f} {_UNITS[power]}"
