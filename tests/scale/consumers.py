"""Consumers of Huey queues for tests: real ones, whose scheduler does not wait a minute between two looks."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from huey import RedisHuey
from huey.consumer import Consumer, Scheduler

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.schedulers import HueyScheduler
from media_watch_tasks.testing.clock import FakeClock


# Huey has no types.
class QuickScheduler(Scheduler):  # type: ignore[misc]
    periodic_task_seconds = 0.02

    def __init__(self, *, huey: Any, stop_flag: Any, interval: float, periodic: bool) -> None:
        super().__init__(huey, stop_flag, interval, periodic)
        self.interval = 0.02


class QuickConsumer(Consumer):  # type: ignore[misc]
    scheduler_class = QuickScheduler

    def __init__(self, huey: Any, *, workers: int = 2) -> None:
        super().__init__(huey, workers=workers, initial_delay=0.005, max_delay=0.02)

    def _set_signal_handlers(self) -> None:
        """Those of the test runner stay."""


class HurryingClock(FakeClock):
    """Each look at the time of day is five minutes later than the one before."""

    def now_ns(self) -> int:
        self.advance_wall(timedelta(minutes=5))
        return super().now_ns()


def main() -> None:
    """A consumer process: `consumers.py PORT NAME FOLDER SECONDS`. Its job writes a mark when it begins and ends.

    The clock of the schedules hurries, so that a run is always due.
    """
    port, name, folder, seconds = sys.argv[1:]
    huey = RedisHuey(name, host="127.0.0.1", port=int(port))

    def job(cancel: CancelToken) -> None:
        mark(Path(folder), "begin")
        cancel.wait(float(seconds))
        mark(Path(folder), "end")

    scheduler = HueyScheduler(
        huey, timedelta(minutes=1), lease=timedelta(seconds=2), clock=HurryingClock(), name="many"
    )
    scheduler.start(job)
    QuickConsumer(huey).run()


def mark(folder: Path, word: str) -> None:
    """Append a line; it is there as a whole, or not at all."""
    line = f"{time.monotonic_ns()} {os.getpid()} {word}\n".encode()
    descriptor = os.open(folder / "marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line)
    os.close(descriptor)


def marks(folder: Path) -> list[tuple[int, int, str]]:
    """All marks, in the order of their times."""
    path = folder / "marks"
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted((int(at), int(pid), word) for at, pid, word in (line.split() for line in lines))


if __name__ == "__main__":
    main()
