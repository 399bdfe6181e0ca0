"""Has folders that a scan will come to read by a second process, in trees so large that starting one pays.

Threads could not do this: reading a folder is a thousand short calls, and the interpreter's lock changes hands at each.
The scan reads every second folder itself, so that both have as much to do; while the consumer of its pages is slow, the
other process takes all. What it does not answer in time, or not at all, the scan reads itself: that costs time alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local.attributes import FolderStat
from media_watch_tasks.model import identity

if TYPE_CHECKING:
    from media_watch_tasks.local.folder_reader import Answer
    from media_watch_tasks.local.reader_process import ReaderProcess

__all__ = ["FolderListing", "ReadingAhead"]

_log = logging.getLogger(__name__)
_WORTH_A_PROCESS = 5_000
"""Files that a scan looks at itself before it starts a process: what that costs is not made up for by fewer. If no
processor has time then, it tries again after as many more."""
_FEW = 1
"""So few folders asked for and not answered that the process might soon have nothing to do."""
_AT_ONCE = 2
"""Folders asked for and not answered, at most: to ask for several at once saves calls."""
_AHEAD = 32
"""Folders asked for that the scan has not come to."""
_LONGEST_PATH = 1_000
"""Bytes. Requests for `_AT_ONCE` such paths fit into a pipe: to write them never blocks."""
_LEAST_PATIENCE = 0.001
"""Seconds."""
_LOOK_AT_CANCEL_MS = 100


class FolderListing(NamedTuple):
    """What the process found in a folder; names are sorted, columns in the order of `names`."""

    itself: FolderStat
    names: list[bytes]
    sizes: list[int]
    times: list[int]
    inodes: list[int]
    folders: list[bytes]


class ReadingAhead:
    """The process, once it was started, and what it has answered. For one thread."""

    def __init__(self, root: int) -> None:
        """Take the open root; nothing is started."""
        self._root = root
        self._process: ReaderProcess | None = None
        self._start_after: int | None = _WORTH_A_PROCESS
        """Looks at files; None: no more."""
        self._answers: dict[bytes, FolderListing | None] = {}
        self._late: set[bytes] = set()
        """Folders whose answers are not waited for any more."""

    def ask(self, upcoming: Iterable[bytes], *, looks: int) -> None:
        """Have folders read.

        Args:
            upcoming: the folders that the scan comes to next, in its order.
            looks: files that the scan has looked at itself.
        """
        if self._start_after is not None and looks >= self._start_after:
            self._start(looks)
        if self._process is not None and self._process.asked:
            self._receive(0)
        if self._process is None:
            return
        asked = len(self._process.asked)
        room = min(_AT_ONCE, _AHEAD - len(self._answers)) - asked
        if asked <= _FEW and room > 0:
            # One that is idle although it is far ahead takes what is left for the scan too.
            share = 1 if not asked and len(self._answers) >= _AHEAD // 4 else 2
            wanted = list(islice(self._wanted(upcoming, self._process.asked, share), room))
            if wanted:
                self._request(wanted)

    def _wanted(self, upcoming: Iterable[bytes], asked: Container[bytes], share: int) -> Iterator[bytes]:
        """Of the folders that the scan comes to, all but the next one (`share` 1), or every second one (2)."""
        left = 0
        for directory in upcoming:
            if directory in self._answers or directory in asked:
                left = 0 if share > 1 else left
            elif left and len(directory) <= _LONGEST_PATH:
                left = 2 - share
                yield directory
            else:
                left = 1

    def answer(self, directory: bytes, cancel: CancelToken, *, patience: float = 0.0) -> FolderListing | None:
        """What was read of a folder; None if the scan has to read it.

        A folder that is being read now is waited for, but not much longer than `patience` seconds, the time in which
        the scan could have read it. A process that makes it wait longer (a busy machine gives it no time) is not
        waited for again before it has answered everything.
        """
        if self._process is not None and directory in self._process.asked:
            self._wait_for(directory, cancel, until=monotonic() + max(patience, _LEAST_PATIENCE))
        if len(self._answers) >= _AHEAD // 2:
            self._forget_before(directory)
        return self._answers.pop(directory, None)

    def folders_in(self, directory: bytes) -> list[bytes]:
        """The names of the folders in one that was answered and not yet taken, else nothing."""
        known = self._answers.get(directory)
        return [] if known is None else known.folders

    def close(self) -> None:
        """End the process."""
        self._start_after = None
        if self._process is not None:
            self._process.close()
            self._process = None

    def _wait_for(self, directory: bytes, cancel: CancelToken, *, until: float) -> None:
        self._receive(0)
        while self._process is not None and directory in self._process.asked:
            left = until - monotonic()
            if left <= 0 or self._late:
                self._late.add(directory)
                return
            cancel.raise_if_cancelled()
            self._receive(min(1 + int(left * 1_000), _LOOK_AT_CANCEL_MS))

    def _start(self, looks: int) -> None:
        from media_watch_tasks.local.reader_process import ReaderProcess  # noqa: PLC0415 - few scans start one

        processors = _processors()
        # Two processes that compete for one processor are slower than one: they wait for each other.
        if processors > 1 and _computing() >= processors:
            self._start_after = looks + _WORTH_A_PROCESS
            return
        self._start_after = None
        if processors > 1:
            try:
                self._process = ReaderProcess.start(self._root)
            except OSError as error:
                _log.info("nobody reads ahead: %s", error)

    def _request(self, directories: list[bytes]) -> None:
        if self._process is not None:
            try:
                self._process.request(directories)
            except OSError as error:
                self._lose(error)

    def _receive(self, timeout_ms: int) -> None:
        if self._process is not None:
            try:
                for directory, answer in self._process.receive(timeout_ms):
                    if directory not in self._late:
                        self._answers[directory] = _listing(answer)
                if not self._process.asked:
                    self._late.clear()
            except (OSError, EOFError) as error:
                self._lose(error)

    def _lose(self, error: Exception) -> None:
        _log.warning("the process that reads ahead is gone: %s", error)
        self.close()

    def _forget_before(self, directory: bytes) -> None:
        """Forget answers that the scan has passed without a look: it found another thing there than the process."""
        here = identity.order_key(directory)
        for passed in [name for name in self._answers if identity.order_key(name) < here]:
            del self._answers[passed]


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return (os.cpu_count() or 1) if affinity is None else len(affinity(0))


def _computing() -> int:
    """How many threads of the whole machine compute or would if they could, this one included; 1 if nobody says."""
    try:
        with open("/proc/loadavg", "rb") as file:  # proc_loadavg(5): the fourth field, before the slash
            return int(file.read().split()[3].partition(b"/")[0])
    except (OSError, ValueError, IndexError):
        return 1


def _listing(answer: Answer | None) -> FolderListing | None:
    if answer is None:
        return None
    itself, names, sizes, times, inodes, folders = answer
    return FolderListing(
        FolderStat(*itself),
        names.split(b"\0") if names else [],
        memoryview(sizes).cast("q").tolist(),
        memoryview(times).cast("q").tolist(),
        memoryview(inodes).cast("q").tolist(),
        folders.split(b"\0") if folders else [],
    )
