"""The open folders between the root and where a walk stands: each opened from its parent, few held at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import attrs

from media_watch_tasks.local.attributes import FolderStat
from media_watch_tasks.local.confined import open_below

__all__ = ["DirectoryChain"]

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_MOST_OPEN = 32


@attrs.define
class _Level:
    name: bytes
    descriptor: int
    """-1 while it is closed."""
    place: tuple[int, int]
    """Device and inode: a folder that was closed is only taken up again if it is the same."""


class DirectoryChain:
    """A path of folders that a walk goes down and up again. The deepest one is where the walk stands.

    Each folder is opened by its name in its parent, so that no path is too long and no link can lead the walk away.
    Of a deep path only the last folders are held open; those above are opened again when the walk comes back to them.
    """

    def __init__(self, root: int, *, follow_below: bytes | None = None) -> None:
        """Start at the open root, which stays the caller's. `follow_below`: its path, to follow links below it."""
        self._root = root
        self._follow_below = follow_below
        self._levels = [_Level(b"", root, _place(os.fstat(root)))]

    @property
    def depth(self) -> int:
        """Folders below the root."""
        return len(self._levels) - 1

    def descend(self, name: bytes) -> os.stat_result:
        """Go into a folder; the stat of the opened folder. Raises `OSError`, and the walk stands where it stood."""
        descriptor = self._open(self.descriptor(), name, self.depth)
        try:
            found = os.fstat(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._levels.append(_Level(name, descriptor, _place(found)))
        self._close_level(len(self._levels) - 1 - _MOST_OPEN)
        return found

    def ascend(self) -> None:
        """Go back to the parent."""
        self._close_level(self.depth)
        self._levels.pop()

    def descriptor(self) -> int:
        """The folder where the walk stands. Raises `OSError` if it was closed meanwhile and is not there any more."""
        here = self._levels[-1].descriptor
        return here if here >= 0 else self._open_again()

    def look(self, name: bytes) -> os.stat_result:
        """The stat of an entry of the folder where the walk stands; links are not followed."""
        return os.stat(name, dir_fd=self.descriptor(), follow_symlinks=False)

    def encloses(self, found: os.stat_result) -> bool:
        """True if the folder where the walk stands is below this one: a link or mount has led back to it."""
        return _stands_at(self._levels[:-1], found)

    def passes(self, found: os.stat_result | FolderStat) -> bool:
        """True if the folder where the walk stands is this one, or is below it."""
        return _stands_at(self._levels, found)

    def close(self) -> None:
        """Close all folders but the root."""
        while self.depth:
            self.ascend()

    def _open(self, parent: int, name: bytes, depth: int) -> int:
        try:
            return os.open(name, _OPEN, dir_fd=parent)
        except OSError as error:
            if self._follow_below is None or error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
        path = b"/".join([level.name for level in self._levels[1 : depth + 1]] + [name])
        return open_below(self._root, path, _OPEN, root_path=self._follow_below)

    def _open_again(self) -> int:
        """Open the path down from the deepest folder that is open; keep as many of the last ones as may be open."""
        start = max(index for index, level in enumerate(self._levels) if level.descriptor >= 0)
        here = self._levels[start].descriptor
        for index in range(start + 1, len(self._levels)):
            level = self._levels[index]
            here = level.descriptor = self._open(here, level.name, index - 1)
            if _place(os.fstat(here)) != level.place:
                self._close_level(index)
                raise OSError(errno.ENOENT, "another folder stands here than before", os.fsdecode(level.name))
            self._close_level(index - _MOST_OPEN)
        return here

    def _close_level(self, index: int) -> None:
        if index > 0 and self._levels[index].descriptor >= 0:
            os.close(self._levels[index].descriptor)
            self._levels[index].descriptor = -1


def _place(found: os.stat_result | FolderStat) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _stands_at(levels: Sequence[_Level], found: os.stat_result | FolderStat) -> bool:
    place = _place(found)
    return any(level.place == place for level in levels)
