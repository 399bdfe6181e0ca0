"""Schedulers: what runs a job again and again."""

from media_watch_tasks.schedulers.huey import HueyScheduler
from media_watch_tasks.schedulers.interval import IntervalScheduler

__all__ = ["HueyScheduler", "IntervalScheduler"]
