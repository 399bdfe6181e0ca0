"""A trace of what a process was doing when it died: one line for each begin and end, written past all buffers.

A line is `pid thread nanoseconds sign phase detail`, the sign `+` for a begin, `-` for an end, `=` for an instant; the
nanoseconds are those of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Mark", "Marks", "kill_in", "open_spans", "read_marks"]


class Marks:
    """Written by the process that is watched."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.open: Counter[str] = Counter()
        """How many spans of a phase are open now."""

    def write(self, sign: str, phase: str, detail: str = "") -> None:
        line = f"{os.getpid()} {threading.get_native_id()} {time.monotonic_ns()} {sign} {phase} {detail}\n"
        os.write(self._fd, line.encode())

    def span(self, owner: type, name: str, phase: str, detail: Callable[..., str] = lambda *_: "") -> None:
        """Watch a method: each call of it is a span of the phase."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            said = detail(*arguments)
            self.write("+", phase, said)
            self.open[phase] += 1
            try:
                return function(*arguments, **named)
            finally:
                # Before the line: whoever counts inside of the phase never kills after its end was written.
                self.open[phase] -= 1
                self.write("-", phase, said)

        setattr(owner, name, watched)


def kill_in(marks: Marks, phase: str | None, events: int) -> None:
    """Kill this process at the n-th call or return (of Python or C functions, on any thread) inside of the phase.

    It does not depend on how fast the machine is, so that every place of the code is as likely as any other.
    """
    left = events
    open_spans = marks.open
    pid, sigkill = os.getpid(), 9

    def count(_frame: object, _event: str, _argument: object) -> None:
        nonlocal left
        if phase is None or open_spans[phase]:
            left -= 1
            if left <= 0:
                os.kill(pid, sigkill)

    threading.setprofile(count)
    sys.setprofile(count)


@attrs.frozen
class Mark:
    """One line of a trace."""

    pid: int
    thread: int
    at_ns: int
    sign: str
    phase: str
    detail: str


def read_marks(path: Path) -> list[Mark]:
    """The lines of a trace, in the order in which they were written."""
    marks = []
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        pid, thread, at_ns, sign, phase, detail = line.split(" ", 5)
        marks.append(Mark(int(pid), int(thread), int(at_ns), sign, phase, detail))
    return marks


def open_spans(marks: list[Mark]) -> list[Mark]:
    """The spans that were begun and not ended."""
    spans: dict[tuple[int, int, str], list[Mark]] = {}
    for mark in marks:
        of_thread = spans.setdefault((mark.pid, mark.thread, mark.phase), [])
        if mark.sign == "+":
            of_thread.append(mark)
        elif mark.sign == "-":
            of_thread.pop()
    return [mark for of_thread in spans.values() for mark in of_thread]
