"""What a worker holds beside tasks is free when it ends."""

from __future__ import annotations

from pathlib import Path

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.stores.sqlite.stores import SqliteStores

HOUR_NS = 3_600 * NANOSECONDS


def test_the_end_of_a_worker_gives_back_its_scan(tmp_path: Path) -> None:
    """The scan could not do it itself: the disk was full at that moment."""
    with SqliteStores(tmp_path / "watch.db") as stores:
        ended, other = stores.tasks.register_worker(), stores.tasks.register_worker()
        lease = stores.media_state.acquire_scan("nas", owner=ended, lease_ns=HOUR_NS)
        assert lease is not None
        stores.tasks.unregister_worker(other)
        assert stores.media_state.acquire_scan("nas", owner=other, lease_ns=HOUR_NS) is None
        stores.tasks.unregister_worker(ended)
        assert stores.media_state.acquire_scan("nas", owner=other, lease_ns=HOUR_NS) is not None
        assert not stores.media_state.extend_scan(lease, lease_ns=HOUR_NS), "whoever held it has lost it"
