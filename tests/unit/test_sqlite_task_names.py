"""What a process keeps in memory of routes, lanes and pauses is what stands in the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.stores.sqlite.stores import SqliteStores

ROUTE = Route("camera", "backup")
HOUR_NS = 3_600 * 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one task, made by a process that is gone."""
    with SqliteStores(tmp_path / "watch.db") as stores:
        enqueue(stores, "a")
    return tmp_path / "watch.db"


def enqueue(stores: SqliteStores, name: str) -> None:
    task = NewTask(route=ROUTE, asset_id=name.encode(), fingerprint=Fingerprint(1, 2), due_ns=0)
    stores.tasks.enqueue_if_absent([task])


def claim(stores: SqliteStores) -> tuple[Claim, ...]:
    worker = stores.tasks.register_worker()
    request = ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=1, lease_ns=HOUR_NS, longest_delay_ns=HOUR_NS)
    return tuple(stores.tasks.claim_batch(request))


def test_the_first_thing_that_a_process_does_may_be_a_claim(path: Path) -> None:
    with SqliteStores(path) as stores:
        assert [each.task.asset_id for each in claim(stores)] == [b"a"]


def test_the_first_claim_of_a_process_knows_a_pause_that_another_has_just_set(path: Path) -> None:
    with SqliteStores(path) as stores, SqliteStores(path) as peer:
        enqueue(stores, "b")
        peer.tasks.pause(Pause(scope=PauseScope.ALL, value="", until_ns=None, reason="for the night"))
        assert claim(stores) == ()
        assert [pause.reason for pause in stores.tasks.pauses()] == ["for the night"]
        assert claim(peer) == ()
