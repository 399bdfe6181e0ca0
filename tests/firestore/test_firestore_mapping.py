"""Mappings: fields, catalogs from paths, one's own in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.cloud import firestore

from media_watch_tasks import ConfigurationError, MediaAsset, SqliteStores
from media_watch_tasks.firestore import CatalogEntry, CatalogMapping, DocumentMapping, FirestoreCatalogSync
from media_watch_tasks.firestore._encoding import set_write
from media_watch_tasks.model.metadata import AudioTrack, Chapter, GeoPoint, MediaMetadata, VideoTrack
from media_watch_tasks.model.sources import DirectoryTotals
from media_watch_tasks.model.uploads import UploadReceipt

Place = Any


def test_everything_that_can_be_known_is_in_a_document() -> None:
    metadata = MediaMetadata(
        container="mov",
        brands=("qt  ",),
        gps=GeoPoint(latitude=1.5, longitude=-2.5),
        chapters=(Chapter(start=0.0, title="one"),),
        video=(VideoTrack(codec="h264", width=1920, height=1080),),
        audio=(AudioTrack(codec="aac", channels=2), AudioTrack(codec="ac3")),
        tags={"director": "X", "__reserved__": "y", "": "z", "k" * 2_000: "long"},
        title="half \ud800 pair",
        bit_rate=2**70,
    )
    entry = CatalogEntry(
        asset=MediaAsset("nas", b"d/\xff.mov", 7, 1_700_000_000_123_456_789),
        metadata=metadata,
        sha256="ab" * 32,
        tags=frozenset({"b", "a"}),
        key="00" * 32,
        receipt=UploadReceipt("bucket/key", size=7, etag="e"),
        first_seen_ns=1_000_000_000,
        missing_since_ns=2_000_000_000,
    )
    fields = dict(DocumentMapping().fields(entry))
    set_write("root", "files/x", fields)  # whatever a file holds, its document can be written
    assert (fields["name"], fields["path"], fields["directory"]) == ("\\xff.mov", "d/\\xff.mov", "d")
    assert (fields["size"], fields["mtime_ns"], fields["sha256"]) == (7, 1_700_000_000_123_456_789, "ab" * 32)
    assert fields["modified"].isoformat() == "2023-11-14T22:13:20.123456+00:00"
    assert (fields["first_seen"].second, fields["missing_since"].second, fields["missing"]) == (1, 2, True)
    assert fields["tags"] == ["a", "b"]
    assert fields["receipt"]["remote_id"] == "bucket/key"
    media = fields["media"]
    assert media["gps"] == {"latitude": 1.5, "longitude": -2.5}
    assert [track["codec"] for track in media["audio"]] == ["aac", "ac3"]
    assert media["chapters"] == [{"start": 0.0, "title": "one"}]
    assert set(media["tags"]) == {"director", "%__reserved__", "%", "k" * 375}
    assert media["title"] == "half \\ud800 pair"
    assert media["bit_rate"] == float(2**70)


class ByYear(DocumentMapping):
    """A mapping of one's own: `years/{year}/clips/{id}`, with the fields that the application shows."""

    collections = (("years", "clips"),)

    def path(self, source_id: str, asset_id: bytes) -> str | None:
        year = asset_id[:4].decode()
        if not year.isdigit():
            return None
        return f"years/{year}/clips/{asset_id.hex()}"

    def fields(self, entry: CatalogEntry) -> Mapping[str, Any]:
        return {"title": entry.asset.display, "bytes": entry.asset.size}


def test_a_mapping_of_ones_own_places_fills_and_leaves_out(
    client: firestore.Client, stores: SqliteStores, place: Place
) -> None:
    sync = FirestoreCatalogSync(client, stores, mapping=ByYear(), ramp=None)
    place.put("2024/a.mp4", "2025/b.mp4", "misc/c.mp4")
    assert sync.sync_incremental().written == 2
    (found,) = client.collection("years/2024/clips").stream()
    assert found.to_dict() == {"title": "2024/a.mp4", "bytes": 1_001, "source": "nas", "asset_id": b"2024/a.mp4"}
    place.move("2024/a.mp4", "misc/a.mp4")
    place.move("2025/b.mp4", "2024/b.mp4")
    sync.sync_incremental()
    assert sync.verify().equal
    assert [each.get("title") for each in client.collection_group("clips").stream()] == ["2024/b.mp4"]
    client.document("years/2023/clips/stray").set({"source": "nas", "asset_id": b"2023/x"})
    assert sync.verify(repair=True).sources[0].unexpected == ("years/2023/clips/stray",)
    assert sync.verify().equal


def test_a_changed_version_of_a_mapping_writes_everything(
    client: firestore.Client, stores: SqliteStores, place: Place
) -> None:
    place.put("2024/a.mp4")
    FirestoreCatalogSync(client, stores, mapping=ByYear(), ramp=None).sync_incremental()

    class Changed(ByYear):
        version = "2"

    Changed.__qualname__ = ByYear.__qualname__
    assert FirestoreCatalogSync(client, stores, mapping=ByYear(), ramp=None).sync_incremental().writes == 0
    report = FirestoreCatalogSync(client, stores, mapping=Changed(), ramp=None).sync_incremental()
    assert (report.sources[0].reason, report.written) == ("the mapping is another one", 1)


@pytest.mark.parametrize(
    ("pattern", "path", "parents"),
    [
        ("{catalog}/{series}", b"WSOP/WSOP 2024/a.mp4", ("catalogs/WSOP", "catalogs/WSOP/series/WSOP 2024")),
        ("{catalog}/{series}/**", b"WSOP/WSOP 2024/day 1/a.mp4", ("catalogs/WSOP", "catalogs/WSOP/series/WSOP 2024")),
        ("{catalog}/{series}", b"WSOP/a.mp4", ()),
        ("{catalog}/{series}", b"a.mp4", ()),
        ("tv/*/{catalog}/{series}", b"tv/x/A/B/c.mp4", ("catalogs/A", "catalogs/A/series/B")),
        ("tv/*/{catalog}/{series}", b"film/x/A/B/c.mp4", ()),
        ("{series}/{catalog}", b"B/A/c.mp4", ("catalogs/A", "catalogs/A/series/B")),
        ("20[12]?/{catalog}/{series}", b"2024/A/B/c.mp4", ("catalogs/A", "catalogs/A/series/B")),
        ("20[12]?/{catalog}/{series}", b"1999/A/B/c.mp4", ()),
    ],
)
def test_catalog_and_series_come_from_the_folders(pattern: str, path: bytes, parents: tuple[str, ...]) -> None:
    mapping = CatalogMapping(pattern)
    assert mapping.parents(path.rpartition(b"/")[0]) == parents
    expected = f"{parents[-1]}/contents/" if parents else "files/"
    placed = mapping.path("nas", path)
    assert placed is not None
    assert placed.startswith(expected)
    assert CatalogMapping(pattern, otherwise=None).path("nas", path) == (placed if parents else None)
    for parent in parents:
        assert any(path.startswith(scope) for scope in mapping.scopes(parent)), "what is counted stands in its scope"


def test_the_scope_of_a_parent_is_as_narrow_as_its_pattern_allows() -> None:
    assert CatalogMapping("{catalog}/{series}").scopes("catalogs/A/series/B") == (b"A/B",)
    assert CatalogMapping("{catalog}/{series}").scopes("catalogs/A") == (b"A",)
    assert CatalogMapping("{series}/{catalog}").scopes("catalogs/A") == (b"",)
    several = CatalogMapping("tv/{catalog}/{series}", "*/{catalog}/{series}", "{catalog}/x/{series}")
    assert several.scopes("catalogs/A%25/series/B") == (b"tv/A%/B", b"", b"A%/x/B")


def test_a_catalog_that_several_patterns_reach_is_counted_once() -> None:
    mapping = CatalogMapping("tv/{catalog}/{series}", "*/{catalog}/{series}")
    totals = [DirectoryTotals(b"tv/A/B", 1, 0, 5), DirectoryTotals(b"x/A/C", 2, 1, 6)]
    assert mapping.parent_fields("catalogs/A", totals) == {
        "name": "A",
        "contents": 3,
        "missing": 1,
        "size": 11,
        "series": 2,
    }


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "{catalog}",
        "{series}",
        "{catalog}/{catalog}/{series}",
        "a{catalog}/{series}",
        "**/{catalog}/{series}",
        "{catalog}//{series}",
    ],
)
def test_a_senseless_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="pattern"):
        CatalogMapping(pattern)


@pytest.mark.parametrize("collection", ["", "a/b", "a//b", "/a"])
def test_a_senseless_collection_is_refused(collection: str) -> None:
    with pytest.raises(ConfigurationError, match="collection"):
        DocumentMapping(collection)


def test_no_pattern_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a pattern"):
        CatalogMapping()
