"""The hands of a run: no job waits behind a slow one, and quick ones do not wake a thread each."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import SystemClock
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.hands import Hands, Job
from media_watch_tasks.manager.outcomes import Outcome
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import Claim, Task, TaskState
from media_watch_tasks.testing.clock import FakeClock

PATIENCE = 20.0
"""Seconds after which a test that hangs is ended."""


@pytest.fixture
def hands() -> Iterator[Hands]:
    """Three hands."""
    hands = Hands(3, SystemClock(), may_stock=True)
    yield hands
    hands.close()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


def flight() -> Flight:
    """Of a claim that is never looked at."""
    task = Task(1, Route("camera", "archive"), b"a", Fingerprint(1, 2), b"", TaskState.UPLOADING, 0, 0, 0, 0)
    return Flight(Claim(task, 1), cancel=CancelToken(), clock=FakeClock())


class Noted:
    """Notes which thread did a job."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def job(self) -> Job:
        """A job that ends at once."""
        return Job((flight(),), self._work)

    def _work(self) -> list[Outcome]:
        self.threads.append(threading.current_thread().name)
        return []


def all_done(hands: Hands) -> None:
    """Collect until nothing is under way."""
    for _ in range(int(PATIENCE / 0.25)):
        if not hands.busy:
            return
        hands.collect(0.25)
    raise AssertionError("jobs do not end")


def used_to_quick_jobs(hands: Hands) -> None:
    """Let jobs end at once until the hands make chains of them."""
    noted = Noted()
    for _ in range(10_000):
        hands.give(noted.job())
        all_done(hands)
        if hands.makes_chains:
            return
    raise AssertionError("quick jobs never made a chain")


def test_jobs_given_together_run_at_the_same_time(hands: Hands) -> None:
    """Each job wakes a hand: three that wait for each other come to an end."""
    meeting = threading.Barrier(3, timeout=PATIENCE)

    def meet() -> list[Outcome]:
        meeting.wait()
        return []

    hands.give(*[Job((flight(),), meet) for _ in range(3)])
    all_done(hands)
    assert not meeting.broken


def test_a_chain_that_meets_a_slow_job_is_taken_over_by_the_other_hands(hands: Hands) -> None:
    """Jobs that wait for each other come to an end although one hand was given all of them."""
    used_to_quick_jobs(hands)
    meeting = threading.Barrier(3, timeout=PATIENCE)

    def meet() -> list[Outcome]:
        meeting.wait()
        return []

    hands.give(*[Job((flight(),), meet) for _ in range(3)])
    all_done(hands)
    assert not meeting.broken
    assert not hands.makes_chains


@pytest.mark.parametrize("may_stock", [True, False])
def test_short_jobs_wait_for_hands_where_that_may_be(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, may_stock: bool
) -> None:
    """A hand goes from one job to the next although nobody has collected the first outcome."""
    monkeypatch.setattr("media_watch_tasks.manager.hands._QUICK_NS", -1)
    hands = Hands(3, clock, may_stock=may_stock)
    noted = Noted()
    for _ in range(20):
        hands.give(noted.job())
        all_done(hands)
    assert not hands.makes_chains
    assert (hands.room > 3) is may_stock
    jobs = [noted.job() for _ in range(hands.room)]
    hands.give(*jobs)
    assert hands.free == 3 - len(jobs)
    all_done(hands)
    assert len(noted.threads) == 20 + len(jobs)
    hands.close()


def test_what_waits_while_all_hands_are_busy_is_handed_back(clock: FakeClock) -> None:
    """Not at once: only when it has waited for a while. What a hand is at stays with it."""
    hands = Hands(3, clock, may_stock=True)
    used_to_quick_jobs(hands)
    go_on = threading.Event()
    at_work = threading.Semaphore(0)

    def wait() -> list[Outcome]:
        at_work.release()
        assert go_on.wait(PATIENCE)
        return []

    jobs = [Job((flight(),), wait) for _ in range(hands.room)]
    assert len(jobs) > 3
    hands.give(*jobs)
    hands.collect(0.25)
    for _ in range(3):
        assert at_work.acquire(timeout=PATIENCE)
    assert hands.hand_back(at_once=False) == []
    clock.advance(1)
    assert hands.hand_back(at_once=False) == jobs[3:]
    assert set(hands.busy) == set(jobs[:3])
    assert hands.room == 0
    go_on.set()
    all_done(hands)
    hands.close()


def test_work_that_is_no_claim_is_not_handed_back(clock: FakeClock) -> None:
    """An after-upload action belongs to the run."""
    hands = Hands(1, clock, may_stock=True)
    go_on = threading.Event()
    done: list[int] = []

    def wait() -> list[Outcome]:
        assert go_on.wait(PATIENCE)
        return []

    def act() -> list[Outcome]:
        done.append(1)
        return []

    hands.give(Job((flight(),), wait))
    hands.give_aside(act)
    clock.advance(1)
    assert hands.hand_back(at_once=False) == []
    go_on.set()
    all_done(hands)
    hands.close()
    assert done == [1]


def test_every_job_of_a_chain_is_done_once_and_collected(hands: Hands) -> None:
    """Whichever hand does it."""
    used_to_quick_jobs(hands)
    noted = Noted()
    for _ in range(200):
        hands.give(*[noted.job() for _ in range(3)])
        assert len(hands.busy) == 3
        assert hands.free == 0
        all_done(hands)
    assert len(noted.threads) == 600


def test_a_wait_ends_when_somebody_wakes_it(hands: Hands) -> None:
    """Although the job goes on, and its outcome is collected later."""
    go_on = threading.Event()

    def wait() -> list[Outcome]:
        assert go_on.wait(PATIENCE)
        return []

    hands.give(Job((flight(),), wait))
    threading.Timer(0.05, hands.wake).start()
    assert hands.collect(PATIENCE) == []
    assert len(hands.busy) == 1
    go_on.set()
    all_done(hands)
