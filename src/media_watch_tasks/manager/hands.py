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
_QUICK_NS = 150_000
"""A job that takes no longer, alone, is over before a second thread has helped with it."""
_QUICK_ENOUGH = 24
"""So many quick jobs in a row, and chains are made."""
_LONGEST_CHAIN = 16
"""A longer one saves next to nothing, and more would be in hand if the process died."""
_SLACK_NS = 3_000_000
"""A chain that is late by this much may have waited for the processor."""
_SHORT_NS = 10_000_000
_SHORT_ENOUGH = 16
"""So many short jobs, and each hand has its next ones waiting. A longer one among them halves what is counted."""
_STOCK = 2
"""So many wait for each hand then."""
_OVERDUE_NS = NANOSECONDS // 10
"""What no hand has turned to by then waits behind slow work."""


class Job:
    """Work for one hand: one claim, or a batch of them."""

    __slots__ = ("beside", "flights", "given_up", "took_ns", "work")

    def __init__(self, flights: Sequence[Flight], work: Callable[[], list[Outcome]]) -> None:
        self.flights = tuple(flights)
        self.work = work
        self.given_up = False
        self.beside = 1
        """Jobs at work at one time, this one included."""
        self.took_ns = 0


class Hands:
    """A fixed number of threads. The queues need no bound: no more is given than there is `room` for.

    Mostly that is a job for each free hand. Where jobs have been short, some more wait, so that no hand stands idle
    until the outcomes of others are written, and those of several are written together. Where they even end faster than
    threads take turns, those that are given together are a chain: one hand is woken, works them off, and
    reports once. If it does not come through in time, the others are woken for the rest. What still no hand gets to is
    handed back, so that nothing ever waits behind slow work.
    """

    def __init__(self, count: int, clock: Clock, *, may_stock: bool) -> None:
        """`may_stock`: outcomes of short jobs may wait a few jobs long before they are written."""
        self._clock = clock
        self._may_stock = may_stock
        self._jobs: deque[Job] = deque()
        self._done: deque[tuple[Job, list[Outcome]]] = deque()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """One entry wakes one hand: to work off what waits, or (False) to end."""
        self._reports: queue.SimpleQueue[None] = queue.SimpleQueue()
        """One entry ends one wait in `collect`."""
        self._count = count
        self._threads = 0
        self._busy: set[Job] = set()
        self._aside = 0
        """How many of them are no claims."""
        self._given_ns = 0
        self._chained = False
        self._stocked = False
        self._quick = 0
        """How many of the last jobs in a row were quick."""
        self._short = 0

    @property
    def free(self) -> int:
        """Hands without a job; below 0 where jobs wait for hands."""
        return self._count - len(self._busy)

    @property
    def room(self) -> int:
        """How many jobs may be given now."""
        if self.makes_chains:
            is_ready = self.free > 0 and len(self._busy) == self._aside
            return max(_LONGEST_CHAIN, self._count) if is_ready else 0
        return self.free + (_STOCK * self._count if self._keeps_stock else 0)

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
        self._stocked = not self._chained and self._keeps_stock
        at_work = min(len(self._busy), self._count)
        for job in jobs:
            job.beside = 1 if self._chained else at_work
        self._jobs.extend(jobs)
        self._have_threads(at_work)
        self._call(1 if self._chained else len(jobs))

    def give_aside(self, work: Callable[[], list[Outcome]]) -> None:
        """Hand over work that is no claim. However long it takes, it tells nothing of how long claims take."""
        job = Job((), work)
        self._busy.add(job)
        self._aside += 1
        self._jobs.append(job)
        self._have_threads(min(len(self._busy), self._count))
        self._call(1)

    def collect(self, timeout: float) -> list[Outcome]:
        """The outcomes of all jobs that have ended; waits up to `timeout` seconds for some, or for `wake`."""
        if self._chained:
            patience = min(timeout, (_QUICK_NS * len(self._busy) + _SLACK_NS) / NANOSECONDS)
            if not self._reported(patience):
                self.take_time()
                self._call(len(self._jobs))
                timeout -= patience
        if not self._chained and not self._done:
            self._reported(timeout)
        outcomes: list[Outcome] = []
        while self._done:
            outcomes += self._finished(*self._done.popleft())
        return outcomes

    def take_time(self) -> None:
        """Give each hand one job at a time, until jobs have been short for a while."""
        self._quick = self._short = 0
        self._chained = self._stocked = False

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
        self.take_time()
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

    @property
    def _keeps_stock(self) -> bool:
        return self._may_stock and self._short >= _SHORT_ENOUGH

    def _have_threads(self, count: int) -> None:
        while self._threads < count:
            self._threads += 1
            threading.Thread(target=self._work, name=f"mwt-worker-{self._threads}", daemon=True).start()

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
        if not job.flights:
            self._aside -= 1
            return outcomes
        self._short = min(self._short + 1, 4 * _SHORT_ENOUGH) if job.took_ns <= _SHORT_NS else self._short // 2
        if not self._chained:  # there it is the chain that has to be quick
            # Threads take turns: beside others a job takes as many times as long.
            self._quick = self._quick + 1 if job.took_ns <= _QUICK_NS * job.beside else 0
        return outcomes

    def _work(self) -> None:
        now = self._clock.monotonic_ns
        while self._calls.get():
            while self._jobs:
                try:
                    job = self._jobs.popleft()
                except IndexError:  # another hand was quicker
                    break
                if self._stocked and len(self._jobs) == self._count // 2:
                    self._reports.put(None)  # in time for more
                began = now()
                outcomes = job.work()
                job.took_ns = now() - began
                self._done.append((job, outcomes))
                if not (self._jobs and (self._chained or self._stocked)):
                    self._reports.put(None)
                if job.given_up:
                    return
