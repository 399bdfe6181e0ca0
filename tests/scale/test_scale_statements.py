"""What goes over the network for a batch, and what the server reads for it: neither grows with the queue."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.sources import PageRecord
from media_watch_tasks.model.tasks import ClaimRequest, NewTask
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import task_enqueue, task_settle
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.testing.clock import FakeClock

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9


@pytest.fixture
def stores(postgres: PostgresServer) -> Iterator[PostgresStores]:
    # No time passes: what is looked at every few milliseconds is looked at once.
    with PostgresStores(postgres.dsn, schema=postgres.new_schema(), clock=FakeClock()) as stores:
        yield stores


def enqueue(stores: PostgresStores, first: int, count: int) -> None:
    stores.tasks.enqueue_if_absent(
        [
            NewTask(route=ROUTE, asset_id=b"%d" % number, fingerprint=Fingerprint(1, 1), due_ns=0)
            for number in range(first, first + count)
        ]
    )


def request(worker: str, limit: int) -> ClaimRequest:
    return ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=limit, lease_ns=HOUR, longest_delay_ns=HOUR)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every call that waits for the server."""
    made: list[str] = []

    def counted(name: str) -> Any:
        original = getattr(Connection, name)

        def call(connection: Connection, asked: Any, *arguments: Any) -> Any:
            made.append(str(asked))
            return original(connection, asked, *arguments)

        return call

    for name in ("together", "command"):
        monkeypatch.setattr(Connection, name, counted(name))
    return made


@pytest.mark.parametrize("size", [1, 10, 100])
def test_the_trips_to_the_server_do_not_depend_on_the_batch(
    stores: PostgresStores, trips: list[str], size: int
) -> None:
    worker = stores.tasks.register_worker()
    enqueue(stores, 0, size)
    assert len(stores.tasks.claim_batch(request(worker, size))) == size
    trips.clear()
    enqueue(stores, 1_000, 2 * size)
    assert len(trips) == 1, f"all of it: {trips}"
    trips.clear()
    claims = stores.tasks.claim_batch(request(worker, size))
    assert len(trips) == 2, f"claim, commit: {trips}"
    trips.clear()
    delivered = [Delivered(ref=claim.ref, receipt=UploadReceipt("there")) for claim in claims]
    result = stores.tasks.settle(delivered, then_claim=request(worker, size))
    assert len(result.settled) == len(result.claims) == size
    assert len(trips) == 2, f"settle and claim, commit: {trips}"


def test_the_trips_to_the_server_for_a_page_of_a_scan(stores: PostgresStores, trips: list[str]) -> None:
    enqueue(stores, 0, 1)
    lease = stores.media_state.acquire_scan("camera", owner="test", lease_ns=HOUR)
    assert lease is not None
    seen = tuple(MediaAsset("camera", b"a/%d" % number, 1, 1) for number in range(100))
    record = PageRecord(directory=b"a", seen=seen, complete=True, checkpoint="a")

    def write() -> bool:
        enqueue(stores, 1_000, 100)
        return stores.media_state.record_page(lease, record)

    stores.media_state.source("camera")
    trips.clear()
    assert stores.media_state.run_together(write)
    assert len(trips) == 6, f"enqueue, what is known, lease, directory, assets, digest and commit: {trips}"


@pytest.mark.parametrize("statement", ["_ADD_NEW", "_ADD_PLAIN", "_ADD_ONE"])
def test_new_files_are_looked_up_one_by_one(stores: PostgresStores, statement: str) -> None:
    """Planned while nothing was known, the statement does not read thousands of known files for ten new ones."""
    count = 1 if statement == "_ADD_ONE" else 10
    one, names, ones, nulls = "1", "'new'", "1", "NULL"
    if count > 1:
        names = "'{" + ",".join(f"new {n}" for n in range(count)) + "}'"
        ones, nulls = (f"'{{{','.join([value] * count)}}}'" for value in ("1", "NULL"))
    values = [one, one, "0", "NULL", "0", names, ones, ones, ones, names, one, "0"]
    if statement == "_ADD_NEW":
        zeros = ones.replace("1", "0")
        values = [ones, names, ones, zeros, nulls, ones, ones, ones, ones, names, nulls, one, "0", nulls]
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE add ({', '.join(values)})"
    # The version of the small tables is of no matter here.
    text = re.sub(r"names_version FROM task_store\) = ", "0) <= ", getattr(task_enqueue, statement))
    connection = stores.database.connect()
    connection.command(f"PREPARE add AS {text}")
    connection.command(f"BEGIN; {explain}")
    connection.command("ROLLBACK")
    for first in range(0, 8_000, 1_000):
        enqueue(stores, first, 1_000)
    (plan,) = json.loads(str(connection.command(explain)))
    connection.close()
    assert plan["Plan"]["Actual Rows"] == count, "they were added"
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 40 + 40 * count


def test_a_settlement_finds_its_tasks_by_their_ids(stores: PostgresStores) -> None:
    """The index of running tasks holds what is over too, until the server cleans it."""
    worker = stores.tasks.register_worker()
    enqueue(stores, 0, 300)
    for _ in range(3):
        claims = stores.tasks.claim_batch(request(worker, 100))
        stores.tasks.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("there")) for claim in claims])
    # From now on the server believes that next to nothing runs at any time.
    with stores.database.transaction():
        stores.database.execute("ANALYZE task")
    explain = "EXPLAIN (FORMAT JSON) " + task_settle._DELIVER_SIMPLY
    none = "{}"
    values: list[int | str] = [0, none, none, 0, *[none] * 8]
    (plan,) = stores.database.execute(explain, values)[0][0]
    shown = json.dumps(plan)
    assert "task_pkey" in shown
    assert "task_running" not in shown
