"""Faults on the way to Firestore: the catalog ends equal to the database, and attempts are spent where they should be.

Statuses come from a real gRPC server before the emulator; delays and cuts from a TCP proxy.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import firestore

from media_watch_tasks import (
    AuthenticationRequiredError,
    ConfigurationError,
    MediaWatchError,
    PermanentError,
    RateLimited,
    SqliteStores,
    TransientError,
)
from media_watch_tasks.clock import SystemClock
from media_watch_tasks.errors import DestinationOfflineError
from media_watch_tasks.firestore import FirestoreCatalogSync, FirestoreUploader
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree

Place = Any
GrpcProxy = Any
ByteProxy = Any
FaultsType = Any

STATUSES = (
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
)
LOST = ("lost UNAVAILABLE", "lost DEADLINE_EXCEEDED", "lost ABORTED")
SLOW = ("slow 0.05", "slow 1.5")
TIMEOUT = timedelta(seconds=1)
FIVE_THOUSAND = 5_000


class Impatient(SystemClock):
    """Real time, with short pauses: who has to wait until a moment asks again."""

    def wait(self, event: threading.Event, timeout: float) -> bool:
        return event.wait(min(timeout, 0.02))


def sync_until_done(sync: FirestoreCatalogSync, *, most: int = 60) -> list[MediaWatchError]:
    """Call it again after each failure, as a scheduler does; the failures."""
    errors: list[MediaWatchError] = []
    for _ in range(most):
        try:
            report = sync.sync_incremental()
        except MediaWatchError as error:
            errors.append(error)
        else:
            assert report.refused == ()
            return errors
    raise AssertionError(f"it never ended: {errors[-3:]}")


def assert_equal(client: firestore.Client, stores: SqliteStores, count: int) -> None:
    """By a sync of its own that no fault stands before, and counted."""
    report = FirestoreCatalogSync(client, stores, ramp=None).verify()
    assert report.equal, report
    ((total,),) = client.collection("files").count().get()
    assert total.value == count


def change(place: Place, number: int) -> None:
    """A new round of changes: new versions, moves, absences; two documents more."""
    for at in range(0, FIVE_THOUSAND, 50):
        place.put(f"{at % 10}/{at}.mp4", version=number + 2)
    place.lose("1/1.mp4")
    place.move("2/2.mp4", f"moved/{number}.mp4")
    place.put("2/2.mp4")
    place.move("2/2.mp4", f"moved/again {number}.mp4")
    place.put("2/2.mp4")


def battery(
    client: firestore.Client, proxied: firestore.Client, stores: SqliteStores, place: Place, faults: Any
) -> list[MediaWatchError]:
    """Rounds of changes and syncs until every fault has fired, and at least three."""
    place.put(*(f"{number % 10}/{number}.mp4" for number in range(FIVE_THOUSAND)))
    sync = FirestoreCatalogSync(proxied, stores, ramp=None, timeout=TIMEOUT, clock=Impatient())
    errors = sync_until_done(sync)
    rounds = 0
    while rounds < 3 or (set(faults.fired) != set(faults.kinds) and rounds < 20):
        change(place, rounds)
        rounds += 1
        errors += sync_until_done(sync)
    assert set(faults.fired) == set(faults.kinds), "every fault has fired"
    assert_equal(client, stores, FIVE_THOUSAND + 2 * rounds)
    return errors


def test_faults_of_every_kind_at_random_end_with_an_equal_catalog(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    faults: FaultsType,
) -> None:
    kinds = (*STATUSES, *LOST, *SLOW)
    grpc_proxy.faults = faults(*kinds, share=0.5, seed=11)
    battery(client, client_at(grpc_proxy.port), stores, place, grpc_proxy.faults)


@pytest.mark.long
@pytest.mark.parametrize("kind", [*STATUSES, *LOST, *SLOW])
def test_one_kind_of_fault_at_random_ends_with_an_equal_catalog(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    faults: FaultsType,
    kind: str,
) -> None:
    grpc_proxy.faults = faults(kind, share=0.4, seed=5)
    errors = battery(client, client_at(grpc_proxy.port), stores, place, grpc_proxy.faults)
    assert grpc_proxy.faults.fired[kind] >= 5
    if kind in {"PERMISSION_DENIED", "UNAUTHENTICATED"}:
        assert len(errors) >= 3, "it is not repeated within a run"
        assert {type(error) for error in errors} == {AuthenticationRequiredError}


def test_connections_that_are_cut_end_with_an_equal_catalog(
    client: firestore.Client, client_at: Any, byte_proxy: ByteProxy, stores: SqliteStores, place: Place
) -> None:
    place.put(*(f"{number % 10}/{number}.mp4" for number in range(FIVE_THOUSAND)))
    byte_proxy.cut_after = 700_000
    ended = threading.Event()

    def cut_now_and_then() -> None:
        pause = 0.15
        while not ended.wait(pause):
            byte_proxy.cut()
            pause *= 1.2  # however slow the machine is, at some time there is room for a commit

    cutting = threading.Thread(target=cut_now_and_then)
    cutting.start()
    try:
        sync = FirestoreCatalogSync(client_at(byte_proxy.port), stores, ramp=None, timeout=TIMEOUT)
        sync_until_done(sync)
    finally:
        ended.set()
        cutting.join()
    assert byte_proxy.cuts >= 3
    assert_equal(client, stores, FIVE_THOUSAND)


def test_swallowed_and_late_answers_end_with_an_equal_catalog(
    client: firestore.Client, client_at: Any, byte_proxy: ByteProxy, stores: SqliteStores, place: Place
) -> None:
    place.put(*(f"{number % 10}/{number}.mp4" for number in range(FIVE_THOUSAND)))
    sync = FirestoreCatalogSync(client_at(byte_proxy.port), stores, ramp=None, timeout=TIMEOUT)
    byte_proxy.delay = 0.02
    byte_proxy.swallow_answers = True

    def speak_again() -> None:
        while not byte_proxy.swallowed:
            time.sleep(0.01)
        time.sleep(2.5)
        byte_proxy.swallow_answers = False
        byte_proxy.cut()

    healer = threading.Thread(target=speak_again)
    healer.start()
    sync_until_done(sync)
    healer.join()
    assert byte_proxy.swallowed
    assert byte_proxy.delayed
    assert_equal(client, stores, FIVE_THOUSAND)


@pytest.mark.parametrize(
    ("status", "error", "calls"),
    [
        ("UNAVAILABLE", TransientError, 6),
        ("DEADLINE_EXCEEDED", TransientError, 6),
        ("ABORTED", TransientError, 6),
        ("INTERNAL", TransientError, 6),
        ("UNKNOWN", TransientError, 6),
        ("DATA_LOSS", TransientError, 6),
        ("RESOURCE_EXHAUSTED", RateLimited, 6),
        ("UNAUTHENTICATED", AuthenticationRequiredError, 1),
        ("PERMISSION_DENIED", AuthenticationRequiredError, 1),
        ("NOT_FOUND", DestinationOfflineError, 1),
        ("FAILED_PRECONDITION", DestinationOfflineError, 1),
        ("INVALID_ARGUMENT", PermanentError, 1),
        ("OUT_OF_RANGE", PermanentError, 1),
        ("UNIMPLEMENTED", ConfigurationError, 1),
    ],
)
def test_each_status_that_stays_becomes_the_exception_that_says_what_to_do(
    *, client_at: Any, grpc_proxy: GrpcProxy, faults: FaultsType, status: str, error: type[Exception], calls: int
) -> None:
    tree = FakeTree("nas")
    media = FakeResolver(tree).resolve_for_upload(tree.put("a.mp4", b"abc"), cancel=FakeContext().cancel)
    grpc_proxy.faults = faults(status, share=1)
    clock = FakeClock()
    uploader = FirestoreUploader(client_at(grpc_proxy.port), ramp=None, clock=clock)
    before = clock.monotonic_ns()
    with pytest.raises(MediaWatchError) as caught:
        uploader.upload(media, FakeContext.for_media(media, destination_id=uploader.destination_id))
    assert type(caught.value) is error
    assert status in str(caught.value)
    assert grpc_proxy.calls["Commit"] == calls
    assert grpc_proxy.faults.fired.total() == calls, "and the client repeats nothing by itself"
    assert (clock.monotonic_ns() > before) == (calls > 1)
    if isinstance(caught.value, AuthenticationRequiredError):
        assert caught.value.party == "destination"


def test_a_call_that_fails_a_few_times_costs_no_attempt(
    client_at: Any, grpc_proxy: GrpcProxy, faults: FaultsType, client: firestore.Client
) -> None:
    tree = FakeTree("nas")
    media = FakeResolver(tree).resolve_for_upload(tree.put("a.mp4", b"abc"), cancel=FakeContext().cancel)
    grpc_proxy.faults = faults(*STATUSES[:2], *STATUSES[4:], share=1, most=5)
    uploader = FirestoreUploader(client_at(grpc_proxy.port), ramp=None, clock=FakeClock())
    receipt = uploader.upload(media, FakeContext.for_media(media, destination_id=uploader.destination_id))
    assert grpc_proxy.faults.fired.total() == 5
    assert client.document(receipt.remote_id).get().exists


def test_what_failed_in_the_middle_is_written_by_the_next_sync(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    faults: FaultsType,
) -> None:
    """The watermark stands where everything before it is committed, whatever was in the air beside the failure."""
    place.put("first.mp4")
    sync = FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=None, clock=FakeClock())
    sync.sync_incremental()
    place.put(*(f"{number % 10}/{number}.mp4" for number in range(FIVE_THOUSAND)))
    grpc_proxy.commits.clear()
    lock = threading.Lock()

    def refuse_the_fourth(_request: bytes) -> None:
        with lock:
            if len(grpc_proxy.commits) == 3:
                grpc_proxy.faults = faults("PERMISSION_DENIED", share=1)

    grpc_proxy.on_commit = refuse_the_fourth
    with pytest.raises(AuthenticationRequiredError):
        sync.sync_incremental()
    grpc_proxy.on_commit, grpc_proxy.faults = None, faults()
    assert 0 < sync.sync_incremental().written <= FIVE_THOUSAND
    assert_equal(client, stores, FIVE_THOUSAND + 1)


def test_what_is_committed_before_a_failure_is_not_written_again(
    client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place, faults: FaultsType
) -> None:
    place.put(*(f"{number:04}.mp4" for number in range(2_000)))
    sync = FirestoreCatalogSync(client_at(grpc_proxy.port), stores, flights=1, ramp=None, clock=FakeClock())
    refused: list[int] = []

    def refuse_the_third_batch_once(_request: bytes) -> None:
        if len(grpc_proxy.commits) == 3 and not refused:  # the fence, and two batches of 499
            refused.append(1)
            grpc_proxy.faults = faults("UNAUTHENTICATED", share=1, most=1)

    grpc_proxy.on_commit = refuse_the_third_batch_once
    with pytest.raises(AuthenticationRequiredError):
        sync.sync_incremental()
    grpc_proxy.on_commit, grpc_proxy.faults = None, faults()
    assert refused
    assert sync.sync_incremental().written == 2_000 - 2 * 499


def test_a_commit_that_is_applied_late_never_overwrites_a_newer_version(
    client: firestore.Client, client_at: Any, grpc_proxy: GrpcProxy, faults: FaultsType
) -> None:
    """The first call is given up after a second, repeated, and applied all the same after 1.5 seconds."""
    tree = FakeTree("nas")
    uploader = FirestoreUploader(client_at(grpc_proxy.port), ramp=None, timeout=TIMEOUT)
    grpc_proxy.faults = faults("slow 1.5", share=1, most=1)
    for data in (b"first", b"the second"):
        media = FakeResolver(tree).resolve_for_upload(tree.put("a.mp4", data), cancel=FakeContext().cancel)
        receipt = uploader.upload(media, FakeContext.for_media(media, destination_id=uploader.destination_id))
    grpc_proxy.wait_until_all_ended()
    assert grpc_proxy.faults.fired.total() == 1
    assert client.document(receipt.remote_id).get().get("size") == 10


def test_a_commit_of_a_sync_that_is_applied_late_never_overwrites_newer_contents(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    faults: FaultsType,
) -> None:
    place.put("a.mp4")
    sync = FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=None, timeout=TIMEOUT)
    sync.sync_incremental()
    place.put("a.mp4", version=2)

    def slow_documents(request: bytes) -> None:
        if b"/documents/files/" in request:
            grpc_proxy.on_commit, grpc_proxy.faults = None, faults("slow 1.5", share=1, most=1)

    grpc_proxy.on_commit = slow_documents
    assert sync.sync_incremental().written == 1
    place.put("a.mp4", version=3)
    assert sync.sync_incremental().written == 1
    grpc_proxy.wait_until_all_ended()
    assert_equal(client, stores, 1)
    assert grpc_proxy.faults.fired.total() == 1
