"""SpoolFolder: files that appear whole or not at all, readable by their owner alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator

__all__ = ["SpoolFolder"]

_TEMPORARY = "tmp-"


class SpoolFolder:
    """One folder of a spool. Processes share it: what one is writing is locked, so that no other sweeps it away."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[tuple[int, str]]:
        """(descriptor, name) of a new file, 0600 and locked; removed at the end unless it was given another name."""
        name = _TEMPORARY + secrets.token_hex(8)
        fd = os.open(self._of(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd, name
        finally:
            self.remove(name)
            os.close(fd)

    def publish(self, name: str, as_name: str) -> None:
        """Give a synced temporary file its name, durably; a file that has it already is replaced."""
        os.rename(self._of(name), self._of(as_name))
        self.sync()

    def write(self, name: str, data: bytes) -> None:
        """A small file, durably."""
        with self.temporary() as (fd, temporary):
            os.write(fd, data)
            os.fsync(fd)
            self.publish(temporary, name)

    def read(self, name: str) -> bytes | None:
        """A small file; None if it is not there."""
        try:
            with open(self._of(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def stat(self, name: str) -> os.stat_result | None:
        """What the file is; None if it is not there."""
        try:
            return os.stat(self._of(name))
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> bool:
        """True if there was such a file."""
        try:
            os.unlink(self._of(name))
        except FileNotFoundError:
            return False
        return True

    def names(self) -> list[str]:
        """Of all files that are whole."""
        return [name for name in os.listdir(self.path) if not name.startswith(_TEMPORARY)]

    def sweep(self) -> None:
        """Remove what processes that died were writing."""
        for name in os.listdir(self.path):
            if not name.startswith(_TEMPORARY):
                continue
            with contextlib.suppress(OSError):
                fd = os.open(self._of(name), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self.remove(name)
                finally:
                    os.close(fd)

    def sync(self) -> None:
        """Make names durable."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _of(self, name: str) -> str:
        return os.path.join(self.path, name)
