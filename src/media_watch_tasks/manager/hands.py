"""The worker threads of a run: jobs go in, outcomes come out, and a thread that hangs can be given up."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.outcomes import Outcome

__all__ = ["Hands", "Job"]

_log = logging.getLogger(__name__)
_QUICK_SECONDS = 0.000_15
"""A job that takes no longer is over before a second thread has helped with it."""
_QUICK_ENOUGH = 8
_LONGEST_CHAIN = 32
"""A longer one saves next to nothing, and more would be in hand if the process died."""
_SLACK_SECONDS = 0.003
"""A chain that is late by this much may have waited for the processor."""
_OVERDUE_NS = NANOSECONDS // 10
"""What no hand has turned to by then waits behind slow work."""


class Job:
    """Work for one hand: one claim, or a batch of them."""

    def __init__(self, flights: Sequence[Flight], work: Callable[[], list[Outcome]]) -> None:
        self.flights = tuple(flights)
        self.work = work
        self.given_up = False


class Hands:
    """A fixed number of threads. The queues need no bound: no more is given than there is `room` for.

    Each job wakes a hand. Where jobs end faster than threads take turns, those that are given together are a chain,
    which may be longer than there are hands: one is woken, works them off, and reports once. If it does not come
    through in time, the others are woken for the rest, and what they do not get to is handed back, so that nothing
    ever waits behind a slow job.
    """

    def __init__(self, count: int, clock: Clock) -> None:
        self._clock = clock
        self._given_ns = 0
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
    def room(self) -> int:
        """How many jobs may be given now: one for each free hand, or a chain."""
        return _LONGEST_CHAIN if self.makes_chains and not self._busy else self.free

    @property
    def busy(self) -> tuple[Job, ...]:
        """Jobs whose outcomes have not been collected."""
        return tuple(self._busy)

    @property
    def makes_chains(self) -> bool:
        """Jobs have ended so quickly that those given together next go to one hand."""
        return self._quick >= _QUICK_ENOUGH

    def give(self, *jobs: Job) -> None:
        """Hand jobs over; there must be room for them."""
        self._busy.update(jobs)
        self._given_ns = self._clock.monotonic_ns()
        self._chained = self.makes_chains
        self._jobs.extend(jobs)
        while self._threads < min(len(self._busy), self._count):
            self._threads += 1
            threading.Thread(target=self._work, name=f"mwt-worker-{self._threads}", daemon=True).start()
        self._call(1 if self._chained else len(jobs))

    def collect(self, timeout: float) -> list[Outcome]:
        """The outcomes of all jobs that have ended; waits up to `timeout` seconds for the first, or for `wake`."""
        patience = min(timeout, _QUICK_SECONDS * len(self._busy) + (_SLACK_SECONDS if self._chained else 0))
        if self._reported(patience):
            self._quick += 1
        else:
            self.take_time()
            self._call(len(self._jobs))
            if not self._done:  # of a chain that was broken nobody has reported
                self._reported(timeout - patience)
        outcomes: list[Outcome] = []
        while self._done:
            outcomes += self._finished(*self._done.popleft())
        return outcomes

    def take_time(self) -> None:
        """Make no chains until jobs have been quick for a while."""
        self._quick = 0
        self._chained = False

    def hand_back(self, *, at_once: bool) -> list[Job]:
        """Claims that no hand has turned to: nobody works on them from now on.

        Without `at_once` only where all hands have been busy with others for a while.
        """
        waiting = len(self._jobs)
        if not waiting:
            return []
        overdue = self._clock.monotonic_ns() - self._given_ns >= _OVERDUE_NS
        if not at_once and not (overdue and len(self._busy) - waiting >= self._count):
            return []
        jobs: list[Job] = []
        with suppress(IndexError):  # the hands take from the other end
            while True:
                jobs.append(self._jobs.pop())
        self._jobs.extend(job for job in jobs if not job.flights)
        back = [job for job in reversed(jobs) if job.flights]
        self._busy.difference_update(back)
        return back

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
        for _ in range(min(hands, self._count)):
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
