"""A process may claim before it asks anything else of the queue: what it does not know yet it reads from the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered, Pause, PauseScope
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore
from media_watch_tasks.testing.clock import FakeClock

ROUTE = Route("camera", "archive")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@contextmanager
def _process(path: Path, clock: FakeClock) -> Iterator[SqliteTaskStore]:
    with SqliteStores(path / "watch.db", clock=clock) as stores:
        yield stores.tasks


def _enqueue(tasks: SqliteTaskStore, asset_id: bytes) -> None:
    new = NewTask(route=ROUTE, asset_id=asset_id, fingerprint=Fingerprint(1, 2), due_ns=0)
    assert [result.outcome.is_new for result in tasks.enqueue_if_absent([new])] == [True]


def _claim(tasks: SqliteTaskStore) -> list[Claim]:
    request = ClaimRequest(
        worker_id=tasks.register_worker(),
        routes=(ROUTE,),
        limit=1,
        lease_ns=600 * NANOSECONDS,
        longest_delay_ns=3_600 * NANOSECONDS,
    )
    return list(tasks.claim_batch(request))


@pytest.mark.parametrize("rebooted", [False, True], ids=["same boot", "after a reboot"])
def test_the_first_call_of_a_process_may_be_a_claim(tmp_path: Path, clock: FakeClock, *, rebooted: bool) -> None:
    with _process(tmp_path, clock) as tasks:
        _enqueue(tasks, b"a")
        _enqueue(tasks, b"b")
        [claim] = _claim(tasks)
        tasks.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("there"))])
    if rebooted:
        clock.reboot()
    with _process(tmp_path, clock) as tasks:
        assert [claim.task.asset_id for claim in _claim(tasks)] == [b"b"]
        _enqueue(tasks, b"c")


def test_a_process_that_starts_with_a_claim_after_a_reboot_keeps_to_the_pauses(
    tmp_path: Path, clock: FakeClock
) -> None:
    with _process(tmp_path, clock) as tasks:
        _enqueue(tasks, b"a")
        tasks.pause(Pause(scope=PauseScope.DESTINATION, value="archive"))
    clock.reboot()
    with _process(tmp_path, clock) as tasks:
        assert _claim(tasks) == []
        tasks.resume(PauseScope.DESTINATION, "archive")
        assert [claim.task.asset_id for claim in _claim(tasks)] == [b"a"]
