"""Reads one open folder: first the names, then size and time of its files, portion by portion in their order.

Threads do not make this faster (the interpreter's lock), and of a large folder only the names are held in memory.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, islice
from typing import NamedTuple

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local.attributes import signed_file_id
from media_watch_tasks.model.identity import within_int64
from media_watch_tasks.model.scans import AssetRow

__all__ = ["LARGEST_SIZE", "FileColumns", "FilePortion", "FolderNames", "Look", "file_portions", "read_names"]

_PORTION = 1_000
_BETWEEN_LOOKS = 250
"""Entries between two looks at the cancel token."""

_INT64_MAX = 2**63 - 1
LARGEST_SIZE = _INT64_MAX
"""No file is larger."""

Look = Callable[..., os.stat_result]
"""`os.stat`, or something that is called like it with `(name, dir_fd=, follow_symlinks=False)`."""


@attrs.define
class FolderNames:
    """The names in a folder, in no order. Pipes, sockets and devices are left out."""

    files: list[bytes] = attrs.field(factory=list)
    directories: list[bytes] = attrs.field(factory=list)
    links: list[bytes] = attrs.field(factory=list)
    error: OSError | None = None
    """What ended the reading before the end of the folder."""


class FilePortion(NamedTuple):
    """At most 1,000 files of a folder, by name."""

    rows: tuple[AssetRow, ...]
    file_ids: tuple[int, ...]
    failures: Sequence[OSError]
    """Entries that are there and cannot be looked at; `filename` holds each name as bytes."""
    last: bool


def read_names(descriptor: int, cancel: CancelToken) -> FolderNames:
    """Read an open folder to its end, or to an error, which is kept with the names that were read before it."""
    names = FolderNames()
    files: list[str] = []
    directories: list[str] = []
    links: list[str] = []
    try:
        with os.scandir(descriptor) as entries:
            while True:
                cancel.raise_if_cancelled()
                entry = None
                for entry in islice(entries, _BETWEEN_LOOKS):
                    try:
                        if entry.is_file(follow_symlinks=False):
                            files.append(entry.name)
                        elif entry.is_dir(follow_symlinks=False):
                            directories.append(entry.name)
                        elif entry.is_symlink():
                            links.append(entry.name)
                    except OSError:
                        # Its folder does not say what it is, and a look at it fails: it will fail again, and be told.
                        files.append(entry.name)
                if entry is None:
                    break
                names.files += _as_bytes(files)
                files.clear()
    except OSError as error:
        names.error = error
        names.files += _as_bytes(files)
    names.directories = _as_bytes(directories)
    names.links = _as_bytes(links)
    return names


def _as_bytes(names: Sequence[str]) -> list[bytes]:
    """The bytes behind many names, encoded in one go, which takes a tenth of the time of `os.fsencode` on each."""
    if not names:
        return []
    return "\0".join(names).encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()).split(b"\0")


def file_portions(
    descriptor: int,
    names: Sequence[bytes],
    *,
    sizes: tuple[int, int | None],
    cancel: CancelToken,
    look: Look = os.stat,
) -> Iterator[FilePortion]:
    """Look at the files of an open folder, whose names are sorted; there is always a last portion.

    Left out: what is gone by now, what is no regular file any more, and what is smaller or larger than `sizes`.
    """
    smallest, largest = sizes[0], _INT64_MAX if sizes[1] is None else sizes[1]
    for start in range(0, len(names) or 1, _PORTION):
        portion = names[start : start + _PORTION]
        columns = FileColumns()
        failures: list[OSError] = []
        try:
            for first in range(0, len(portion), _BETWEEN_LOOKS):
                cancel.raise_if_cancelled()
                some = portion[first : first + _BETWEEN_LOOKS]
                columns.add(look(name, dir_fd=descriptor, follow_symlinks=False) for name in some)
        except OSError:
            portion, found, failures = _one_by_one(descriptor, portion, look)
            columns = FileColumns()
            columns.add(found)
        rows, file_ids = columns.rows(portion, smallest, largest)
        yield FilePortion(rows, file_ids, failures, start + _PORTION >= len(names))


def _one_by_one(
    descriptor: int, names: Sequence[bytes], look: Look
) -> tuple[list[bytes], list[os.stat_result], list[OSError]]:
    """Some entry cannot be looked at: find out which, and leave out those that are gone."""
    there: list[bytes] = []
    found: list[os.stat_result] = []
    failures: list[OSError] = []
    for name in names:
        try:
            found.append(look(name, dir_fd=descriptor, follow_symlinks=False))
        except FileNotFoundError:
            continue
        except OSError as error:
            error.filename = name
            failures.append(error)
        else:
            there.append(name)
    return there, found, failures


class FileColumns:
    """What is kept of the looks at many files, column by column.

    A result is let go before the next one is there: together they would be so many objects that the interpreter's
    search for circles would take a good part of the time.
    """

    __slots__ = ("file_ids", "modes", "sizes", "times")

    def __init__(
        self, modes: Iterable[int] = (), sizes: Iterable[int] = (), times: Iterable[int] = (), ids: Iterable[int] = ()
    ) -> None:
        """Begin with these rows; times are in ns."""
        self.modes = list(modes)
        self.sizes = list(sizes)
        self.times = list(times)
        self.file_ids = list(ids)

    def add(self, found: Iterable[os.stat_result]) -> None:
        """Add rows."""
        modes, sizes, times, file_ids = self.modes, self.sizes, self.times, self.file_ids
        for entry in found:
            modes.append(entry.st_mode)
            sizes.append(entry.st_size)
            times.append(entry.st_mtime_ns)
            file_ids.append(entry.st_ino)

    def rows(self, names: Sequence[bytes], smallest: int, largest: int) -> tuple[tuple[AssetRow, ...], tuple[int, ...]]:
        """The rows and the ids of the regular files of such a size, whose names are given."""
        # Judged as a whole: in most portions nothing has to be left out or corrected.
        sizes, times, file_ids = self.sizes, self.times, self.file_ids
        if not sizes:
            return (), ()
        if min(sizes) < smallest or max(sizes) > largest or not all(map(stat.S_ISREG, set(self.modes))):
            kept = [
                stat.S_ISREG(mode) and smallest <= size <= largest for mode, size in zip(self.modes, sizes, strict=True)
            ]
            names = list(compress(names, kept))
            sizes, times, file_ids = (list(compress(column, kept)) for column in (sizes, times, file_ids))
            if not sizes:
                return (), ()
        if min(times) < -_INT64_MAX or max(times) > _INT64_MAX:
            times = [within_int64(time) for time in times]
        if max(file_ids) > _INT64_MAX:
            file_ids = [signed_file_id(inode) for inode in file_ids]
        return tuple(zip(names, sizes, times, strict=True)), tuple(file_ids)
