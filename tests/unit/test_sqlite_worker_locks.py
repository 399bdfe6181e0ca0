"""The lock files by which workers see at once that one of them has died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import ClaimRequest, NewTask, TaskState
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore

ROUTE = Route("camera", "backup")
HOUR_NS = 3_600 * 10**9
CLAIMS_AND_DIES = """
import os, signal, sys
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.tasks import ClaimRequest
from media_watch_tasks.stores.sqlite.stores import SqliteStores
stores = SqliteStores(sys.argv[1])
worker = stores.tasks.register_worker()
hour = 3_600 * 10**9
stores.media_state.acquire_scan("camera", owner=worker, lease_ns=hour)
request = ClaimRequest(
    worker_id=worker, routes=(Route("camera", "backup"),), limit=1, lease_ns=hour, longest_delay_ns=hour
)
assert stores.tasks.claim_batch(request)
os.kill(os.getpid(), signal.SIGKILL)
"""


def new(name: str) -> NewTask:
    return NewTask(route=ROUTE, asset_id=name.encode(), fingerprint=Fingerprint(1, 2), due_ns=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database on which a worker has died, with one task and the source in its hands."""
    path = tmp_path / "watch.db"
    with SqliteStores(path) as stores:
        stores.tasks.enqueue_if_absent([new("a")])
    killed = subprocess.run([sys.executable, "-c", CLAIMS_AND_DIES, str(path)], check=False)
    assert killed.returncode == -9
    return path


def take_back(tasks: SqliteTaskStore) -> int:
    return tasks.take_back(dead_after=5, backoff_ns=(0,))


def lock_files(path: Path) -> set[str]:
    folder = Path(f"{path}.workers")
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


def test_leases_of_a_dead_worker_are_void_at_once(path: Path) -> None:
    # Its lease is an hour long: it is the lock that tells.
    with SqliteStores(path) as stores:
        assert stores.tasks.counts()[TaskState.UPLOADING] == 1
        assert take_back(stores.tasks) == 1
        assert stores.tasks.counts()[TaskState.UPLOADING] == 0


def test_what_dies_while_it_buries_another_leaves_that_to_the_next(path: Path) -> None:
    with SqliteStores(path) as stores:
        with pytest.raises(LookupError), stores.tasks.transaction():  # noqa: PT012 - the block is what is tested
            assert take_back(stores.tasks) == 1
            raise LookupError  # what was written is undone, as the death of this process would undo it
        assert take_back(stores.tasks) == 1, "the lease of a dead worker stands until its end"


def test_what_dies_while_it_registers_leaves_the_burial_to_the_next(path: Path) -> None:
    with SqliteStores(path) as stores:
        with pytest.raises(LookupError), stores.tasks.transaction():  # noqa: PT012 - the block is what is tested
            stores.tasks.register_worker()
            raise LookupError
        assert take_back(stores.tasks) == 1
        with pytest.raises(LookupError), stores.tasks.transaction():  # noqa: PT012 - as above
            stores.tasks.register_worker()
            raise LookupError
        worker = stores.tasks.register_worker()
        assert stores.media_state.acquire_scan("camera", owner=worker, lease_ns=HOUR_NS) is not None


def test_lock_files_of_the_dead_are_removed_in_the_end(path: Path) -> None:
    assert len(lock_files(path)) == 1
    with SqliteStores(path) as stores:
        take_back(stores.tasks)
        worker = stores.tasks.register_worker()
        assert lock_files(path) == {worker}
        stores.tasks.unregister_worker(worker)
    assert lock_files(path) == set()


def test_a_living_worker_keeps_its_file_and_its_work(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    with SqliteStores(path) as stores, SqliteStores(path) as peer:
        stores.tasks.enqueue_if_absent([new("a")])
        worker = stores.tasks.register_worker()
        request = ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=1, lease_ns=HOUR_NS, longest_delay_ns=HOUR_NS)
        assert stores.tasks.claim_batch(request)
        other = peer.tasks.register_worker()
        assert lock_files(path) == {worker, other}
        assert take_back(peer.tasks) == 0


def test_a_forked_child_does_not_keep_its_dead_parent_alive(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    with SqliteStores(path) as stores:
        stores.tasks.enqueue_if_absent([new("a")])
    fork = "if os.fork() == 0: print(os.getpid(), flush=True); signal.pause()"
    script = CLAIMS_AND_DIES.replace("os.kill(", f"{fork}\nos.kill(")
    parent = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert parent.wait(60) == -9
        os.kill(child, 0)
        with SqliteStores(path) as stores:
            assert take_back(stores.tasks) == 1
    finally:
        os.kill(child, 9)
        parent.stdout.close()


def test_a_lease_without_a_lock_file_holds_until_its_end(path: Path) -> None:
    for name in lock_files(path):
        (Path(f"{path}.workers") / name).unlink()
    with SqliteStores(path) as stores:
        assert take_back(stores.tasks) == 0
