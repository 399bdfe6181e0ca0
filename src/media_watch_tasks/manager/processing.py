"""Runs of the queue, one at a time in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.manager.after_upload import AfterUpload
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.run import Run
from media_watch_tasks.manager.settling import Settler
from media_watch_tasks.model.reports import ProcessReport

__all__ = ["Processing"]


class Processing:
    """Runs of the queue, one at a time in this process."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core
        self._settler = Settler(core)
        self._after_upload = AfterUpload(core)
        self._one_at_a_time = threading.Lock()
        self._current: Run | None = None

    @property
    def running(self) -> bool:
        """True while a run is under way."""
        return self._current is not None

    def run(
        self,
        cancel: CancelToken,
        *,
        limit: int | None = None,
        time_budget: timedelta | None = None,
        force: bool = False,
        more_to_come: Callable[[], bool] = lambda: False,
    ) -> ProcessReport:
        """Take every eligible task once; returns when nothing is eligible and `more_to_come()` is false."""
        if not self._one_at_a_time.acquire(blocking=False):
            return ProcessReport(stopped_by="another run is processing")
        try:
            self._current = Run(
                self._core,
                self._settler,
                self._after_upload,
                cancel,
                limit=limit,
                time_budget=time_budget,
                force=force,
                more_to_come=more_to_come,
            )
            return self._current.report()
        finally:
            self._current = None
            self._one_at_a_time.release()

    def wake(self) -> None:
        """Tasks were enqueued: a run that waits looks again."""
        current = self._current
        if current is not None:
            current.wake()

    def finish(self) -> None:
        """Wait for the run to end (the core is closing), and write what an earlier run could not write."""
        with self._one_at_a_time:
            if self._settler.pending:
                self._settler.flush()
