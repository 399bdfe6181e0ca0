"""ChangeFeedContract: what a media state store promises whose changes can be followed.

class TestMyStore(MediaStateStoreContract, ChangeFeedContract):
    def make_store(self, clock):
        return MyStore(clock)
"""

# ruff: noqa: S101, S311, D102 - a suite asserts, draws its data, and names its tests by their fact

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from media_watch_tasks.abc.change_feed import AssetChange, Bookmarks, ChangeFeed, CountsByDirectory
from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.model.identity import Fingerprint, join
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.sources import (
    AssetState,
    BaselineState,
    DirectoryTotals,
    PageRecord,
    ScanLease,
    SourceState,
)
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import (
    HOSTILE_NAMES,
    OTHER,
    SOURCE,
    MediaStateStoreSuite,
    asset,
)

__all__ = ["ChangeFeedContract"]

_NAMES = tuple(b"%c" % letter for letter in b"abcd")
_DIRECTORIES = (b"", b"d", b"d/e")


class ChangeFeedContract(MediaStateStoreSuite):
    """`ChangeFeed`, `Bookmarks` and `CountsByDirectory` of one store."""

    @staticmethod
    def feed(store: MediaStateStore) -> ChangeFeed:
        """The store as its followers see it."""
        assert isinstance(store, ChangeFeed)
        return store

    def changed(self, store: MediaStateStore, watermark: int, **narrow: Any) -> Sequence[bytes]:  # noqa: ANN401 - passed on
        """Ids of the assets that changed, in order."""
        return [change.asset_id for change in self.feed(store).changes_since(watermark, **narrow)]

    def follow(self, store: MediaStateStore, known: dict[bytes, AssetState], watermark: int, limit: int) -> int:
        """Bring a copy up to date in portions; the new watermark."""
        while changes := self.feed(store).changes_since(watermark, source_id=SOURCE, limit=limit):
            assert [each.sequence for each in changes] == sorted({each.sequence for each in changes})
            assert len(changes) <= limit
            for change in changes:
                assert change.sequence > watermark
                if change.state is None:
                    known.pop(change.asset_id, None)
                else:
                    assert (change.source_id, change.asset_id) == (change.state.source_id, change.state.asset_id)
                    known[change.asset_id] = change.state
            watermark = changes[-1].sequence
        return watermark

    def test_an_empty_store_has_no_changes(self, store: MediaStateStore) -> None:
        assert self.feed(store).last_sequence() == 0
        assert self.feed(store).changes_since(0) == ()

    def test_the_feed_from_the_start_yields_every_asset(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "a", "d/b", "d/e/c")
        store.mark_missing(SOURCE, [b"d/b"])
        changes = self.feed(store).changes_since(0)
        assert {change.asset_id: change.state for change in changes} == {
            asset_id: self.state(store, asset_id) for asset_id in (b"a", b"d/b", b"d/e/c")
        }
        assert changes[-1].sequence == self.feed(store).last_sequence()

    def test_nothing_changed_since_the_last_sequence(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "a", "b")
        assert self.changed(store, self.feed(store).last_sequence()) == []

    @pytest.mark.parametrize("what", ["seen again", "looked at", "missing", "back", "described", "file id"])
    def test_every_change_of_a_state_is_in_the_feed(self, store: MediaStateStore, lease: ScanLease, what: str) -> None:
        self.remember(store, lease, "d/a", "d/b", "d/c")
        if what == "back":
            store.mark_missing(SOURCE, [b"d/b"])
        before = self.feed(store).last_sequence()
        if what == "seen again":
            self.record(store, lease, b"d", asset("d/b", version=2))
        elif what == "looked at":
            store.update_seen(SOURCE, {b"d/b": Fingerprint(7, 7)})
        elif what == "missing":
            store.mark_missing(SOURCE, [b"d/b"])
        elif what == "back":
            self.record(store, lease, b"d", asset("d/b"))
        elif what == "described":
            store.save_metadata(SOURCE, b"d/b", asset("d/b").fingerprint, MediaMetadata(container="mov"))
        else:
            self.record(store, lease, b"d", asset("d/b", file_id=5))
        (change,) = self.feed(store).changes_since(before)
        assert change == AssetChange(change.sequence, SOURCE, b"d/b", self.state(store, "d/b"))
        assert before < change.sequence <= self.feed(store).last_sequence()

    def test_what_leaves_the_state_as_it_was_is_no_change(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        metadata = MediaMetadata(container="mov")
        store.save_metadata(SOURCE, b"d/a", asset("d/a").fingerprint, metadata)
        store.mark_missing(SOURCE, [b"d/b"])
        before = self.feed(store).last_sequence()
        self.record(store, lease, b"d", asset("d/a"), checkpoint="here")
        store.update_seen(SOURCE, {b"d/a": asset("d/a").fingerprint, b"unknown": Fingerprint(1, 1)})
        store.mark_missing(SOURCE, [b"d/b", b"unknown"])
        store.save_metadata(SOURCE, b"d/a", asset("d/a").fingerprint, metadata)
        store.save_metadata(SOURCE, b"d/a", Fingerprint(7, 7), MediaMetadata(container="old"))
        store.record_page(lease, PageRecord(directory=b"d", absent=(b"d/a",), scan_number=1))
        store.save_source(SourceState(source_id=SOURCE, scans=3))
        assert self.changed(store, before) == []

    def test_earlier_changes_of_an_asset_are_folded_into_its_latest(
        self, store: MediaStateStore, lease: ScanLease
    ) -> None:
        self.remember(store, lease, "a", "b")
        for version in (2, 3):
            self.record(store, lease, b"", asset("a", version=version))
        assert self.changed(store, 0) == [b"b", b"a"]
        assert self.changed(store, 0, limit=1) == [b"b"]

    def test_a_limit_cuts_off_and_the_next_call_goes_on(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, *(f"{number:03}" for number in range(25)))
        known: dict[bytes, AssetState] = {}
        assert self.follow(store, known, 0, 7) == self.feed(store).last_sequence()
        assert sorted(known) == self.present(store)

    def test_a_moved_asset_leaves_a_tombstone(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        before = self.feed(store).last_sequence()
        assert store.move_asset(SOURCE, b"d/a", asset("e/a"))
        changes = {change.asset_id: change.state for change in self.feed(store).changes_since(before)}
        assert changes == {b"d/a": None, b"e/a": self.state(store, "e/a")}

    def test_a_move_onto_a_known_asset_leaves_one_tombstone(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        before = self.feed(store).last_sequence()
        assert store.move_asset(SOURCE, b"d/a", asset("d/b", version=2))
        changes = {change.asset_id: change.state for change in self.feed(store).changes_since(before)}
        assert changes == {b"d/a": None, b"d/b": self.state(store, "d/b")}

    def test_a_move_to_where_it_stands_leaves_no_tombstone(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        assert store.move_asset(SOURCE, b"d/a", asset("d/a", version=2))
        assert [change.state for change in self.feed(store).changes_since(0)] == [self.state(store, "d/a")]

    def test_an_asset_that_is_back_has_no_tombstone(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        assert store.move_asset(SOURCE, b"d/a", asset("d/b"))
        self.remember(store, lease, "d/a")
        states = {change.asset_id: change.state for change in self.feed(store).changes_since(0)}
        assert states == {b"d/a": self.state(store, "d/a"), b"d/b": self.state(store, "d/b")}
        assert store.move_asset(SOURCE, b"d/a", asset("d/c"))
        assert [change.asset_id for change in self.feed(store).changes_since(0) if change.state is None] == [b"d/a"]

    def test_forgetting_leaves_tombstones_and_no_baseline(self, store: MediaStateStore, lease: ScanLease) -> None:
        store.save_source(
            SourceState(source_id=SOURCE, baseline=BaselineState.COMPLETE, checkpoint="x", scans=4, last_complete_ns=5)
        )
        self.remember(store, lease, "a", "d/b")
        self.remember(store, self.acquire(store, OTHER), "o")
        before = self.feed(store).last_sequence()
        store.forget_seen(SOURCE)
        assert {change.asset_id: change.state for change in self.feed(store).changes_since(before)} == {
            b"a": None,
            b"d/b": None,
        }
        assert store.source(SOURCE) == SourceState(source_id=SOURCE, scans=4)
        self.remember(store, lease, "a")
        after = self.feed(store).changes_since(before, source_id=SOURCE)
        assert [(change.asset_id, change.state is None) for change in after] == [(b"d/b", True), (b"a", False)]

    def test_changes_of_one_source_are_told_apart(self, store: MediaStateStore, lease: ScanLease) -> None:
        other = self.acquire(store, OTHER)
        for number in range(3):
            self.remember(store, lease, f"a{number}")
            self.remember(store, other, f"b{number}")
        store.move_asset(OTHER, b"b0", asset("b9", source=OTHER))
        assert self.changed(store, 0, source_id=SOURCE) == [b"a0", b"a1", b"a2"]
        assert sorted(self.changed(store, 0, source_id=OTHER)) == [b"b0", b"b1", b"b2", b"b9"]
        assert {change.source_id for change in self.feed(store).changes_since(0)} == {SOURCE, OTHER}
        assert self.changed(store, 0, source_id="unheard of") == []

    def test_any_name_passes_through_the_feed(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", *(asset(join(b"d", name)) for name in HOSTILE_NAMES))
        assert self.changed(store, 0) == [join(b"d", name) for name in HOSTILE_NAMES]
        store.forget_seen(SOURCE)
        assert sorted(self.changed(store, 0)) == sorted(join(b"d", name) for name in HOSTILE_NAMES)

    @pytest.mark.parametrize("seed", range(4))
    def test_a_follower_ends_with_what_the_store_knows(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock, seed: int
    ) -> None:
        draw = random.Random(seed)
        known: dict[bytes, AssetState] = {}
        watermark = 0
        ids = [join(directory, name) for directory in _DIRECTORIES for name in _NAMES]
        for _ in range(200):
            clock.advance(1)
            one, two = draw.sample(ids, 2)
            match draw.randrange(7):
                case 0 | 1:
                    seen = asset(one, version=draw.randrange(3))
                    self.record(store, lease, seen.directory, seen, baseline=draw.random() < 0.3)  # noqa: PLR2004 - a share
                case 2:
                    store.mark_missing(SOURCE, [one, two])
                case 3:
                    store.update_seen(SOURCE, {one: Fingerprint(draw.randrange(3), 1), two: Fingerprint(2, 2)})
                case 4:
                    store.save_metadata(SOURCE, one, Fingerprint(2, 2), MediaMetadata(title=str(draw.randrange(3))))
                case 5:
                    store.move_asset(SOURCE, one, asset(two, version=draw.randrange(3)))
                case _:
                    watermark = self.follow(store, known, watermark, draw.randrange(1, 9))
        self.follow(store, known, watermark, 100)
        assert known == {state.asset_id: state for state in store.assets(SOURCE, ids) if state is not None}

    def test_a_follower_beside_writers_misses_nothing(self, store: MediaStateStore, lease: ScanLease) -> None:
        threads = [
            threading.Thread(
                target=lambda part=part: [
                    self.record(store, lease, b"%d" % part, asset(f"{part}/{number}")) for number in range(40)
                ]
            )
            for part in range(3)
        ]
        for thread in threads:
            thread.start()
        known: dict[bytes, AssetState] = {}
        watermark = 0
        while any(thread.is_alive() for thread in threads):
            watermark = self.follow(store, known, watermark, 5)
        for thread in threads:
            thread.join()
        self.follow(store, known, watermark, 5)
        assert len(known) == 120  # noqa: PLR2004 - 3 x 40

    def test_a_bookmark_is_kept_for_each_reader(self, store: MediaStateStore) -> None:
        assert isinstance(store, Bookmarks)
        assert store.bookmark("one") is None
        store.save_bookmark("one", {"sequence": 5, "token": "a"})
        store.save_bookmark("two \ud800", {"sequence": 6})
        store.save_bookmark("one", {"sequence": 7, "more": {"deep": [1, None]}})
        assert store.bookmark("one") == {"sequence": 7, "more": {"deep": [1, None]}}
        assert store.bookmark("two \ud800") == {"sequence": 6}

    def test_assets_are_counted_by_directory(self, store: MediaStateStore, lease: ScanLease) -> None:
        assert isinstance(store, CountsByDirectory)
        self.remember(store, lease, "a", "d/a", "d/b", "d/e/a", "d-e/a", "dd/a")
        self.remember(store, self.acquire(store, OTHER), "d/o")
        store.mark_missing(SOURCE, [b"d/b"])
        size = asset("a").size
        assert {each.directory: each for each in store.directory_totals(SOURCE)} == {
            b"": DirectoryTotals(b"", 1, 0, size),
            b"d": DirectoryTotals(b"d", 1, 1, size),
            b"d/e": DirectoryTotals(b"d/e", 1, 0, size),
            b"d-e": DirectoryTotals(b"d-e", 1, 0, size),
            b"dd": DirectoryTotals(b"dd", 1, 0, size),
        }
        assert sorted(each.directory for each in store.directory_totals(SOURCE, b"d")) == [b"d", b"d/e"]
        store.move_asset(SOURCE, b"d/e/a", asset("f/a"))
        assert sorted(each.directory for each in store.directory_totals(SOURCE, b"d")) == [b"d"]
        assert list(store.directory_totals("unheard of")) == []
