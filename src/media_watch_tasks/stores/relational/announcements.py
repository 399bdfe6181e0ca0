"""The thread that hears of new tasks, and those who want to be told."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Announcements"]


class Announcements:
    """Tells listeners of new tasks. The thread runs while there are any."""

    def __init__(self, watch: Callable[[threading.Event, Callable[[], None]], None]) -> None:
        """`watch(ended, tell)` calls `tell` for new tasks, until the event is set: it looks at that all the time."""
        self._watch = watch
        self._lock = threading.Lock()
        self._listeners: dict[object, Callable[[], None]] = {}
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def add(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See `AnnouncesWork.on_work`."""
        key = object()
        with self._lock:
            self._listeners[key] = listener
            if self._thread is None:
                self._ended = threading.Event()
                self._thread = threading.Thread(
                    target=self._watch, args=(self._ended, self._tell), name="mwt-announcements", daemon=True
                )
                self._thread.start()
        return lambda: self._remove(key)

    def close(self) -> None:
        """Tell nobody any more. A second call does nothing."""
        with self._lock:
            self._listeners.clear()
        self._end_if_alone()

    def _remove(self, key: object) -> None:
        with self._lock:
            self._listeners.pop(key, None)
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        with self._lock:
            if self._listeners:
                return
            thread, self._thread = self._thread, None
            self._ended.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _tell(self) -> None:
        with self._lock:
            listeners = tuple(self._listeners.values())
        for listener in listeners:
            listener()
