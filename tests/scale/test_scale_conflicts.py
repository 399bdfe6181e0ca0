"""What the server rolls back is done again; transactions that several stores share wait for each other in no circle."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.scale.conftest import free_port
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.errors import StoreError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.settlements import Delivered, Pause, PauseScope
from media_watch_tasks.model.sources import PageRecord
from media_watch_tasks.model.tasks import ClaimRef, ClaimRequest, EnqueueOutcome, NewTask, TaskSelection, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres.stores import PostgresStores

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9
FAULTS = 3
MEETS = 0.5
"""Seconds that one waits for the other, who may be kept out by then."""
INJECT = """
CREATE SEQUENCE IF NOT EXISTS faults;
ALTER SEQUENCE faults RESTART;
CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('faults') <= {faults} THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{sqlstate}'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER faulty BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION fail()
"""


@pytest.fixture
def stores(postgres: PostgresServer) -> Iterator[PostgresStores]:
    with PostgresStores(postgres.dsn, schema=postgres.new_schema()) as stores:
        yield stores


def new(number: int, version: int = 1) -> NewTask:
    return NewTask(route=ROUTE, asset_id=b"%d" % number, fingerprint=Fingerprint(version, version), due_ns=0)


def request(worker: str, limit: int = 1) -> ClaimRequest:
    return ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=limit, lease_ns=HOUR, longest_delay_ns=HOUR)


class Held:
    """A queue in which one task runs and one waits, and a source whose root holds one file."""

    def __init__(self, stores: PostgresStores) -> None:
        self.stores, self.tasks, self.media = stores, stores.tasks, stores.media_state
        self.tasks.enqueue_if_absent([new(1), new(2)])
        self.worker = self.tasks.register_worker()
        (claim,) = self.tasks.claim_batch(request(self.worker))
        self.ref: ClaimRef = claim.ref
        lease = self.media.acquire_scan("camera", owner="test", lease_ns=HOUR)
        assert lease is not None
        self.lease = lease
        assert self.record(b"1")

    def record(self, *names: bytes) -> bool:
        seen = tuple(MediaAsset("camera", name, 1, 1) for name in names)
        return self.media.record_page(self.lease, PageRecord(directory=b"", seen=seen, complete=True))

    def count(self, state: TaskState) -> int:
        return self.tasks.counts()[state]


def _enqueue(held: Held) -> bool:
    return held.tasks.enqueue_if_absent([new(3)])[0].outcome is EnqueueOutcome.ENQUEUED


def _enqueue_newer(held: Held) -> bool:
    return held.tasks.enqueue_if_absent([new(2, version=2)])[0].outcome is EnqueueOutcome.SUPERSEDED


def _claim(held: Held) -> bool:
    return len(held.tasks.claim_batch(request(held.worker))) == 1


def _settle(held: Held) -> bool:
    delivered = Delivered(ref=held.ref, receipt=UploadReceipt("there"), action="delete")
    result = held.tasks.settle([delivered], then_claim=request(held.worker), durable=True)
    assert len(held.tasks.pending_actions([ROUTE])) == 1
    return result.settled == {held.ref.task_id} and len(result.claims) == 1


def _extend(held: Held) -> bool:
    return held.tasks.extend([held.ref], lease_ns=HOUR) == {held.ref.task_id}


def _cancel_and_retry(held: Held) -> bool:
    ended, asked = held.tasks.cancel(TaskSelection())
    retried, _ = held.tasks.retry(TaskSelection())
    return (ended, asked, len(retried)) == (1, 1, 1)


def _pause(held: Held) -> bool:
    held.tasks.pause(Pause(scope=PauseScope.SOURCE, value="camera", until_ns=None))
    return len(held.tasks.pauses()) == 1


def _record(held: Held) -> bool:
    return held.record(b"2", b"3") and held.media.count_assets("camera") == (3, 0)


def _describe(held: Held) -> bool:
    held.media.save_metadata("camera", b"1", Fingerprint(1, 1), MediaMetadata(container="mov"))
    (found,) = held.media.assets("camera", [b"1"])
    return found is not None and found.metadata == MediaMetadata(container="mov")


def _page(held: Held) -> bool:
    """What a scan commits: tasks and what was seen, in one transaction."""

    def write() -> bool:
        return _enqueue(held) and _enqueue_newer(held) and held.record(b"2")

    return held.tasks.run_together(write) and held.media.count_assets("camera") == (2, 0)


def _turn(held: Held) -> bool:
    return held.stores.permits.take_turn("shelf", turns=1, per_ns=HOUR, longest_ns=0) == (True, 0)


CALLS: list[tuple[str, Callable[[Held], bool]]] = [
    ("task", _enqueue), ("task", _enqueue_newer), ("task", _claim), ("task", _settle), ("task_receipt", _settle),
    ("task_action", _settle), ("task", _extend), ("task", _cancel_and_retry), ("task_pause", _pause),
    ("asset", _record), ("directory", _record), ("metadata", _describe), ("asset", _page), ("task", _page),
    ("permit_turn", _turn),
]  # fmt: skip


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
@pytest.mark.parametrize(("table", "call"), CALLS, ids=[f"{call.__name__[1:]}-{table}" for table, call in CALLS])
def test_what_the_server_rolls_back_is_done_again(
    stores: PostgresStores, table: str, call: Callable[[Held], bool], sqlstate: str
) -> None:
    held = Held(stores)
    connection = stores.database.connect()
    connection.command(INJECT.format(table=table, sqlstate=sqlstate, faults=FAULTS))
    try:
        try:
            done = call(held)
        except StoreError as error:
            pytest.fail(f"it was not done again: {error}")
        assert done, "done once, as if nothing had been in the way"
        # A sequence takes nothing back: it says how many of the faults have struck.
        assert int(str(connection.command("SELECT last_value FROM faults"))) > FAULTS, "not all faults have struck"
    finally:
        connection.close()


def in_two_threads(work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown below, by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("kind", ["block", "run_together"])
def test_two_that_enqueue_twice_in_a_transaction_wait_in_no_circle(stores: PostgresStores, kind: str) -> None:
    store = stores.tasks
    store.enqueue_if_absent([new(n) for n in range(4)])
    both = threading.Barrier(2)
    outcomes: list[list[EnqueueOutcome]] = [[], []]
    tries = [0, 0]

    def enqueue(number: int) -> None:
        tries[number] += 1
        first = store.enqueue_if_absent([new(10 + number)])
        if tries[number] == 1:
            with suppress(threading.BrokenBarrierError):
                both.wait(MEETS)
        # A newer version of a known asset: that has to be done alone.
        second = store.enqueue_if_absent([new(number, version=2)])
        outcomes[number] = [result.outcome for result in (*first, *second)]

    def work(number: int) -> None:
        if kind == "run_together":
            store.run_together(lambda: enqueue(number))
            return
        with store.transaction():
            enqueue(number)

    in_two_threads(work)
    assert outcomes == [[EnqueueOutcome.ENQUEUED, EnqueueOutcome.SUPERSEDED]] * 2
    assert tries == ([1, 1] if kind == "block" else [2, 2])
    assert stores.tasks.counts()[TaskState.PENDING] == 6


def test_a_page_and_an_outcome_that_touch_one_file_wait_in_no_circle(stores: PostgresStores) -> None:
    held = Held(stores)
    both = threading.Barrier(2)
    tries = [0, 0]

    def meet(number: int) -> None:
        if tries[number] == 1:
            with suppress(threading.BrokenBarrierError):
                both.wait(MEETS)

    def page() -> None:
        tries[0] += 1
        _enqueue_newer(held)
        meet(0)
        held.media.mark_missing("camera", [b"1"])

    def outcome() -> None:
        tries[1] += 1
        held.media.mark_missing("camera", [b"1"])
        meet(1)
        held.tasks.cancel(TaskSelection(asset_ids=frozenset({b"1"})))

    in_two_threads(lambda number: stores.tasks.run_together((page, outcome)[number]))
    assert max(tries) == 2
    assert held.media.count_assets("camera") == (0, 1)


def test_an_exception_takes_back_what_was_written_together(stores: PostgresStores) -> None:
    def fail() -> None:
        stores.tasks.enqueue_if_absent([new(1)])
        stores.tasks.enqueue_if_absent([new(1, version=2)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stores.tasks.run_together(fail)
    assert stores.tasks.counts()[TaskState.PENDING] == 0


def test_the_connection_of_a_worker_finds_out_in_half_a_minute_that_the_other_end_is_gone() -> None:
    port = free_port()
    settings = ("listen_addresses=127.0.0.1", f"port={port}")
    dsn = f"host=127.0.0.1 port={port} dbname=postgres user=tester"
    with PostgresServer(settings=settings), PostgresStores(dsn) as stores:
        stores.tasks.register_worker()
        presence = stores.tasks._workers._presence  # type: ignore[attr-defined]
        found = {}
        with socket.socket(fileno=os.dup(presence._connection.driver.fileno())) as connection:
            for level, option in (
                ("SOL_SOCKET", "SO_KEEPALIVE"), ("IPPROTO_TCP", "TCP_KEEPIDLE"), ("IPPROTO_TCP", "TCP_KEEPINTVL"),
                ("IPPROTO_TCP", "TCP_KEEPCNT"), ("IPPROTO_TCP", "TCP_USER_TIMEOUT"),
            ):  # fmt: skip
                found[option] = connection.getsockopt(getattr(socket, level), getattr(socket, option))
        assert found == {
            "SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000,
        }  # fmt: skip
        ends = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        assert [presence._connection.command(f"SHOW {end}") for end in ends] == ["10", "5", "3"], "the server's end too"
