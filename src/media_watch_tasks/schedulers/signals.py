"""SignalWatch: waits in the main thread for SIGINT or SIGTERM, without running any code inside of a handler."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from media_watch_tasks.errors import ConfigurationError

__all__ = ["SignalWatch"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WOKEN = 0
"""The byte that `wake` writes; no signal has this number."""
_MOST_AT_ONCE = 4_096


class SignalWatch:
    """Catches SIGINT and SIGTERM inside of its block; the handlers that stood before are put back at its end.

    A Python handler runs between any two steps of the main thread, possibly while that holds the lock of an event or of
    a token: setting one there can deadlock. So the handlers do nothing, and the interpreter's wake-up descriptor, which
    is written to by the C handler itself, brings the signal's number to `wait`.

    A signal that the process ignores (a job in the background under `nohup`) stays ignored.
    """

    def __enter__(self) -> Self:
        """Install the handlers. Raises `ConfigurationError` outside of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise ConfigurationError("signals reach the main thread only: call run_until_signal there, or start() here")
        self._lock = threading.Lock()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._unheard: list[int] = []
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN:
                # None: a handler that was not installed by Python, which Python cannot put back.
                self._before[number] = signal.SIG_DFL if handler is None else handler
                signal.signal(number, _do_nothing)
        return self

    def wait(self) -> int | None:
        """Block until a signal of ours comes, and return its number; None after `wake`."""
        while True:
            select.select([self._reader], [], [])
            told = list(os.read(self._reader, _MOST_AT_ONCE))
            for place, byte in enumerate(told):
                if byte == _WOKEN or byte in self._before:
                    self._unheard = told[place + 1 :]
                    return byte or None

    def wake(self) -> None:
        """Make `wait` return. Any thread may call it, also after the end of the block."""
        with self._lock:
            if self._writer >= 0:
                # A full pipe wakes as well.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._writer, bytes([_WOKEN]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        with self._lock:
            os.close(self._writer)
            self._writer = -1
        unheard = self._unheard + list(os.read(self._reader, _MOST_AT_ONCE))
        os.close(self._reader)
        # A second signal that came before the old handlers were back takes the effect that it would have now.
        for byte in unheard:
            if byte in self._before:
                signal.raise_signal(byte)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has told already."""
