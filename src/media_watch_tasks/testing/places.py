"""Places: sources that a contract test fills, changes, damages and takes offline."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.abc.scanner import MediaScanner
from media_watch_tasks.testing.permissions import permissions_enforced

__all__ = ["DirectoryPlace", "Place"]

# Relative to the root, with POSIX separators: the place's bytes, or text that stands for UTF-8.
_Path = str | bytes


class Place(ABC):
    """A source under a test's hands. What a method does is done when it returns, and every reader sees it.

    Paths are relative to the root, with POSIX separators: the place's bytes, or text that stands for UTF-8.
    """

    @abstractmethod
    def scanner(self) -> MediaScanner:
        """A new scanner of the place."""

    @abstractmethod
    def resolver(self) -> MediaResolver:
        """A new resolver of the place."""

    @abstractmethod
    def write(self, path: _Path, data: bytes = b"footage", *, mtime_ns: int | None = None) -> None:
        """Make the file, and the folders above it, or give the file that is there these bytes."""

    @abstractmethod
    def append(self, path: _Path, data: bytes) -> None:
        """Let the file grow."""

    @abstractmethod
    def truncate(self, path: _Path, size: int) -> None:
        """Cut the file off."""

    @abstractmethod
    def set_mtime(self, path: _Path, mtime_ns: int) -> None:
        """Give a file or folder this time of modification, which is not ahead of the clock's."""

    @abstractmethod
    def mkdir(self, path: _Path) -> None:
        """Make a folder, and those above it."""

    @abstractmethod
    def rename(self, path: _Path, to: _Path) -> None:
        """Move a file or folder; a file that stands there is replaced at one stroke."""

    @abstractmethod
    def remove(self, path: _Path) -> None:
        """Delete a file, or a folder with all in it."""

    @abstractmethod
    def link(self, path: _Path, target: _Path) -> None:
        """Make a symbolic link with this text as its target. `../outside/secret.mov` is a file outside of the root."""

    @abstractmethod
    def set_readable(self, path: _Path, *, readable: bool) -> None:
        """Deny or allow to read a file, or to list a folder."""

    @abstractmethod
    def set_online(self, *, online: bool) -> None:
        """Take the place away, as if the disk were unplugged or the server switched off, or bring it back."""

    @abstractmethod
    def tick(self) -> None:
        """Let time pass until the next change gets other times than the last one."""

    def holds(self, name: bytes) -> bool:  # noqa: ARG002 - the default is that a place holds every name
        """True if the place can hold a file of this name. NUL and the slash are never asked for."""
        return True

    def close(self) -> None:
        """Put everything back that a test has changed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class DirectoryPlace(Place):
    """A place whose files lie in a folder of this machine, whoever serves them: add `scanner` and `resolver`.

    `folder` becomes the parent of the root, `root`, and of `outside`, which holds a file that nobody may reach.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Make the root in a folder that is the test's own."""
        self._parent = os.path.realpath(os.fsencode(folder))
        self.root = os.path.join(self._parent, b"root")
        """The absolute path of the root."""
        self._away = os.path.join(self._parent, b"away")
        self._undo = ExitStack()
        self._enforced = False
        os.mkdir(self.root)
        os.mkdir(os.path.join(self._parent, b"outside"))
        with open(os.path.join(self._parent, b"outside", b"secret.mov"), "wb") as file:
            file.write(b"secret")

    def path(self, path: _Path) -> bytes:
        """The absolute path."""
        relative = path.encode("utf-8") if isinstance(path, str) else path
        return os.path.join(self.root, relative) if relative else self.root

    def write(self, path: _Path, data: bytes = b"footage", *, mtime_ns: int | None = None) -> None:
        """See `Place`."""
        self.mkdir(os.path.dirname(os.path.relpath(self.path(path), self.root)))
        with open(self.path(path), "wb") as file:
            file.write(data)
        if mtime_ns is not None:
            self.set_mtime(path, mtime_ns)

    def append(self, path: _Path, data: bytes) -> None:
        """See `Place`."""
        self.tick()
        with open(self.path(path), "ab") as file:
            file.write(data)

    def truncate(self, path: _Path, size: int) -> None:
        """See `Place`."""
        self.tick()
        os.truncate(self.path(path), size)

    def set_mtime(self, path: _Path, mtime_ns: int) -> None:
        """See `Place`."""
        os.utime(self.path(path), ns=(mtime_ns, mtime_ns))

    def mkdir(self, path: _Path) -> None:
        """See `Place`."""
        os.makedirs(self.path(path), exist_ok=True)

    def rename(self, path: _Path, to: _Path) -> None:
        """See `Place`."""
        os.replace(self.path(path), self.path(to))

    def remove(self, path: _Path) -> None:
        """See `Place`."""
        absolute = self.path(path)
        if os.path.isdir(absolute) and not os.path.islink(absolute):
            shutil.rmtree(absolute)
        else:
            os.unlink(absolute)

    def link(self, path: _Path, target: _Path) -> None:
        """See `Place`."""
        os.symlink(os.fsencode(target), self.path(path))

    def set_readable(self, path: _Path, *, readable: bool) -> None:
        """See `Place`. From now on permission bits bind this thread, also if it is root's."""
        if not self._enforced:
            self._undo.enter_context(permissions_enforced())
            self._enforced = True
        absolute = self.path(path)
        os.chmod(absolute, 0o700 if readable else 0)
        self._undo.callback(_allow, absolute)

    def set_online(self, *, online: bool) -> None:
        """See `Place`: the root goes to another name, which open descriptors survive."""
        if online:
            os.rename(self._away, self.root)
        else:
            os.rename(self.root, self._away)

    def tick(self) -> None:
        """See `Place`: the clock of a file system moves in steps of a few milliseconds."""
        probe = os.path.join(self._parent, b"probe")
        with open(probe, "wb"):
            before = os.stat(probe).st_ctime_ns
        while os.stat(probe).st_ctime_ns == before:
            os.utime(probe)
        os.unlink(probe)

    def close(self) -> None:
        """See `Place`. The folder itself is the test's."""
        if os.path.exists(self._away):
            os.rename(self._away, self.root)
        self._undo.close()


def _allow(path: bytes) -> None:
    if os.path.exists(path):
        os.chmod(path, 0o700)
