"""Scheduler: runs a job again and again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta

from media_watch_tasks.cancellation import CancelToken

__all__ = ["Job", "Scheduler"]

Job = Callable[[CancelToken], object]
"""For example `TaskManager.run_once`."""


class Scheduler(ABC):
    """Runs one job. Runs never overlap; a run that is still going when the next is due makes that one be skipped.

    A job that raises is logged, and the schedule goes on.
    """

    @abstractmethod
    def start(self, job: Job) -> None:
        """Begin to run the job, and return. Raises `ConfigurationError` if it runs already."""

    @abstractmethod
    def stop(self, *, timeout: timedelta | None = None) -> bool:
        """Cancel the job's token and wait for a running job; True if it has ended within `timeout` (None: for ever).

        May be called again, and before `start`.
        """
