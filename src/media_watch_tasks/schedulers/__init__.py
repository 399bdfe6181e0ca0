"""Schedulers: what runs a job again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media_watch_tasks.schedulers.huey import HueyScheduler
    from media_watch_tasks.schedulers.interval import IntervalScheduler
else:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "HueyScheduler": "schedulers.huey",
            "IntervalScheduler": "schedulers.interval",
        },
    )

__all__ = ["HueyScheduler", "IntervalScheduler"]
