"""Tells listeners what happened, from a thread of its own: a listener never raises into the work or slows it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.events import Event, EventsDropped, TaskProgress

__all__ = ["Listener", "Notifier"]

Listener = Callable[[Event], object]
"""What `subscribe` takes."""

_log = logging.getLogger(__name__)
_FLUSH_SECONDS = 5.0


class Notifier:
    """A bounded queue of events and the thread that hands them to the listeners.

    When a listener is slower than the work, progress is left out first (only the latest of a task is kept), then the
    oldest events; an `EventsDropped` says how many.
    """

    def __init__(self, clock: Clock, *, capacity: int = 10_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._listeners: tuple[Listener, ...] = ()
        self._queue: deque[Event] = deque()
        self._latest_progress: dict[int, TaskProgress] = {}
        self._dropped = 0
        self._busy = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def active(self) -> bool:
        """True if anybody listens; events need not be built otherwise."""
        return bool(self._listeners)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event)` for every event from now on; returns a function that ends it."""
        with self._changed:
            self._listeners = (*self._listeners, listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="mwt-events", daemon=True)
                self._thread.start()
        return lambda: self._unsubscribe(listener)

    def emit(self, event: Event) -> None:
        """Queue the event and return at once."""
        if not self._listeners:
            return
        with self._changed:
            if isinstance(event, TaskProgress):
                waiting = self._latest_progress.get(event.task.id)
                self._latest_progress[event.task.id] = event
                if waiting is not None:
                    return  # the queue holds a place for this task's progress already
            elif len(self._queue) >= self._capacity:
                self._forget(self._queue.popleft())
            self._queue.append(event)
            self._changed.notify_all()

    def now_ns(self) -> int:
        """The time for an event's `at_ns`."""
        return self._clock.now_ns()

    def flush(self) -> None:
        """Wait until what was queued has been delivered, at most a few seconds (a listener may hang)."""
        with self._changed:
            if self._thread is not None and threading.current_thread() is not self._thread:
                self._changed.wait_for(lambda: not self._queue and not self._busy, timeout=_FLUSH_SECONDS)

    def close(self) -> None:
        """Deliver what is queued and end the thread."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=_FLUSH_SECONDS)

    def _unsubscribe(self, listener: Listener) -> None:
        with self._changed:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

    def _forget(self, event: Event) -> None:
        self._dropped += 1
        if isinstance(event, TaskProgress):
            self._latest_progress.pop(event.task.id, None)

    def _deliver(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                events = self._take()
                self._busy = True
                listeners = self._listeners
            for event in events:
                for listener in listeners:
                    _tell(listener, event)

    def _take(self) -> list[Event]:
        events: list[Event] = []
        if self._dropped:
            events.append(EventsDropped(at_ns=self._clock.now_ns(), count=self._dropped))
            self._dropped = 0
        event = self._queue.popleft()
        if isinstance(event, TaskProgress):
            event = self._latest_progress.pop(event.task.id, event)
        events.append(event)
        return events


def _tell(listener: Listener, event: Event) -> None:
    try:
        listener(event)
    except Exception:  # noqa: BLE001 - a listener is foreign code: whatever it raises ends here, in the log
        _log.exception("listener failed", extra={"event": type(event).__name__})
