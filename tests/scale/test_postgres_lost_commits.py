"""The machine of the server loses power: commits of the last moment are forgotten, and what rested on them is void."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import Gate, lock_class
from media_watch_tasks.stores.postgres.migrations import migrate

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that can be killed: nobody else has work on it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def schema(server: PostgresServer) -> str:
    return server.new_schema()


def enqueue(stores: PostgresStores, name: bytes) -> int | None:
    new = NewTask(route=ROUTE, asset_id=name, fingerprint=Fingerprint(1, 1), due_ns=0)
    return stores.tasks.enqueue_if_absent([new])[0].task_id


def claim(stores: PostgresStores, worker: str) -> Claim:
    request = ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=1, lease_ns=HOUR, longest_delay_ns=HOUR)
    (found,) = stores.tasks.claim_batch(request)
    return found


def late(found: Claim) -> Delivered:
    return Delivered(ref=found.ref, receipt=UploadReceipt("late"))


def test_a_claim_that_is_forgotten_is_void_when_another_worker_has_the_task(
    server: PostgresServer, schema: str
) -> None:
    with PostgresStores(server.dsn, schema=schema) as stores:
        worker = stores.tasks.register_worker()
        enqueue(stores, b"clip.mov")
        stores.database.sync()
        with server.power_cut():
            forgotten = claim(stores, worker)
        with PostgresStores(server.dsn, schema=schema) as peers:
            assert peers.tasks.counts()[TaskState.PENDING] == 1, "the fault has struck"
            taken = claim(peers, peers.tasks.register_worker())
            assert taken.ref.task_id == forgotten.ref.task_id
            assert stores.tasks.settle([late(forgotten)]).settled == frozenset()
            assert stores.tasks.extend([forgotten.ref], lease_ns=HOUR) == frozenset()
            assert peers.tasks.extend([taken.ref], lease_ns=HOUR) == {taken.ref.task_id}


def use_up_numbers(stores: PostgresStores) -> None:
    """The server notes 32 numbers of tasks at a time as given: the next one shall be the first of those."""
    worker = stores.tasks.register_worker()
    for number in range(100):
        enqueue(stores, b"%d.mov" % number)
        stores.tasks.settle([late(claim(stores, worker))])
        if stores.database.execute("SELECT log_cnt FROM task_id_seq") == [(0,)]:
            return
    raise AssertionError("numbers are not given in portions")


def test_a_delivery_of_a_forgotten_task_is_not_taken_for_that_of_another_file(
    server: PostgresServer, schema: str
) -> None:
    with PostgresStores(server.dsn, schema=schema) as stores, PostgresStores(server.dsn, schema=schema) as earlier:
        worker = stores.tasks.register_worker()
        use_up_numbers(earlier)
        stores.database.sync()
        with server.power_cut():
            enqueue(stores, b"lost.mov")
            forgotten = claim(stores, worker)
        with PostgresStores(server.dsn, schema=schema) as peers:
            assert enqueue(peers, b"other.mov") == forgotten.ref.task_id, "the fault has struck: the number is free"
            taken = claim(peers, peers.tasks.register_worker())
            assert taken.task.asset_id == b"other.mov"
            assert stores.tasks.settle([late(forgotten)]).settled == frozenset()
            assert list(peers.tasks.delivered(ROUTE, [b"other.mov"])) == [None]
            assert peers.tasks.settle([late(taken)]).settled == {taken.ref.task_id}


def test_no_two_workers_ever_have_one_number(server: PostgresServer, schema: str) -> None:
    with PostgresStores(server.dsn, schema=schema) as stores:
        with server.power_cut():
            stores.tasks.register_worker("first")
        with PostgresStores(server.dsn, schema=schema) as peers:
            peers.tasks.register_worker("second")
            rows = peers.database.execute("SELECT name FROM task_worker ORDER BY id")
    assert rows == [("first",), ("second",)]


def test_no_two_scanners_ever_have_one_lease(server: PostgresServer, schema: str) -> None:
    with PostgresStores(server.dsn, schema=schema) as stores:
        stores.media_state.acquire_scan("camera", owner="earlier", lease_ns=0)
        stores.database.sync()
        with server.power_cut():
            forgotten = stores.media_state.acquire_scan("camera", owner="one", lease_ns=HOUR)
        assert forgotten is not None
        with PostgresStores(server.dsn, schema=schema) as peers:
            taken = peers.media_state.acquire_scan("camera", owner="other", lease_ns=HOUR)
            assert taken != forgotten


@pytest.mark.parametrize("durable", [True, False])
def test_only_what_was_synced_outlives_a_power_cut(server: PostgresServer, schema: str, durable: bool) -> None:
    with PostgresStores(server.dsn, schema=schema) as stores:
        enqueue(stores, b"first.mov")
        stores.database.sync()
        new = NewTask(route=ROUTE, asset_id=b"second.mov", fingerprint=Fingerprint(1, 1), due_ns=0)
        with server.power_cut():
            stores.tasks.enqueue_if_absent([new], durable=durable)
        assert stores.tasks.counts()[TaskState.PENDING] == 1 + durable


def test_a_server_that_dies_while_a_statement_waits_is_waited_for(server: PostgresServer, schema: str) -> None:
    ends: list[object] = []

    def wait_alone() -> None:
        try:
            ends.append(database.run(lambda: "done", gate=Gate.ALONE))
        except Exception as error:  # noqa: BLE001 - shown below, by the test's own thread
            ends.append(error)

    with Database(server.dsn, schema=schema) as database, psycopg.connect(server.dsn, autocommit=True) as holder:
        migrate(database)
        holder.execute("SELECT pg_advisory_lock(%s, 0)", (lock_class("gate", schema),))
        waiting = threading.Thread(target=wait_alone)
        waiting.start()
        asked = "SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        while not holder.execute(asked).fetchall():
            assert waiting.is_alive(), "it did not wait"
        server.kill()
        server.start()
        waiting.join()
    assert ends == ["done"]
