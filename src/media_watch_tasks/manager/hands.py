"""The worker threads of a run: jobs go in, outcomes come out, and a thread that hangs can be given up."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence

from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.outcomes import Outcome

__all__ = ["Hands", "Job"]

_log = logging.getLogger(__name__)
_QUICK_SECONDS = 0.000_15
"""A job that takes no longer is over before a second thread has helped with it."""
_QUICK_ENOUGH = 8


class Job:
    """Work for one hand: one claim, or a batch of them."""

    def __init__(self, flights: Sequence[Flight], work: Callable[[], list[Outcome]]) -> None:
        self.flights = tuple(flights)
        self.work = work
        self.given_up = False


class Hands:
    """A fixed number of threads. The queues need no bound: no more is claimed than there are free hands.

    Each job wakes a hand. Where jobs end faster than threads take turns, those that are given together are a chain:
    one hand is woken, works them off, and reports once. If it does not come through in time, the others are woken for
    the rest, so that nothing ever waits behind a slow job.
    """

    def __init__(self, count: int) -> None:
        self._jobs: deque[Job] = deque()
        self._done: deque[tuple[Job, list[Outcome]]] = deque()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """One entry wakes one hand: to work off what waits, or (False) to end."""
        self._reports: queue.SimpleQueue[None] = queue.SimpleQueue()
        """One entry ends one wait in `collect`."""
        self._count = count
        self._threads = 0
        self._busy: set[Job] = set()
        self._chained = False
        self._quick = 0
        """How many times in a row outcomes came at once."""

    @property
    def free(self) -> int:
        """Hands without a job."""
        return self._count - len(self._busy)

    @property
    def busy(self) -> tuple[Job, ...]:
        """Jobs whose outcomes have not been collected."""
        return tuple(self._busy)

    @property
    def makes_chains(self) -> bool:
        """Jobs have ended so quickly that those given together next go to one hand."""
        return self._quick >= _QUICK_ENOUGH

    def give(self, *jobs: Job) -> None:
        """Hand jobs over; there must be a free hand for each."""
        self._busy.update(jobs)
        self._chained = self.makes_chains
        self._jobs.extend(jobs)
        while self._threads < len(self._busy):
            self._threads += 1
            threading.Thread(target=self._work, name=f"mwt-worker-{self._threads}", daemon=True).start()
        self._call(1 if self._chained else len(jobs))

    def collect(self, timeout: float) -> list[Outcome]:
        """The outcomes of all jobs that have ended; waits up to `timeout` seconds for the first, or for `wake`."""
        patience = min(timeout, _QUICK_SECONDS * len(self._busy))
        if self._reported(patience):
            self._quick += 1
        else:
            self._quick = 0
            self._chained = False
            self._call(len(self._jobs))
            if not self._done:  # of a chain that was broken nobody has reported
                self._reported(timeout - patience)
        outcomes: list[Outcome] = []
        while self._done:
            outcomes += self._finished(*self._done.popleft())
        return outcomes

    def wake(self) -> None:
        """End a wait in `collect`. Any thread may call it."""
        self._reports.put(None)

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
            self._calls.put(False)
        self._threads = 0

    def _call(self, hands: int) -> None:
        for _ in range(hands):
            self._calls.put(True)

    def _reported(self, timeout: float) -> bool:
        """Wait for a report, and take all that are there; False if none came."""
        try:
            self._reports.get(timeout=timeout) if timeout > 0 else self._reports.get_nowait()
        except queue.Empty:
            return False
        while not self._reports.empty():  # this thread alone takes them
            self._reports.get()
        return True

    def _finished(self, job: Job, outcomes: list[Outcome]) -> list[Outcome]:
        if job.given_up:
            return []
        self._busy.discard(job)
        return outcomes

    def _work(self) -> None:
        while self._calls.get():
            while self._jobs:
                try:
                    job = self._jobs.popleft()
                except IndexError:  # another hand was quicker
                    break
                self._done.append((job, job.work()))
                if not (self._chained and self._jobs):
                    self._reports.put(None)
                if job.given_up:
                    return
