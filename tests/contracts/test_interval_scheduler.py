"""IntervalScheduler against the contract of schedulers, on the clock of the system and on one that tests move."""

from __future__ import annotations

from datetime import timedelta

from media_watch_tasks.schedulers import IntervalScheduler
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.scheduler import SchedulerContract


class TestIntervalScheduler(SchedulerContract):
    def make_scheduler(self) -> IntervalScheduler:
        return IntervalScheduler(timedelta(milliseconds=2))


class TestIntervalSchedulerOnAnInjectedClock(SchedulerContract):
    def make_scheduler(self) -> IntervalScheduler:
        return IntervalScheduler(timedelta(hours=6), clock=FakeClock())
