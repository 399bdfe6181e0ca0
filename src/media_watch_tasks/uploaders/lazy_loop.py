"""A loop that is made when it is first needed: whoever imports the library and has no coroutine needs no asyncio."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from media_watch_tasks.errors import TransientError

if TYPE_CHECKING:
    from media_watch_tasks.uploaders.private_loop import PrivateLoop

__all__ = ["LazyLoop"]


class LazyLoop:
    """A `PrivateLoop` that is made when it is first needed. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: PrivateLoop | None = None
        self._closed = False

    def started(self) -> PrivateLoop:
        """The loop. Raises `TransientError` after `close`."""
        with self._lock:
            if self._closed:
                raise TransientError(f"{self._name} is closed")
            if self._loop is None:
                from media_watch_tasks.uploaders.private_loop import PrivateLoop  # noqa: PLC0415 - asyncio loads late

                self._loop = PrivateLoop(self._name)
            return self._loop

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Close the loop, if there ever was one, with this as the last that it runs. May be called again."""
        with self._lock:
            loop, self._loop, self._closed = self._loop, None, True
        if loop is not None:
            loop.close(last)
