"""Of the processes on one SQLite file one does an after-upload action, and none once it is done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks import SqliteStores, UploadReceipt
from media_watch_tasks.errors import StoreError
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import ClaimRequest, NewTask

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[SqliteStores]]:
    """The stores of two processes, as far as the file can tell."""
    with SqliteStores(tmp_path / "watch.db") as one, SqliteStores(tmp_path / "watch.db") as two:
        yield [one, two]


def owed(stores: SqliteStores) -> list[int]:
    """Two delivered tasks that owe their action."""
    tasks = stores.tasks
    tasks.enqueue_if_absent(
        [NewTask(route=ROUTE, asset_id=b"%d" % n, fingerprint=Fingerprint(1, 1), due_ns=0) for n in range(2)]
    )
    request = ClaimRequest(
        worker_id=tasks.register_worker(), routes=(ROUTE,), limit=2, lease_ns=HOUR, longest_delay_ns=HOUR
    )
    claims = tasks.claim_batch(request)
    tasks.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("there"), action="delete") for claim in claims])
    return [claim.task.id for claim in claims]


def test_one_process_at_a_time_does_an_action_and_none_once_it_is_done(opened: list[SqliteStores]) -> None:
    first, second = owed(opened[0])
    one, two = (stores.tasks for stores in opened)
    with one.acting(first) as mine:
        assert mine
        with two.acting(first) as theirs:
            assert not theirs, "somebody is at it"
        with two.acting(second) as theirs:
            assert theirs, "nobody is at the other one"
        one.finish_action(first)
    with two.acting(first) as theirs:
        assert not theirs, "it is done"
    with two.acting(second) as theirs:
        assert theirs, "it was let go, and is owed"


def test_the_action_of_a_killed_process_is_free_at_once(opened: list[SqliteStores], tmp_path: Path) -> None:
    first, _ = owed(opened[0])
    program = (
        "import os, sys\nfrom media_watch_tasks import SqliteStores\n"
        "with SqliteStores(sys.argv[1]) as stores, stores.tasks.acting(int(sys.argv[2])) as mine:\n"
        "    print(mine, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "watch.db"), str(first)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with opened[0].tasks.acting(first) as mine:
            assert not mine
        process.kill()
        process.wait()
    with opened[0].tasks.acting(first) as mine:
        assert mine


def test_a_folder_that_takes_no_lock_is_named(opened: list[SqliteStores], tmp_path: Path) -> None:
    first, _ = owed(opened[0])
    (tmp_path / "watch.db.actions").write_bytes(b"a file in its place")
    with pytest.raises(StoreError, match=r"watch\.db\.actions"), opened[0].tasks.acting(first):
        pytest.fail("it was allowed")
