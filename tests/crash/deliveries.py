"""Another process' work, done in this one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.crash.crowd import wait_for
from tests.crash.programs import stores_and_manager

__all__ = ["deliver_all"]

_LIVE = ("pending", "failed", "uploading")


def deliver_all(folder: Path, *, lease: float) -> None:
    """Scan and deliver until nothing is left to do; `lease` in seconds."""
    with stores_and_manager(folder, "keep", lease=timedelta(seconds=lease)) as (_, manager):

        def is_done() -> bool:
            scanned = manager.run_once().scan.skipped is None
            return scanned and not any(manager.counts()[state] for state in _LIVE)

        wait_for(is_done, what="all to be delivered")
