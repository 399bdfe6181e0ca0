"""The process that reads folders, as the scan sees it: asked, and answering in the same order."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Self, cast

from media_watch_tasks.local import folder_reader

__all__ = ["ReaderProcess"]

_PIECE = 1 << 20
_LENGTH = 4


class ReaderProcess:
    """A child that has nothing of this process but the open root and two pipes. For one thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Take the running process."""
        self._process = process
        assert process.stdin is not None  # noqa: S101 - as `start` asked for
        assert process.stdout is not None  # noqa: S101
        self._requests, self._replies = process.stdin.fileno(), process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self._received = bytearray()
        self.asked: deque[bytes] = deque()
        """Folders that it was asked for and has not answered."""

    @classmethod
    def start(cls, root: int) -> Self | None:
        """Start one for the tree below an open root; None where this program has no interpreter to start.

        None too where the child could read more than this thread: the listing would depend on who reads a folder.

        Raises:
            OSError: the system refuses a new process.
        """
        program = folder_reader.__file__
        if getattr(sys, "frozen", False) or not sys.executable or not os.path.isfile(program) or _would_gain_rights():
            return None
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own file
            [sys.executable, "-I", "-S", program, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=(root,),
            process_group=0,  # a Ctrl-C is for the program that scans
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def request(self, directories: Sequence[bytes]) -> None:
        """Ask for folders. Raises `OSError` if the process is gone."""
        folder_reader.write_frame(self._requests, b"\0".join(directories))
        self.asked += directories

    def receive(self, timeout_ms: int) -> Iterator[tuple[bytes, folder_reader.Answer | None]]:
        """Folders with their answers, as many as have arrived; waits for the first as long as it may.

        Raises:
            OSError, EOFError: the process is gone.
        """
        if not self._poll.poll(timeout_ms):
            return
        piece = os.read(self._replies, _PIECE)
        if not piece:
            raise EOFError("it has closed its output")
        self._received += piece
        while len(self._received) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._received[:_LENGTH], "big")
            if len(self._received) < end:
                return
            frame = bytes(self._received[_LENGTH:end])
            del self._received[:end]
            # Written by our own process, which has read nothing but names and numbers.
            yield self.asked.popleft(), cast("folder_reader.Answer | None", marshal.loads(frame))  # noqa: S302

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        # One that waits for a dead disk or server does not end before that answers: nobody has to wait with it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)


def _would_gain_rights() -> bool:
    """True if this thread has given up capabilities that the kernel gives back to a new program of root.

    See capabilities(7), "Capabilities and execution of programs by root".
    """
    if os.getuid() and os.geteuid():
        return False
    try:
        with open("/proc/thread-self/status", "rb") as file:
            sets = dict(line.split(b":", 1) for line in file if line.startswith(b"Cap"))
    except OSError:
        return True
    return sets.get(b"CapEff") != sets.get(b"CapBnd")
