"""What is kept of the listing of one directory: rows in the order of their names, on the disk where they are many."""

from __future__ import annotations

import heapq
import marshal
import operator
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import attrs

from media_watch_tasks.errors import TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import DirectoryStamp, ProblemKind
from media_watch_tasks.smb.entries import Entry, unsafe_names

__all__ = ["MOST_NAMES", "OVER_A_NAME", "Choice", "Chosen", "Collected", "Unlistable", "Walked"]

MOST_NAMES, OVER_A_NAME = 6 << 20, 100
"""Bytes of names of directories that are held in memory, and what each takes beside its length: some 50,000 names."""

Chosen = tuple[Sequence[Any], Sequence[bytes]]
"""What is kept of some entries (tuples of plain values that begin with a name), and the names of the directories among
them that are gone into."""
Choice = Callable[[bytes, list[Entry]], Chosen]
"""Chooses among entries of the directory with that path."""

_IN_MEMORY = 8_192
"""Rows, about 2 MB of them."""
_TOGETHER = 64
"""Rows of a run that are in memory while the runs are merged; five million rows are 300 runs."""
_NAME_OF = operator.itemgetter(0)


class Unlistable(TransientError):  # noqa: N818 - the name says the finding
    """A directory that cannot be listed as it is: it has no end, or impossible names."""


@attrs.frozen
class Walked:
    """A directory of the walk."""

    directory: bytes
    """Relative to the walk's root."""
    stamp: DirectoryStamp | None = None
    rows: Collection[Any] = ()
    directories: Sequence[bytes] = ()
    unchanged: bool = False
    problem: tuple[ProblemKind, str] | None = None


class Collected:
    """Takes the entries of a directory in portions, in any order, and gives the chosen ones sorted, each name once."""

    def __init__(self, directory: bytes, choose: Choice, *, largest: int, names: int = MOST_NAMES) -> None:
        self._directory = directory
        self._choose = choose
        self._largest = largest
        self._most_names = names
        self._seen = 0
        self._rows: list[Any] = []
        self._runs: list[_Run] = []
        self._file: _File | None = None
        self._directories: set[bytes] = set()
        self._names = 0

    def add(self, entries: list[Entry]) -> None:
        """Take one portion. Raises `Unlistable`."""
        self._seen += len(entries)
        if self._seen > self._largest:
            raise Unlistable(f"the directory has more than {self._largest} entries (max_directory_entries)")
        strange = unsafe_names(entries)
        if strange:
            name = identity.display_text(strange[0].name)
            raise Unlistable(f"{len(strange)} entries have impossible names, for example {name!r}")
        rows, directories = self._choose(self._directory, entries)
        for folder in directories:
            if folder not in self._directories:
                self._directories.add(folder)
                self._names += len(folder) + OVER_A_NAME
        if self._names > self._most_names:
            raise Unlistable(
                f"the directory holds more directories than can be kept in mind ({len(self._directories)})"
            )
        self._rows += rows
        if len(self._rows) > _IN_MEMORY:
            self._write_down()

    @property
    def directories(self) -> Sequence[bytes]:
        """Names of the directories to go into, sorted."""
        return sorted(self._directories)

    @property
    def rows(self) -> Collection[Any]:
        """The rows, sorted by name."""
        if not self._runs:
            return _each_once(self._rows)
        self._write_down()
        return _Merged(self._runs)

    def _write_down(self) -> None:
        try:
            if self._file is None:
                self._file = _File()
            self._runs.append(_Run(self._file, _each_once(self._rows)))
        except OSError as error:
            raise Unlistable(f"the listing is too large for memory and cannot be put on the disk: {error}") from error
        self._rows = []


def _each_once(rows: list[Any]) -> list[Any]:
    """Sorted by name; of rows with one name the last one."""
    found = {row[0]: row for row in rows}
    return sorted(found.values(), key=_NAME_OF)


class _File:
    """A file without a name; it is gone with the last run in it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="media-watch-listing-")  # noqa: SIM115 - see __del__

    def write(self, data: bytes) -> tuple[int, int]:
        """Append; where it stands, and its length."""
        position = self._file.seek(0, 2)
        return position, self._file.write(data)

    def read(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(length)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class _Run:
    """Sorted rows in a file."""

    def __init__(self, file: _File, rows: list[Any]) -> None:
        self._file = file
        self.count = len(rows)
        self._places = [
            file.write(marshal.dumps(rows[start : start + _TOGETHER])) for start in range(0, len(rows), _TOGETHER)
        ]

    def __iter__(self) -> Iterator[Any]:
        for position, length in self._places:
            yield from marshal.loads(self._file.read(position, length))  # noqa: S302 - what this has written itself


class _Merged(Collection[Any]):
    """Rows of many runs, in the order of their names. The length counts a name that several runs hold several times."""

    def __init__(self, runs: Sequence[_Run]) -> None:
        self._runs = runs

    def __len__(self) -> int:
        return sum(run.count for run in self._runs)

    def __iter__(self) -> Iterator[Any]:
        before = None
        for row in heapq.merge(*self._runs, key=_NAME_OF):
            if row[0] != before:
                before = row[0]
                yield row

    def __contains__(self, row: object) -> bool:
        return any(row == other for other in self)
