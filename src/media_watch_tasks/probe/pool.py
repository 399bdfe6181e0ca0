"""A few long-lived worker processes, lent out one file at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from media_watch_tasks.probe.settings import AnalysisSettings
from media_watch_tasks.probe.worker_process import WorkerDiedError, WorkerProcess

__all__ = ["WorkerPool"]

_log = logging.getLogger(__name__)


class WorkerPool:
    """Starts a worker when all are busy, up to `size`; a caller beyond that waits. Thread-safe.

    A worker that died or has described `recycle_after` files is replaced by a fresh one when the next is wanted.
    """

    def __init__(self, *, size: int, memory: int, settings: AnalysisSettings, recycle_after: int) -> None:
        self._memory = memory
        self._settings = settings
        self._recycle_after = recycle_after
        self._hands = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._closed = False
        self.started = 0
        """Processes started so far."""

    @property
    def closed(self) -> bool:
        """True once `close` was called."""
        return self._closed

    @contextmanager
    def lend(self) -> Iterator[WorkerProcess]:
        """A worker for one file.

        Raises:
            WorkerStartError: none can be started.
            WorkerDiedError: the pool is closed.
        """
        with self._hands:
            worker = self._take()
            fit = True
            try:
                yield worker
            except BaseException:
                fit = False
                raise
            finally:
                self._give_back(worker, fit=fit)

    def close(self) -> None:
        """End all workers; those that are busy are killed, and their files come back as errors."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for worker in busy:
            worker.kill()
        for worker in idle:
            worker.close()

    def _take(self) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise WorkerDiedError("the prober is closed")
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = WorkerProcess(memory=self._memory, settings=self._settings)
            self.started += 1
            _log.debug("probe worker started", extra={"pid": worker.pid})
        with self._lock:
            self._busy.add(worker)
            if self._closed:
                worker.kill()
        return worker

    def _give_back(self, worker: WorkerProcess, *, fit: bool) -> None:
        with self._lock:
            self._busy.discard(worker)
            keep = fit and not self._closed and worker.jobs < self._recycle_after
            if keep:
                self._idle.append(worker)
        if not keep:
            if not fit:
                worker.kill()
            worker.close()
