"""A lease that was taken a moment ago is confirmed by a look at the file: a small upload needs no commit for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from media_watch_tasks.clock import to_ns
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Released
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.model.uploads import Stage, UploadProgress
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore
from media_watch_tasks.testing.clock import FakeClock

ROUTE = Route("camera", "archive")
LEASE = timedelta(seconds=640)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tasks(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteTaskStore]:
    with SqliteStores(tmp_path / "watch.db", clock=clock) as stores:
        yield stores.tasks


def _claim(tasks: SqliteTaskStore) -> Claim:
    request = ClaimRequest(
        worker_id=tasks.register_worker(), routes=(ROUTE,), limit=1, lease_ns=to_ns(LEASE), longest_delay_ns=10**15
    )
    (claim,) = tasks.claim_batch(request)
    return claim


@pytest.fixture
def claim(tasks: SqliteTaskStore) -> Claim:
    tasks.enqueue_if_absent([NewTask(route=ROUTE, asset_id=b"a", fingerprint=Fingerprint(1, 2), due_ns=0)])
    return _claim(tasks)


def _commits(tasks: SqliteTaskStore) -> int:
    return tasks.database.data_version()


def test_a_fresh_lease_is_confirmed_without_a_commit(tasks: SqliteTaskStore, claim: Claim, clock: FakeClock) -> None:
    clock.advance(10)
    before = _commits(tasks)
    assert tasks.extend([claim.ref], lease_ns=to_ns(LEASE)) == {claim.task.id}
    assert _commits(tasks) == before


def test_an_older_one_is_extended(tasks: SqliteTaskStore, claim: Claim, clock: FakeClock) -> None:
    clock.advance(11)
    before = _commits(tasks)
    assert tasks.extend([claim.ref], lease_ns=to_ns(LEASE)) == {claim.task.id}
    assert _commits(tasks) > before
    clock.advance(LEASE - timedelta(seconds=1))
    assert tasks.take_back(dead_after=9, backoff_ns=[0]) == 0


def test_progress_is_kept_however_fresh_it_is(tasks: SqliteTaskStore, claim: Claim) -> None:
    progress = UploadProgress(Stage.TRANSFER, 1, 2)
    tasks.extend([claim.ref], lease_ns=to_ns(LEASE), progress={claim.task.id: progress})
    before = _commits(tasks)
    assert _commits(tasks) == before
    tasks.extend([claim.ref], lease_ns=to_ns(LEASE), progress={claim.task.id: progress})
    assert _commits(tasks) > before


def test_a_claim_that_was_lost_is_refused_however_fresh_it_is(tasks: SqliteTaskStore, claim: Claim) -> None:
    tasks.settle([Released(ref=claim.ref)])
    assert tasks.extend([claim.ref], lease_ns=to_ns(LEASE)) == frozenset(), "it was given back"
    other = _claim(tasks)
    assert tasks.extend([claim.ref], lease_ns=to_ns(LEASE)) == frozenset(), "another worker has it"
    assert tasks.extend([other.ref], lease_ns=to_ns(LEASE)) == {claim.task.id}


def test_a_lease_of_another_boot_is_not_fresh(tasks: SqliteTaskStore, claim: Claim, clock: FakeClock) -> None:
    clock.reboot()
    before = _commits(tasks)
    assert tasks.extend([claim.ref], lease_ns=to_ns(LEASE)) == {claim.task.id}
    assert _commits(tasks) > before
