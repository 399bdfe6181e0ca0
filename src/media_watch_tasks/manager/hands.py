"""The worker threads of a run: jobs go in, outcomes come out, and a thread that hangs can be given up."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence

from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.outcomes import Outcome

__all__ = ["Hands", "Job"]

_log = logging.getLogger(__name__)


class Job:
    """Work for one hand: one claim, or a batch of them."""

    def __init__(self, flights: Sequence[Flight], work: Callable[[], list[Outcome]]) -> None:
        self.flights = tuple(flights)
        self.work = work
        self.given_up = False


class Hands:
    """A fixed number of threads. The queues need no bound: no more is claimed than there are free hands."""

    def __init__(self, count: int) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Job, list[Outcome]] | None] = queue.SimpleQueue()
        self._count = count
        self._threads = 0
        self._busy: set[Job] = set()

    @property
    def free(self) -> int:
        """Hands without a job."""
        return self._count - len(self._busy)

    @property
    def busy(self) -> tuple[Job, ...]:
        """Jobs whose outcomes have not been collected."""
        return tuple(self._busy)

    def give(self, job: Job) -> None:
        """Hand over a job; there must be a free hand."""
        self._busy.add(job)
        if self._threads < len(self._busy):
            self._threads += 1
            threading.Thread(target=self._work, name=f"mwt-worker-{self._threads}", daemon=True).start()
        self._jobs.put(job)

    def collect(self, timeout: float) -> list[Outcome]:
        """The outcomes of all jobs that have ended; waits up to `timeout` seconds for the first, or for `wake`."""
        outcomes: list[Outcome] = []
        try:
            item = self._results.get(timeout=timeout) if timeout > 0 else self._results.get_nowait()
            while True:
                if item is not None:
                    outcomes += self._finished(*item)
                item = self._results.get_nowait()
        except queue.Empty:
            return outcomes

    def wake(self) -> None:
        """End a wait in `collect`. Any thread may call it."""
        self._results.put(None)

    def give_up(self, job: Job) -> None:
        """Forget a job whose thread does not come back; another thread takes its place."""
        job.given_up = True
        self._busy.discard(job)
        self._threads -= 1
        for flight in job.flights:
            _log.error("worker thread does not come back", extra={"task_id": flight.claim.task.id})

    def close(self) -> None:
        """End the threads that are idle; busy ones end with their job."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _finished(self, job: Job, outcomes: list[Outcome]) -> list[Outcome]:
        if job.given_up:
            return []
        self._busy.discard(job)
        return outcomes

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            outcomes = job.work()
            self._results.put((job, outcomes))
            if job.given_up:
                return
