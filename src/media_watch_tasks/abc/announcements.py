"""Announcements: a store that says when another process has enqueued, so that nobody has to ask all the time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

__all__ = ["AnnouncesWork"]


class AnnouncesWork(ABC):
    """Capability of a task store that several processes share. Thread-safe."""

    @abstractmethod
    def on_work(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` soon after any process has committed new tasks; returns a function that ends it.

        The tasks are there by then. Commits that follow each other closely may share a call, and a call may come
        without a reason. It comes from a thread of the store's: `call` returns at once, and raises nothing. What could
        not be heard, because the way to the database was lost, is made up for by a call when that is there again.
        """
