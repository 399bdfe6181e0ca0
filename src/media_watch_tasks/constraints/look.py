"""Look: asks something that may hang, without hanging."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Generic, TypeVar

from media_watch_tasks.clock import Clock, SystemClock, to_ns
from media_watch_tasks.errors import ConfigurationError

__all__ = ["PATIENCE", "Look"]

PATIENCE = timedelta(seconds=0.5)
"""How long a look is waited for: the run of the queue stands still meanwhile."""

_Answer = TypeVar("_Answer")


class _Asked(Generic[_Answer]):
    """One question under way, and what came of it. The thread that asks writes it, then sets `done`."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answers: tuple[_Answer, ...] = ()
        self.error: BaseException | None = None
        self.traceback: TracebackType | None = None
        self.ended_ns = 0

    def result(self) -> _Answer:
        if self.error is not None:
            # One exception may be raised to several callers: each time with the traceback of the look alone.
            raise self.error.with_traceback(self.traceback)
        return self.answers[0]


class Look(Generic[_Answer]):
    """Asks in a thread of its own and waits for the answer a short time; answers may be kept for a while. Thread-safe.

    `statvfs` on a network file system whose server is gone does not return for minutes, and a callable of the
    application may do anything. The run of the queue must go on all the same, so that the uploads under way are
    recorded. At most one question is under way; whoever asks meanwhile waits for the same one.

    Args:
        ask: called without arguments.
        keep_for: how long an answer, or a failure to answer, is given again without asking.
        patience: how long one call waits, in real time.
        clock: what `keep_for` is measured with.
    """

    def __init__(
        self,
        ask: Callable[[], _Answer],
        *,
        keep_for: timedelta = timedelta(0),
        patience: timedelta = PATIENCE,
        clock: Clock | None = None,
    ) -> None:
        if not callable(ask):
            raise ConfigurationError(f"what is asked must be callable, not {ask!r}")
        if not isinstance(keep_for, timedelta) or keep_for < timedelta(0):
            raise ConfigurationError(f"keep_for must be a timedelta of at least zero, not {keep_for!r}")
        if not isinstance(patience, timedelta) or patience <= timedelta(0):
            raise ConfigurationError(f"patience must be a timedelta above zero, not {patience!r}")
        self._ask = ask
        self._keep_ns = to_ns(keep_for)
        self._patience = patience.total_seconds()
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._asked: _Asked[_Answer] | None = None

    def answer(self) -> _Answer:
        """What `ask` returned, or raises what it raised.

        Raises:
            TimeoutError: no answer within `patience`. The question stays under way, and is not asked a second time.
        """
        asked = self._current()
        if not asked.done.wait(self._patience):
            raise TimeoutError(f"no answer within {self._patience:g} s")
        return asked.result()

    def _current(self) -> _Asked[_Answer]:
        with self._lock:
            asked = self._asked
            if asked is not None:
                if not asked.done.is_set():
                    return asked
                if self._clock.monotonic_ns() - asked.ended_ns < self._keep_ns:
                    return asked
            asked = _Asked()
            # A daemon: a look that hangs does not keep the program from ending.
            threading.Thread(target=self._run, args=(asked,), name="mwt-constraint", daemon=True).start()
            self._asked = asked
            return asked

    def _run(self, asked: _Asked[_Answer]) -> None:
        try:
            asked.answers = (self._ask(),)
        except BaseException as error:  # noqa: BLE001 - raised again on the thread of the caller
            asked.error, asked.traceback = error, error.__traceback__
        finally:
            asked.ended_ns = self._clock.monotonic_ns()
            asked.done.set()
