"""Processes that start in milliseconds: a process that has imported everything forks one for each call.

A crash test kills hundreds of processes. Each of them has to be a process of its own, with threads, connections and
locks that only it holds; what costs time at the start of one is the interpreter and the imports, and those are shared.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

ROOT = Path(__file__).parents[2]
HANG_GUARD = 60.0
"""Seconds after which a process that should have ended is called hung."""


@attrs.define(eq=False)
class Child:
    """A running process of a zygote."""

    pid: int
    pidfd: int
    log: Path
    """What it wrote to standard error."""
    _zygote: Zygote
    _status: int | None = None

    def ended_within(self, seconds: float) -> bool:
        """Wait at most so long; True once the process has ended."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1_000))

    def kill(self) -> None:
        """SIGKILL; nothing happens if it has ended."""
        if self._status is None:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Any other signal."""
        signal.pidfd_send_signal(self.pidfd, number)

    def wait(self) -> int:
        """The exit code, negative for the signal that ended it."""
        if self._status is None:
            if not self.ended_within(HANG_GUARD):
                self.kill()
                raise AssertionError(f"the process hung:\n{self.log.read_text()[-3_000:]}")
            self._status = self._zygote.reap(self.pid)
            os.close(self.pidfd)
        return self._status

    def finish(self) -> str:
        """Wait until it has ended in order; what it wrote."""
        status = self.wait()
        said = self.log.read_text(encoding="utf-8", errors="replace")
        assert status == 0, f"the process ended with {status}:\n{said[-3_000:]}"
        return said


class Zygote:
    """Starts processes that run a function of `tests.crash.programs` or `tests.crash.services`.

    Args:
        mutant: `path of a file:function`; the function is called before anything is forked, to put mistakes in.
    """

    def __init__(self, mutant: str | None = None) -> None:
        command = [sys.executable, "-W", "error", "-m", "tests.crash.zygote_program", *([mutant] if mutant else [])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._children: list[Child] = []

    def start(self, call: str, *, log: Path, **arguments: Any) -> Child:
        """Fork a process that calls the function with these arguments."""
        pid = self._ask(call=call, log=str(log), arguments=arguments)
        child = Child(pid, os.pidfd_open(pid), log, self)
        self._children.append(child)
        return child

    def reap(self, pid: int) -> int:
        """Collect the exit code of a process that has ended."""
        return os.waitstatus_to_exitcode(self._ask(reap=pid))

    def close(self) -> None:
        """End all that is left."""
        for child in self._children:
            if child._status is None:
                child.kill()
                child.wait()
        self._process.stdin.close()  # type: ignore[union-attr]  # a pipe was asked for
        self._process.wait(HANG_GUARD)
        self._process.stdout.close()  # type: ignore[union-attr]  # as above

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, **request: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the zygote has died"
        return int(answer)
