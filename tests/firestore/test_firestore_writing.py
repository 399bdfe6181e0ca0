"""Batches, the ramp, poison documents: how writes leave."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import firestore
from google.cloud.firestore_v1 import types

from media_watch_tasks import CancelToken, ConfigurationError, PermanentError, SqliteStores
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import OperationCancelled
from media_watch_tasks.firestore import DocumentMapping, FirestoreCatalogSync, WriteRamp
from media_watch_tasks.firestore._encoding import set_write
from media_watch_tasks.firestore._google import CALL_ERRORS, Database, Write, status_of
from media_watch_tasks.firestore.batches import Limits, PlannedWrite, packed
from media_watch_tasks.firestore.writer import Calls, Writer, WriteResult
from media_watch_tasks.testing.clock import FakeClock

Place = Any
GrpcProxy = Any
HANG_GUARD = 60.0


def planned(database: Database, name: str, **fields: Any) -> PlannedWrite:
    return PlannedWrite(set_write(database.root, f"files/{name}", fields), name)


def raw(database: Database, name: str, field: str) -> PlannedWrite:
    """A write that no check has seen."""
    message = Write()
    message.update.name = f"{database.root}/files/{name}"
    message.update.fields[field].integer_value = 1
    return PlannedWrite(message, name)


def writer_of(database: Database, clock: FakeClock | None = None) -> Writer:
    return Writer(
        database.commit, Calls(clock=clock or FakeClock(), status_of=status_of, errors=CALL_ERRORS), ramp=None
    )


def requests(proxy: GrpcProxy) -> list[Any]:
    return [types.CommitRequest.pb().FromString(request) for request in proxy.commits]


def test_batches_keep_both_limits_and_the_order(client: firestore.Client) -> None:
    database = Database(client, timeout=10)
    sizes = [1] * 1_200 + [600_000] * 12 + [1_000_000] + [1] * 3
    writes = [planned(database, f"{number}", b=b"x" * size) for number, size in enumerate(sizes)]
    batches = list(packed(writes, Limits()))
    assert [write for batch in batches for write in batch] == writes
    for batch in batches:
        assert len(batch) <= 500
        assert sum(write.message.ByteSize() for write in batch) <= 3 * 1024 * 1024
    assert len(batches) == 5
    assert [len(batch) for batch in packed(writes[:3], Limits(documents=10, size=1))] == [1, 1, 1]
    assert list(packed([], Limits())) == []


def test_every_commit_of_a_sync_keeps_the_limits(
    client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place
) -> None:
    class Large(DocumentMapping):
        def fields(self, entry: Any) -> Any:
            return {**super().fields(entry), "text": "x" * 20_000}

    place.put(*(f"{number}.mp4" for number in range(1_000)))
    FirestoreCatalogSync(client_at(grpc_proxy.port), stores, mapping=Large(), ramp=None).sync_incremental()
    commits = requests(grpc_proxy)
    assert all(len(each.writes) <= 500 and each.ByteSize() <= 3 * 1024 * 1024 for each in commits)
    documents = [write for each in commits for write in each.writes if "/files/" in write.update.name]
    assert len(documents) == 1_000
    assert len({write.update.name for write in documents}) == 1_000, "no document is written twice"
    for each in commits:
        for write in each.writes:
            assert write.WhichOneof("operation") in {"update", "delete"}
            assert not write.HasField("update_mask"), "documents are written whole"
            assert not write.update_transforms, "nothing is counted up at the server"


def test_a_poison_document_never_blocks_the_499_beside_it(client: firestore.Client) -> None:
    database = Database(client, timeout=10)
    for poison in (0, 123, 499):
        writes = [planned(database, f"{poison}-{number}", a=1) for number in range(500)]
        writes[poison] = raw(database, f"{poison}-poison", "__reserved__")
        results = list(writer_of(database).write(writes))
        assert sorted(id(result.write) for result in results) == sorted(map(id, writes)), "one result a write"
        failed = [result for result in results if result.error is not None]
        assert [result.write for result in failed] == [writes[poison]]
        assert isinstance(failed[0].error, PermanentError)
        assert f"files/{poison}-poison is refused" in str(failed[0].error)
    ((total,),) = client.collection("files").count().get()
    assert total.value == 3 * 499


def test_several_poison_documents_are_each_refused_alone(client: firestore.Client) -> None:
    database = Database(client, timeout=10)
    writes = [
        raw(database, f"{number}", "") if number % 7 == 0 else planned(database, f"{number}", a=1)
        for number in range(50)
    ]
    results = {result.write.subject: result.error for result in writer_of(database).write(writes)}
    assert {name for name, error in results.items() if error} == {str(number) for number in range(0, 50, 7)}


def test_a_message_that_is_too_large_is_taken_apart_and_never_repeated(client_at: Any, grpc_proxy: GrpcProxy) -> None:
    """The emulator takes 4 MiB a message, and says RESOURCE_EXHAUSTED as it would of too many calls."""
    database = Database(client_at(grpc_proxy.port), timeout=20)
    clock = FakeClock()
    before = clock.monotonic_ns()
    writes = [planned(database, f"{number}", b=b"x" * 1_000_000) for number in range(6)]
    assert [result.error for result in writer_of(database, clock).write(writes)] == [None] * 6
    assert len(grpc_proxy.commits) == 3
    oversized = raw(database, "oversized", "a")
    oversized.message.update.fields["a"].bytes_value = b"x" * 5_000_000
    (result,) = writer_of(database, clock).write([oversized])
    assert isinstance(result.error, PermanentError)
    assert clock.monotonic_ns() == before, "no pause can help"


def test_what_the_gate_stops_is_left_out_of_every_attempt(
    client: firestore.Client, client_at: Any, grpc_proxy: GrpcProxy, faults: Any
) -> None:
    database = Database(client_at(grpc_proxy.port), timeout=10)
    writes = [planned(database, f"{number}", a=1) for number in range(10)]
    asked: list[int] = []

    def gate(part: Any) -> list[WriteResult]:
        """One more is stopped at each attempt."""
        asked.append(len(part))
        return [WriteResult(write, RuntimeError("lost")) for write in part[: len(asked)]]

    grpc_proxy.faults = faults("UNAVAILABLE", share=1, most=2)
    results = list(writer_of(database).write(writes, gate=gate))
    assert asked == [10, 10, 10]
    assert len(results) == 10
    assert sum(result.error is not None for result in results) == 3
    assert {each.id for each in client.collection("files").stream()} == {str(number) for number in range(3, 10)}


def test_a_cancelled_write_ends_at_once(client_at: Any, grpc_proxy: GrpcProxy, faults: Any) -> None:
    database = Database(client_at(grpc_proxy.port), timeout=10)
    grpc_proxy.faults = faults("UNAVAILABLE", share=1)
    token = CancelToken()
    grpc_proxy.on_commit = lambda _request: token.cancel()
    (result,) = writer_of(database).write([planned(database, "a", a=1)], cancel=token)
    assert isinstance(result.error, OperationCancelled)
    assert grpc_proxy.calls["Commit"] == 1


def test_several_commits_fly_at_once_and_no_more_than_asked_for(
    client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place
) -> None:
    place.put(*(f"{number}.mp4" for number in range(6_000)))
    flying: list[int] = []
    came, all_fly = itertools.count(1), threading.Event()

    def enter(request: bytes) -> None:
        if b"/documents/files/" not in request:
            return
        if next(came) == 3:
            all_fly.set()
        assert all_fly.wait(HANG_GUARD), "fewer fly than may"
        time.sleep(0.1)  # one more than may would come now
        flying.append(grpc_proxy.calls["Commit"] - len(grpc_proxy.commits))

    grpc_proxy.on_commit = enter
    FirestoreCatalogSync(client_at(grpc_proxy.port), stores, flights=3, ramp=None).sync_incremental()
    assert max(flying) == 3


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def seconds(clock: FakeClock, ramp: WriteRamp, writes: int, times: int) -> Iterator[float]:
    for _ in range(times):
        before = clock.monotonic_ns()
        ramp.acquire(writes)
        yield (clock.monotonic_ns() - before) / NANOSECONDS


def test_the_ramp_begins_at_500_writes_a_second(clock: FakeClock) -> None:
    ramp = WriteRamp(clock=clock)
    assert list(seconds(clock, ramp, 500, 5)) == [0, 1, 1, 1, 1]
    assert list(seconds(clock, ramp, 50, 2)) == [1, pytest.approx(0.1)]


def test_the_ramp_grows_by_half_every_five_minutes_of_writing(clock: FakeClock) -> None:
    ramp = WriteRamp(clock=clock)
    began, sent, rates = clock.monotonic_ns(), 0, []
    for minutes in (5, 10, 15, 20):
        before = sent
        while clock.monotonic_ns() < began + minutes * 60 * NANOSECONDS:
            ramp.acquire(500)
            sent += 500
        rates.append((sent - before) / 300)
    assert rates == pytest.approx([500, 750, 1_125, 1_687.5], rel=0.01)


def test_time_in_which_nothing_is_written_does_not_count(clock: FakeClock) -> None:
    ramp = WriteRamp(clock=clock)
    ramp.acquire(1)
    clock.advance(timedelta(days=1))
    ramp.acquire(1)
    assert ramp.rate == 500


def test_an_answer_that_asks_for_less_sends_the_ramp_back(clock: FakeClock) -> None:
    ramp = WriteRamp(clock=clock)
    for _ in range(20):
        ramp.step_back()
    assert 0 < ramp.rate < 100
    list(seconds(clock, ramp, 100, 20_000))
    assert ramp.rate > 500, "and it grows again"


def test_exhausted_quota_slows_the_ramp_of_a_sync(
    *, client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place, faults: Any, clock: FakeClock
) -> None:
    ramp = WriteRamp(clock=clock)
    place.put("a.mp4")

    def exhaust(request: bytes) -> None:
        if b"/documents/files/" in request:
            grpc_proxy.on_commit, grpc_proxy.faults = None, faults("RESOURCE_EXHAUSTED", share=1, most=2)

    grpc_proxy.on_commit = exhaust
    FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=ramp, clock=clock).sync_incremental()
    assert grpc_proxy.faults.fired.total() == 2
    assert ramp.rate == pytest.approx(500 / 1.5**2)


def test_a_sync_keeps_to_the_ramp_unless_told_otherwise(
    client: firestore.Client, stores: SqliteStores, place: Place, clock: FakeClock
) -> None:
    place.put(*(f"{number}.mp4" for number in range(2_000)))
    before = clock.monotonic_ns()
    FirestoreCatalogSync(client, stores, clock=clock).sync_incremental()
    assert 3 <= (clock.monotonic_ns() - before) / NANOSECONDS < 5


def test_a_wait_for_the_ramp_can_be_cancelled(clock: FakeClock) -> None:
    ramp, token = WriteRamp(clock=clock), CancelToken()
    ramp.acquire(500, cancel=token)
    token.cancel()
    with pytest.raises(OperationCancelled):
        ramp.acquire(500, cancel=token)


@pytest.mark.parametrize("settings", [{"first": 0}, {"growth": 0.5}, {"every": timedelta(0)}])
def test_a_senseless_ramp_is_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match="ramp"):
        WriteRamp(**settings)
