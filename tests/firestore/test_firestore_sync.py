"""FirestoreCatalogSync: what the database says is what the catalog holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import firestore

from media_watch_tasks import (
    AuthenticationRequiredError,
    CancelToken,
    ConfigurationError,
    SqliteStores,
    TransientError,
)
from media_watch_tasks.firestore import (
    CatalogMapping,
    DocumentMapping,
    FirestoreCatalogSync,
    SourceSync,
    source_sync,
)
from media_watch_tasks.model.metadata import MediaMetadata, VideoTrack
from media_watch_tasks.model.sources import BaselineState
from media_watch_tasks.stores.memory import MemoryMediaStateStore
from media_watch_tasks.testing.clock import FakeClock

Place = Any
GrpcProxy = Any
Documents = dict[str, dict[str, Any]]


@pytest.fixture
def sync(client: firestore.Client, stores: SqliteStores) -> Iterator[FirestoreCatalogSync]:
    with FirestoreCatalogSync(client, stores, ramp=None) as sync:
        yield sync


def documents(client: firestore.Client, collection: str = "files") -> Documents:
    """The contents of a collection (or collection group), by the path of the asset."""
    return {found.get("path"): found.to_dict() for found in client.collection_group(collection).stream()}


def test_the_first_sync_writes_every_asset(sync: FirestoreCatalogSync, client: firestore.Client, place: Place) -> None:
    place.put("a.mp4", "WSOP/WSOP 2024/b.mov")
    place.describe("a.mp4", MediaMetadata(container="mp4", duration=1.5, video=(VideoTrack(codec="h264", width=640),)))
    place.lose("WSOP/WSOP 2024/b.mov")
    report = sync.sync_incremental()
    assert (report.written, report.deleted, report.refused) == (2, 0, ())
    assert [(each.full, each.reason) for each in report.sources] == [(True, "the catalog has no record of this source")]
    found = documents(client)
    assert set(found) == {"a.mp4", "WSOP/WSOP 2024/b.mov"}
    first = found["a.mp4"]
    assert first["media"] == {
        "container": "mp4",
        "duration": 1.5,
        "video": [{"codec": "h264", "width": 640}],
        "confidence": "exact",
        "transient": False,
    }
    assert (first["name"], first["directory"], first["kind"], first["mime_type"]) == ("a.mp4", "", "video", "video/mp4")
    assert (first["size"], first["mtime_ns"], first["missing"]) == (1_001, 1_700_000_000_000_000_001, False)
    assert (first["source"], first["asset_id"]) == ("nas", b"a.mp4")
    assert found["WSOP/WSOP 2024/b.mov"]["missing"] is True
    assert found["WSOP/WSOP 2024/b.mov"]["missing_since"] is not None


def test_a_second_sync_with_nothing_changed_writes_nothing_and_reads_one_document(
    client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place
) -> None:
    place.put(*(f"{number}.mp4" for number in range(30)))
    with FirestoreCatalogSync(client_at(grpc_proxy.port), stores, ramp=None) as sync:
        sync.sync_incremental()
        grpc_proxy.calls.clear()
        grpc_proxy.commits.clear()
        report = sync.sync_incremental()
        assert (report.reads, report.writes, report.written) == (1, 0, 0)
        assert dict(grpc_proxy.calls) == {"BatchGetDocuments": 1}
        assert grpc_proxy.commits == []


@pytest.mark.parametrize("on_missing", ["mark", "delete"])
def test_every_kind_of_change_is_reflected_and_nothing_else_is_written(
    client: firestore.Client, stores: SqliteStores, place: Place, on_missing: Any
) -> None:
    sync = FirestoreCatalogSync(client, stores, ramp=None, on_missing=on_missing)
    place.put(*(f"d/{number}.mp4" for number in range(20)))
    sync.sync_incremental()
    place.put("d/new.mp4")
    place.put("d/1.mp4", version=2)
    place.move("d/2.mp4", "e/2.mp4")
    place.lose("d/3.mp4")
    place.describe("d/4.mp4", MediaMetadata(title="four"))
    report = sync.sync_incremental()
    assert not report.sources[0].full
    if on_missing == "mark":
        assert (report.written, report.deleted) == (5, 1)
    else:
        assert (report.written, report.deleted) == (4, 2)
    assert report.writes == 6 + 5, "the fence goes up, is a part of the commit, and comes down; the record stands twice"
    found = documents(client)
    assert found["d/1.mp4"]["size"] == 1_002
    assert "d/2.mp4" not in found
    assert found["e/2.mp4"]["directory"] == "e"
    assert found["d/4.mp4"]["media"]["title"] == "four"
    assert ("d/3.mp4" in found) == (on_missing == "mark")
    assert on_missing == "delete" or found["d/3.mp4"]["missing"]
    assert sync.verify().equal
    place.put("d/3.mp4")
    sync.sync_incremental()
    assert documents(client)["d/3.mp4"]["missing"] is False
    assert sync.verify().equal


def test_the_watermark_stands_in_the_database_and_beside_the_catalog(
    sync: FirestoreCatalogSync, client: firestore.Client, stores: SqliteStores, place: Place
) -> None:
    place.put("a.mp4")
    sync.sync_incremental()
    record = client.document("_sync_metadata/nas").get().to_dict()
    last = stores.media_state.last_sequence()
    assert (record["sequence"], record["phase"], record["source"]) == (last, "steady", "nas")
    (kept,) = stores.database.execute("SELECT state FROM change_bookmark")
    assert record["token"] in kept[0]


def test_nothing_counts_as_gone_before_a_scan_was_complete(
    sync: FirestoreCatalogSync, client: firestore.Client, place: Place
) -> None:
    """A new baseline forgets every asset, and a sync in its middle must delete none of them."""
    place.put("a.mp4", "b.mp4")
    sync.sync_incremental()
    place.media.forget_seen("nas")
    assert sync.sync_incremental().sources[0].held
    place.baseline(BaselineState.STARTED)
    place.put("a.mp4")
    for run in (sync.sync_incremental, sync.sync_all):
        report = run()
        assert report.sources[0].held
        assert report.deleted == 0
        assert set(documents(client)) == {"a.mp4", "b.mp4"}
    assert not sync.verify(repair=True).equal
    assert set(documents(client)) == {"a.mp4", "b.mp4"}
    place.baseline(BaselineState.COMPLETE)
    report = sync.sync_incremental()
    assert report.sources[0].held is None
    assert set(documents(client)) == {"a.mp4"}


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    sync: FirestoreCatalogSync, client: firestore.Client, place: Place
) -> None:
    place.put("a.mp4", "b.mp4", "c.mp4")
    report = sync.sync_incremental(dry_run=True)
    assert (report.dry_run, report.written, report.writes) == (True, 3, 0)
    assert not list(client.collections())
    sync.sync_incremental()
    before = {each.id: each.update_time for each in client.collection("files").stream()}
    place.put("a.mp4", version=2)
    place.move("b.mp4", "d.mp4")
    report = sync.sync_incremental(dry_run=True)
    assert (report.written, report.deleted, report.writes) == (2, 1, 0)
    report = sync.sync_all(dry_run=True)
    assert (report.written, report.deleted, report.writes) == (3, 1, 0)
    assert {each.id: each.update_time for each in client.collection("files").stream()} == before
    assert sync.sync_incremental().written == 2


def test_a_sync_of_everything_writes_everything_and_deletes_what_belongs_to_no_asset(
    sync: FirestoreCatalogSync, client: firestore.Client, place: Place
) -> None:
    place.put("a.mp4", "b.mp4")
    sync.sync_incremental()
    (one,) = client.collection("files").where(filter=firestore.FieldFilter("path", "==", "a.mp4")).stream()
    one.reference.update({"size": 5})
    client.document("files/stray").set({**one.to_dict(), "path": "stray"})
    client.document("files/other").set({"source": "another", "asset_id": b"a.mp4", "path": "other"})
    report = sync.sync_all()
    assert (report.written, report.deleted, report.sources[0].reason) == (2, 1, "asked for")
    assert set(documents(client)) == {"a.mp4", "b.mp4", "other"}
    assert documents(client)["a.mp4"]["size"] == 1_001
    assert sync.verify().equal


def test_verify_names_what_differs_and_repairs_it(
    sync: FirestoreCatalogSync, client: firestore.Client, place: Place
) -> None:
    place.put(*(f"{number}.mp4" for number in range(10)))
    sync.sync_incremental()
    assert sync.verify().equal
    by_path = {each.get("path"): each.reference for each in client.collection("files").stream()}
    by_path["1.mp4"].delete()
    by_path["2.mp4"].update({"size": 7})
    client.document("files/stray").set({"source": "nas", "asset_id": b"1.mp4"})
    for repair in (False, True):
        (found,) = sync.verify(repair=repair).sources
        assert found.checked == 10
        assert found.absent == (by_path["1.mp4"].path,)
        assert found.different == (by_path["2.mp4"].path,)
        assert found.unexpected == ("files/stray",)
        assert (found.differences, found.repaired) == (3, 3 if repair else 0)
    assert sync.verify().equal
    assert len(documents(client)) == 10


def test_a_document_that_cannot_be_written_is_named_and_stops_nothing(
    client: firestore.Client, stores: SqliteStores, place: Place
) -> None:
    class Greedy(DocumentMapping):
        def fields(self, entry: Any) -> Any:
            return {**super().fields(entry), "blob": b"x" * (1_100_000 if entry.asset.name == b"7.mp4" else 1)}

    place.put(*(f"{number}.mp4" for number in range(20)))
    sync = FirestoreCatalogSync(client, stores, mapping=Greedy(), ramp=None)
    report = sync.sync_incremental()
    (refusal,) = report.refused
    assert refusal.document == "7.mp4"
    assert "1,048,487" in refusal.reason
    assert report.written == 19
    assert len(documents(client)) == 19
    assert sync.sync_incremental().writes == 0
    assert [each.document for each in sync.verify().sources[0].refused] == ["7.mp4"]


@pytest.mark.parametrize("what", ["older database", "another database", "older catalog", "no catalog", "mapping"])
def test_another_history_is_noticed_and_everything_written(
    *, client: firestore.Client, stores: SqliteStores, place: Place, places: type[Place], tmp_path: Path, what: str
) -> None:
    place.put("a.mp4", "b.mp4")
    with FirestoreCatalogSync(client, stores, ramp=None) as sync:
        sync.sync_incremental()
        older = client.document("_sync_metadata/nas").get().to_dict()
        stores.backup(tmp_path / "backup.db")
        place.put("c.mp4")
        place.move("b.mp4", "moved.mp4")
        sync.sync_incremental()
    mapping, path = DocumentMapping(), tmp_path / "watch.db"
    if what == "older database":
        path = tmp_path / "backup.db"
    elif what == "another database":
        path = tmp_path / "other.db"
        with SqliteStores(path) as other:
            places(other).put("a.mp4", "z.mp4")
    elif what == "older catalog":
        client.document("_sync_metadata/nas").set({**older, "token": "of a backup"})
        client.document("files/stray").set({"source": "nas", "asset_id": b"b.mp4", "path": "b.mp4"})
    elif what == "no catalog":
        for each in client.collection("_sync_metadata").stream():
            each.reference.delete()
    else:
        mapping = DocumentMapping("elsewhere")
    with SqliteStores(path) as again, FirestoreCatalogSync(client, again, mapping=mapping, ramp=None) as sync:
        report = sync.sync_incremental()
        assert report.sources[0].full
        assert sync.verify().equal
        known = {state.asset.display for state in again.media_state.iterate_assets("nas")}
        assert set(documents(client, mapping.collection)) == known
        assert sync.sync_incremental().writes == 0
    if what == "mapping":
        assert documents(client) == {}


def test_of_two_syncs_at_once_one_is_told_and_the_catalog_ends_right(
    client: firestore.Client, stores: SqliteStores, place: Place, tmp_path: Path
) -> None:
    place.put("a.mp4")
    sync = FirestoreCatalogSync(client, stores, ramp=None)
    sync.sync_incremental()
    place.put("b.mp4")

    class Slow(DocumentMapping):
        version = "1"

        def path(self, source_id: str, asset_id: bytes) -> str | None:
            if not entered.is_set():
                entered.set()
                with (
                    SqliteStores(tmp_path / "watch.db") as other,
                    FirestoreCatalogSync(client, other, mapping=self, ramp=None) as peer,
                ):
                    peer.sync_incremental()
            return super().path(source_id, asset_id)

    entered = threading.Event()
    slow = FirestoreCatalogSync(client, stores, mapping=Slow(), ramp=None)
    with pytest.raises(TransientError, match="another sync"):
        slow.sync_incremental()
    report = slow.sync_incremental()
    assert (report.sources[0].full, report.writes) == (False, 0)
    assert slow.verify().equal


def test_sources_are_synced_apart(client: firestore.Client, stores: SqliteStores, places: type[Place]) -> None:
    one, two = places(stores, "one/with slash"), places(stores, "two")
    one.put("a.mp4")
    two.put("a.mp4", "b.mp4")
    sync = FirestoreCatalogSync(client, stores, ramp=None)
    report = sync.sync_incremental()
    assert [(each.source_id, each.written) for each in report.sources] == [("one/with slash", 1), ("two", 2)]
    assert len(list(client.collection("files").stream())) == 3
    two.put("c.mp4")
    report = sync.sync_incremental()
    assert [each.writes for each in report.sources] == [0, 1 + 5]
    only = FirestoreCatalogSync(client, stores, sources=["two"], ramp=None)
    assert [each.source_id for each in only.sync_incremental().sources] == ["two"]
    assert sync.verify().equal
    assert {each.id for each in client.collection("_sync_metadata").stream()} == {"one%2Fwith slash", "two"}


def test_parents_hold_absolute_counts_and_go_with_their_last_content(
    client: firestore.Client, stores: SqliteStores, place: Place
) -> None:
    mapping = CatalogMapping("{catalog}/{series}")
    sync = FirestoreCatalogSync(client, stores, mapping=mapping, on_missing="delete", ramp=None)
    place.put(*(f"WSOP/WSOP {year}/day 1/{number}.mp4" for year in (2023, 2024) for number in range(3)), "loose.mp4")
    place.put("EPT/2024/x.mp4")
    sync.sync_incremental()
    assert client.document("catalogs/WSOP").get().to_dict() == {
        "name": "WSOP", "series": 2, "contents": 6, "missing": 0, "size": 6_006,
    }  # fmt: skip
    assert client.document("catalogs/WSOP/series/WSOP 2024").get().to_dict() == {
        "name": "WSOP 2024", "catalog": "WSOP", "contents": 3, "missing": 0, "size": 3_003,
    }  # fmt: skip
    assert len(list(client.collection("catalogs/WSOP/series/WSOP 2024/contents").stream())) == 3
    assert set(documents(client)) == {"loose.mp4"}
    for number in range(3):
        place.move(f"WSOP/WSOP 2023/day 1/{number}.mp4", f"EPT/2023/{number}.mp4")
    place.lose("EPT/2024/x.mp4")
    report = sync.sync_incremental()
    assert report.sources[0].parents == 5
    assert not client.document("catalogs/WSOP/series/WSOP 2023").get().exists
    assert not client.document("catalogs/EPT/series/2024").get().exists
    assert client.document("catalogs/WSOP").get().get("series") == 1
    assert client.document("catalogs/EPT").get().to_dict() == {
        "name": "EPT", "series": 1, "contents": 3, "missing": 0, "size": 3_003,
    }  # fmt: skip
    assert sync.verify().equal
    client.document("catalogs/EPT").update({"contents": 99})
    assert sync.verify(repair=True).sources[0].different == ("catalogs/EPT",)
    assert sync.verify().equal


def cut_off(client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, at: int, **settings: Any) -> SourceSync:
    """A sync that is cancelled when its commit of this number arrives, which is still applied."""
    token = CancelToken()
    grpc_proxy.commits.clear()
    grpc_proxy.on_commit = lambda _request: token.cancel() if len(grpc_proxy.commits) == at else None
    with FirestoreCatalogSync(client_at(grpc_proxy.port), stores, flights=1, ramp=None, **settings) as sync:
        (report,) = sync.sync_incremental(token).sources
    grpc_proxy.on_commit = None
    assert report.held == "cancelled"
    return report


def test_what_went_while_the_first_sync_was_cut_off_is_deleted_by_the_next(
    client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place, client: firestore.Client
) -> None:
    """It began with an empty catalog, so that nothing is looked for at its end: the tombstones have to be followed."""
    place.put(*(f"{number:04}.mp4" for number in range(1_100)))
    report = cut_off(client_at, grpc_proxy, stores, 1)
    assert 0 < report.written < 1_100
    place.move("0000.mp4", "moved.mp4")
    sync = FirestoreCatalogSync(client, stores, ramp=None)
    (report,) = sync.sync_incremental().sources
    assert (report.full, report.reason, report.deleted) == (True, "the first sync has not ended", 1)
    assert "0000.mp4" not in documents(client)
    assert len(documents(client)) == 1_100
    assert sync.verify().equal


def test_parents_of_what_went_while_the_first_sync_was_cut_off_go_too(
    *,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    client: firestore.Client,
    faults: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source_sync, "_MOVE_EVERY", 1)
    mapping = CatalogMapping("{catalog}/{series}")
    place.put("WSOP/2023/a.mp4", "EPT/2024/b.mp4")
    first = FirestoreCatalogSync(client_at(grpc_proxy.port), stores, mapping=mapping, ramp=None, clock=FakeClock())

    def refuse_the_end(request: bytes) -> None:
        """The documents and their parents are written; the record that says so is not."""
        if b"steady" in request:
            grpc_proxy.faults = faults("PERMISSION_DENIED", share=1)

    grpc_proxy.on_commit = refuse_the_end
    with pytest.raises(AuthenticationRequiredError):
        first.sync_incremental()
    assert grpc_proxy.faults.fired.total() == 1
    assert client.document("catalogs/WSOP/series/2023").get().exists
    place.move("WSOP/2023/a.mp4", "EPT/2024/a.mp4")
    sync = FirestoreCatalogSync(client, stores, mapping=mapping, ramp=None)
    assert sync.sync_incremental().sources[0].reason == "the first sync has not ended"
    assert not client.document("catalogs/WSOP").get().exists
    assert not client.document("catalogs/WSOP/series/2023").get().exists
    assert client.document("catalogs/EPT").get().get("contents") == 2
    assert sync.verify().equal


def test_a_cancelled_sync_keeps_what_is_committed_and_the_next_goes_on(
    client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, place: Place, client: firestore.Client
) -> None:
    place.put(*(f"{number:05}.mp4" for number in range(1_600)))
    written = cut_off(client_at, grpc_proxy, stores, 1).written
    assert 0 < written < 1_600
    sync = FirestoreCatalogSync(client, stores, ramp=None)
    assert sync.sync_incremental().written == 1_600 - written
    assert sync.verify().equal
    assert len(list(client.collection("files").list_documents())) == 1_600


def test_a_store_in_memory_can_be_followed(client: firestore.Client) -> None:
    class Stores:
        media_state = MemoryMediaStateStore()

    assert FirestoreCatalogSync(client, Stores()).sync_incremental().sources == ()


def test_senseless_arguments_are_refused(client: firestore.Client, stores: SqliteStores) -> None:
    with pytest.raises(ConfigurationError, match="on_missing"):
        FirestoreCatalogSync(client, stores, on_missing="forget")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigurationError, match="flights"):
        FirestoreCatalogSync(client, stores, flights=0)
    with pytest.raises(ConfigurationError, match="media_state"):
        FirestoreCatalogSync(client, type("Stores", (), {"media_state": None})())
    with pytest.raises(ConfigurationError, match="not both"):
        FirestoreCatalogSync(client, stores, project="p")
    with pytest.raises(ConfigurationError, match="not str"):
        FirestoreCatalogSync("client", stores)
