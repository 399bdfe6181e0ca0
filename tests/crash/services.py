"""What processes run that nobody kills: the database is taken from them, and they go on when it is back."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.crash.programs import Afterwards, hold_at, set_up, stores_and_manager

from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.postgres import connection

__all__ = ["serve", "wait_and_go_on"]

DAY_NS = 86_400 * 1_000_000_000


def serve(
    *,
    folder: str,
    role: str,
    afterwards: Afterwards = "keep",
    lease: float = 600.0,
    lock_timeout: str | None = None,
    jumping: bool = False,
) -> None:
    """Scan or deliver until the file `stop` is there. A run that ends by an error of the store is followed by another.

    Args:
        folder: where everything stands.
        role: `scan` or `process`.
        afterwards: what becomes of delivered files.
        lease: seconds for which tasks and the source are held.
        lock_timeout: how long the server lets a statement wait for a lock; None: as the stores have it.
        jumping: the wall clock of this machine is set a day ahead and back again, all the time.
    """
    marks = set_up(folder)
    if lock_timeout is not None:
        ours = connection._SETTINGS.replace("lock_timeout TO '60s'", f"lock_timeout TO '{lock_timeout}'")
        assert ours != connection._SETTINGS
        connection._SETTINGS = ours
    real = time.time_ns
    jumps = 0
    if jumping:
        time.time_ns = lambda: real() + (0, DAY_NS, 0, -DAY_NS)[jumps % 4]
    stop = Path(folder) / "stop"
    with stores_and_manager(folder, afterwards, lease=timedelta(seconds=lease)) as (_, manager):
        while not stop.exists():
            try:
                manager.scan_and_enqueue_new() if role == "scan" else manager.process()
            except StoreError as error:
                marks.write("=", "refused", str(error).replace("\n", " "))
            jumps += 1
            if jumping:
                marks.write("=", "jumped")
            time.sleep(0.005)


def wait_and_go_on(*, folder: str, at: str, lease: float, scan: bool) -> None:
    """Scan, or deliver what is eligible; at one of `STOPS` wait until the file `go on` is there."""
    marks = set_up(folder)
    go_on = Path(folder) / "go on"

    def wait() -> None:
        marks.write("=", "waiting")
        while not go_on.exists():
            time.sleep(0.005)
        marks.write("=", "resumed")

    never = hold_at(at, wait)
    with stores_and_manager(folder, "keep", lease=timedelta(seconds=lease), workers=1) as (_, manager):
        report: Any = manager.scan_and_enqueue_new() if scan else manager.process()
    sys.stderr.write(f"{report}\n")
    assert not never(), "it never waited"
