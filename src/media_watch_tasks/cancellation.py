"""Cooperative cancellation: a token that says that work shall stop, and why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum

from media_watch_tasks.errors import OperationCancelled

__all__ = ["CancelReason", "CancelToken"]


class CancelReason(StrEnum):
    """Why work was asked to stop; the manager settles the task by it."""

    SHUTDOWN = "shutdown"
    """The program ends: the task is released, no attempt is spent."""
    USER = "user"
    """The task was cancelled: it ends `cancelled`."""
    PAUSED = "paused"
    """The task's tag, source or destination was paused: it is released."""
    LEASE_LOST = "lease_lost"
    """Another worker may hold the task: nothing is written."""
    STALL = "stall"
    """No progress for too long: the task fails and is retried."""


class CancelToken:
    """A flag that one thread sets and others look at. The first reason given stays. Thread-safe.

    A token made with `child()` is cancelled with its parent; cancelling the child leaves the parent alone.
    """

    def __init__(self) -> None:
        self._events: dict[None, threading.Event] = {}
        self._lock = threading.Lock()
        self._reason: CancelReason | None = None
        self._callbacks: dict[int, Callable[[CancelReason], object]] = {}
        self._next_callback = 0

    def cancel(self, reason: CancelReason = CancelReason.SHUTDOWN) -> None:
        """Ask the work to stop. Later calls change nothing."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for event in tuple(self._events.values()):
            event.set()
        for callback in callbacks:
            callback(reason)

    @property
    def cancelled(self) -> bool:
        """True once `cancel` was called."""
        return self._reason is not None

    @property
    def reason(self) -> CancelReason | None:
        """The reason of the first `cancel`, None before it."""
        return self._reason

    @property
    def event(self) -> threading.Event:
        """The event that `cancel` sets, for waits through a `Clock`."""
        # Made when somebody waits: it costs more than all the rest of a token, and most tokens are never waited on.
        # Without the lock, which a signal handler of this thread that cancels would wait for in vain: `cancel` sets the
        # reason first and looks for the event then, here it is the other way round, so one of the two sees the other.
        event = self._events.get(None) or self._events.setdefault(None, threading.Event())
        if self._reason is not None:
            event.set()
        return event

    def raise_if_cancelled(self) -> None:
        """Raise `OperationCancelled` once the token is cancelled."""
        if self._reason is not None:
            raise OperationCancelled(self._reason)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until cancelled, at most `timeout` seconds of real time; True if cancelled."""
        return self.event.wait(timeout)

    def on_cancel(self, callback: Callable[[CancelReason], object]) -> Callable[[], None]:
        """Call `callback(reason)` once at cancellation, at once if it has happened; returns a function that forgets it.

        The callback runs in the cancelling thread: it must be quick and must not raise.
        """
        with self._lock:
            if self._reason is None:
                number = self._next_callback
                self._next_callback += 1
                self._callbacks[number] = callback
                return lambda: self._forget(number)
            reason = self._reason
        callback(reason)
        return lambda: None

    def child(self) -> CancelToken:
        """A token that is cancelled with this one. Call `detach()` on it when its work has ended."""
        token = _ChildToken()
        token.attach(self)
        return token

    def detach(self) -> None:
        """Cut the tie to the parent, if there is one, so that a long-lived parent holds no ended child."""

    def _forget(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._reason or 'active'}>"


class _ChildToken(CancelToken):
    _forget_tie: Callable[[], None] | None = None

    def attach(self, parent: CancelToken) -> None:
        self._forget_tie = parent.on_cancel(self.cancel)

    def detach(self) -> None:
        if self._forget_tie is not None:
            self._forget_tie()
            self._forget_tie = None
