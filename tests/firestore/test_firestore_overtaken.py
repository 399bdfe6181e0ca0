"""A sync that another one has overtaken never puts an old state over a newer one, however late its commits arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.cloud import firestore

from media_watch_tasks import SqliteStores, TransientError
from media_watch_tasks.firestore import FirestoreCatalogSync

Place = Any
GrpcProxy = Any
COMMIT = "/google.firestore.v1.Firestore/Commit"
HANG_GUARD = 30.0


class Held:
    """The first commit with documents of files stops on its way; what it says is kept."""

    def __init__(self, proxy: GrpcProxy) -> None:
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self.request = b""
        proxy.on_commit = self._hold

    def _hold(self, request: bytes) -> None:
        if b"/documents/files/" in request and not self.request:
            self.request = request
            self.arrived.set()
            assert self.go_on.wait(HANG_GUARD)


@pytest.fixture
def held(grpc_proxy: GrpcProxy) -> Iterator[Held]:
    held = Held(grpc_proxy)
    yield held
    held.go_on.set()


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[Exception]]:
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


@pytest.mark.parametrize("slow", ["a sync", "a repair"])
def test_what_an_overtaken_run_has_on_its_way_is_refused(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    held: Held,
    slow: str,
) -> None:
    sync = FirestoreCatalogSync(client, stores, ramp=None)
    place.put("a.mp4", "b.mp4")
    sync.sync_incremental()
    place.put("a.mp4", version=2)
    overtaken = FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=None)
    work = overtaken.sync_incremental if slow == "a sync" else lambda: overtaken.verify(repair=True)
    thread, errors = in_background(work)
    assert held.arrived.wait(HANG_GUARD)
    place.put("a.mp4", version=3)
    assert sync.sync_incremental().written == 1
    held.go_on.set()
    thread.join(HANG_GUARD)
    assert [type(error) for error in errors] == [TransientError]
    assert "another sync" in str(errors[0])
    assert sync.verify().equal
    report = sync.sync_incremental()
    assert (report.reads, report.writes) == (1, 0), "nothing has to be written anew"
    assert {each.get("size") for each in client.collection("files").stream()} == {1_001, 1_003}


def test_a_commit_that_arrives_after_its_sender_was_killed_is_refused(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    emulator_port: int,
    stores: SqliteStores,
    place: Place,
    held: Held,
) -> None:
    place.put("a.mp4")
    killed = FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=None)
    thread, _ = in_background(killed.sync_incremental)
    assert held.arrived.wait(HANG_GUARD)
    place.put("a.mp4", version=2)
    sync = FirestoreCatalogSync(client, stores, ramp=None)
    sync.sync_incremental()
    with grpc.insecure_channel(f"127.0.0.1:{emulator_port}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(COMMIT)(held.request, metadata=[("authorization", "Bearer owner")], timeout=HANG_GUARD)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert sync.verify().equal
    held.go_on.set()
    thread.join(HANG_GUARD)
    assert sync.verify().equal


def test_a_fence_stands_while_a_run_writes_and_at_no_other_time(
    client: firestore.Client, client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place
) -> None:
    standing: list[int] = []

    def count(_request: bytes) -> None:
        standing.append(len(list(client.collection("_sync_metadata/nas/fence").stream())))

    place.put(*(f"{number}.mp4" for number in range(2_000)))
    sync = FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=None, flights=3)
    grpc_proxy.on_commit = count
    sync.sync_incremental()
    assert (standing[0], set(standing[1:])) == (0, {3})
    assert list(client.collection("_sync_metadata/nas/fence").stream()) == []
    standing.clear()
    place.put("1.mp4", version=2)
    sync.sync_incremental()
    assert standing == [0, 1, 1], "one for a single batch"
    assert list(client.collection("_sync_metadata/nas/fence").stream()) == []


def test_a_run_that_did_not_end_leaves_a_fence_that_the_next_one_removes(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    faults: Any,
) -> None:
    place.put("a.mp4")

    def refuse_the_documents(request: bytes) -> None:
        grpc_proxy.faults = faults("PERMISSION_DENIED", share=1) if b"/documents/files/" in request else faults()

    grpc_proxy.on_commit = refuse_the_documents
    with pytest.raises(Exception, match="PERMISSION_DENIED"):
        FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=None).sync_incremental()
    (left,) = client.collection("_sync_metadata/nas/fence").stream()
    sync = FirestoreCatalogSync(client, stores, ramp=None)
    sync.sync_incremental()
    assert not left.reference.get().exists
    assert list(client.collection("_sync_metadata/nas/fence").stream()) == []
    assert sync.verify().equal
