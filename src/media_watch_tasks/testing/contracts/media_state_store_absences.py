"""MediaStateStore suite: what a scan did not find, listings that prove directories unchanged, and moved assets."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import attrs
import pytest

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import DirectoryStamp
from media_watch_tasks.model.sources import KnownListing, PageDiff, PageRecord, ScanLease
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import (
    HOSTILE_NAMES,
    OTHER,
    SOURCE,
    MediaStateStoreSuite,
    asset,
    row,
)

__all__ = ["AbsenceContract", "ListingContract", "MoveContract"]

_LISTING = KnownListing(
    stamp=DirectoryStamp(mtime_ns=1, ctime_ns=-2, file_id=2**64 - 1), directories=(b"a", b"b"), since_ns=7, trusted=True
)
_METADATA = MediaMetadata(container="mov", duration=1.5)


class AbsenceContract(MediaStateStoreSuite):
    """Marks of absence: `PageRecord.absent` and `absent_directories`, `absent_assets`, `PageDiff.found_again`."""

    @staticmethod
    def miss(
        store: MediaStateStore,
        lease: ScanLease,
        *absent: bytes,
        scan: int = 1,
        directories: Collection[bytes] = (),
        directory: bytes = b"d",
    ) -> None:
        """A scan did not find these."""
        record = PageRecord(
            directory=directory,
            complete=True,
            scan_number=scan,
            absent=absent,
            absent_directories=tuple(directories),
        )
        assert store.record_page(lease, record)

    @staticmethod
    def absent(store: MediaStateStore, scan: int = 1, *, source: str = SOURCE, limit: int = 1_000) -> list[bytes]:
        """All candidates, read in portions, sorted."""
        found: list[bytes] = []
        while portion := store.absent_assets(source, scan, after=found[-1] if found else None, limit=limit):
            assert len(portion) <= limit
            found += [state.asset_id for state in portion]
        assert len(found) == len(set(found)), "each comes once"
        return sorted(found)

    def test_a_candidate_is_still_present(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        before = self.state(store, "d/a")
        self.miss(store, lease, b"d/a")
        assert self.absent(store) == [b"d/a"]
        assert self.state(store, "d/a") == before
        assert store.count_assets(SOURCE) == (2, 0)
        assert self.summary(store.diff_page(self.page("d", "b"))) == ([], [], [b"a"], 1)

    def test_a_scan_answers_for_itself_and_earlier_ones(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        self.miss(store, lease, b"d/a", scan=5)
        self.miss(store, lease, b"d/a", b"d/b", scan=7)
        assert [self.absent(store, scan) for scan in (4, 5, 6, 7, 8)] == [
            [],
            [b"d/a"],
            [b"d/a"],
            [b"d/a", b"d/b"],
            [b"d/a", b"d/b"],
        ]

    def test_an_asset_that_is_on_a_page_again_is_named_and_then_no_candidate(
        self, store: MediaStateStore, lease: ScanLease
    ) -> None:
        # A scan that was cut off, of a share that showed nothing for a moment, has marked what the next one finds.
        self.remember(store, lease, "d/a", "d/b", "d/c")
        self.miss(store, lease, b"d/a", b"d/c")
        page = self.page("d", "a", "b")
        diff = store.diff_page(page)
        assert self.summary(diff) == ([], [], [b"c"], 2)
        assert [each.asset_id for each in diff.found_again] == [b"d/a"]
        self.record(store, lease, b"d", *diff.found_again)
        assert self.absent(store) == [b"d/c"]
        assert store.diff_page(page).found_again == ()

    def test_each_page_of_a_directory_finds_its_own_again(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, *(f"d/{name}" for name in "abcd"))
        self.miss(store, lease, b"d/a", b"d/b", b"d/c", b"d/d")
        first = store.diff_page(self.page("d", "a", "b", complete=False))
        second = store.diff_page(self.page("d", "d"), after=b"b")
        assert [[each.name for each in diff.found_again] for diff in (first, second)] == [[b"a", b"b"], [b"d"]]

    def test_new_and_changed_assets_are_no_candidates_once_they_are_recorded(
        self, store: MediaStateStore, lease: ScanLease
    ) -> None:
        self.remember(store, lease, "d/a", "d/b")
        self.miss(store, lease, b"d/a", b"d/b")
        store.mark_missing(SOURCE, [b"d/b"])
        diff = store.diff_page(self.page("d", row("a", version=2), "b"))
        assert (self.summary(diff), diff.found_again) == (([b"b"], [b"a"], [], 0), ())
        self.record(store, lease, b"d", *diff.new, *diff.changed)
        assert self.absent(store) == []

    def test_a_fresh_look_ends_a_candidacy(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b", "d/c")
        self.miss(store, lease, b"d/a", b"d/b", b"d/c")
        store.update_seen(SOURCE, {b"d/a": asset("x").fingerprint, b"d/b": asset("x", version=2).fingerprint})
        assert self.absent(store) == [b"d/c"]

    def test_what_was_marked_missing_is_no_candidate(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        self.miss(store, lease, b"d/a", b"d/b")
        assert store.mark_missing(SOURCE, [b"d/a"]) == 1
        assert self.absent(store) == [b"d/b"]
        store.update_seen(SOURCE, {b"d/a": asset("x").fingerprint})
        assert self.absent(store) == [b"d/b"]

    def test_a_directory_that_is_gone_takes_everything_below_with_it(
        self, store: MediaStateStore, lease: ScanLease
    ) -> None:
        gone = [b"d/e/a", b"d/e/b", b"d/e/f/a", b"d/e/f/g/a"]
        self.remember(store, lease, *gone, "d/a", "d/e-f/a", "d/ef/a", "e/a", "a", "d/e/missing")
        store.mark_missing(SOURCE, [b"d/e/missing"])
        self.remember(store, self.acquire(store, OTHER), "d/e/a")
        self.miss(store, lease, directories=[b"d/e", b"nowhere"])
        assert self.absent(store) == gone
        assert self.absent(store, source=OTHER) == []

    def test_what_nobody_knows_is_no_candidate(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        self.miss(store, lease, b"d/b", b"nowhere/a")
        assert self.absent(store) == []
        self.remember(store, lease, "d/b", "nowhere/a")
        assert self.absent(store) == []

    def test_candidates_come_in_portions(self, store: MediaStateStore, lease: ScanLease) -> None:
        ids = [b"d%d/%s%02d" % (number % 3, HOSTILE_NAMES[1], number) for number in range(25)]
        self.remember(store, lease, *ids)
        self.miss(store, lease, *ids)
        assert self.absent(store, limit=7) == sorted(ids)
        assert self.absent(store, limit=1) == sorted(ids)
        after, marked = None, 0
        while portion := store.absent_assets(SOURCE, 1, after=after, limit=4):
            after = portion[-1].asset_id
            marked += store.mark_missing(SOURCE, [state.asset_id for state in portion])
        assert marked == 25

    def test_a_lost_lease_marks_nothing(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        self.remember(store, lease, "d/a", "e/a")
        clock.advance(timedelta(minutes=10))
        self.acquire(store)
        record = PageRecord(directory=b"d", absent=(b"d/a",), absent_directories=(b"e",), listing=_LISTING)
        assert not store.record_page(lease, record)
        assert self.absent(store) == []
        assert store.known_listing(SOURCE, b"d") is None

    def test_forgetting_forgets_candidates(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        self.miss(store, lease, b"d/a")
        store.forget_seen(SOURCE)
        self.remember(store, lease, "d/a")
        assert self.absent(store) == []


class ListingContract(MediaStateStoreSuite):
    """`known_listing`, `PageRecord.listing` and `PageDiff.listing`."""

    @staticmethod
    def listed(store: MediaStateStore, lease: ScanLease, directory: bytes, listing: KnownListing | None) -> None:
        """Record a complete listing."""
        assert store.record_page(lease, PageRecord(directory=directory, complete=True, listing=listing))

    @pytest.mark.parametrize(
        "listing",
        [
            _LISTING,
            attrs.evolve(_LISTING, directories=(), trusted=False, stamp=DirectoryStamp(0, 0)),
            attrs.evolve(_LISTING, directories=tuple(sorted(HOSTILE_NAMES))),
        ],
    )
    def test_a_listing_comes_back(self, store: MediaStateStore, lease: ScanLease, listing: KnownListing) -> None:
        for directory in (b"", b"d/e", HOSTILE_NAMES[0]):
            self.listed(store, lease, directory, listing)
            assert store.known_listing(SOURCE, directory) == listing
            assert store.diff_page(self.page(directory)).listing == listing
            assert store.diff_page(self.page(directory, "a")).listing == listing

    def test_none_leaves_the_listing(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.listed(store, lease, b"d", _LISTING)
        self.listed(store, lease, b"d", None)
        self.record(store, lease, b"d", asset("d/a"), complete=False)
        assert store.known_listing(SOURCE, b"d") == _LISTING
        newer = attrs.evolve(_LISTING, directories=(b"c",), since_ns=9)
        self.listed(store, lease, b"d", newer)
        assert store.known_listing(SOURCE, b"d") == newer

    def test_a_directory_that_nobody_listed_has_none(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        self.listed(store, lease, b"d/e", _LISTING)
        for source, directory in ((SOURCE, b"d"), (SOURCE, b""), (SOURCE, b"d/e/f"), (OTHER, b"d/e")):
            assert store.known_listing(source, directory) is None
        assert store.diff_page(self.page("d", "a")) == PageDiff(unchanged=1)

    def test_a_listing_is_not_trusted_while_something_is_marked_absent(
        self, store: MediaStateStore, lease: ScanLease
    ) -> None:
        # Or the directory would be left unlisted, and a file that is back would keep its mark.
        self.remember(store, lease, "d/a", "e/a", "e/f/a", "g/a", "e-f/a")
        for directory in (b"d", b"e", b"e/f", b"g", b"e-f"):
            self.listed(store, lease, directory, _LISTING)
        record = PageRecord(directory=b"", scan_number=1, absent=(b"d/a",), absent_directories=(b"e",))
        assert store.record_page(lease, record)
        trusted = []
        for directory in (b"d", b"e", b"e/f", b"g", b"e-f"):
            listing = store.known_listing(SOURCE, directory)
            assert listing is not None
            assert attrs.evolve(listing, trusted=True) == _LISTING
            trusted.append(listing.trusted)
        assert trusted == [False, False, False, True, True]

    def test_forgetting_forgets_listings(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.listed(store, lease, b"d", _LISTING)
        store.forget_seen(SOURCE)
        self.listed(store, lease, b"d", None)
        assert store.known_listing(SOURCE, b"d") is None


class MoveContract(MediaStateStoreSuite):
    """`same_version`, `move_asset`, `sample_assets`, `undescribed`."""

    def test_assets_of_the_same_version_are_found(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/a"), asset("d/b", version=2), asset("d/c", version=3), asset("d/e"))
        self.remember(store, self.acquire(store, OTHER), "d/a")
        store.mark_missing(SOURCE, [b"d/e"])
        wanted = [asset("x", version=version).fingerprint for version in (1, 2, 9)]
        found = store.same_version(SOURCE, wanted)
        assert sorted((state.asset_id, state.missing_since_ns is None) for state in found) == [
            (b"d/a", True),
            (b"d/b", True),
            (b"d/e", False),
        ]
        assert store.same_version(SOURCE, []) == ()

    def test_no_more_than_a_hundred_of_a_version_are_found(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", *(asset(f"d/{number}") for number in range(120)), asset("d/x", version=2))
        found = store.same_version(SOURCE, [asset("x").fingerprint, asset("x", version=2).fingerprint])
        assert len(found) == 101

    def test_what_is_known_goes_with_a_moved_asset(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock
    ) -> None:
        began = clock.now_ns()
        self.record(store, lease, b"d", asset("d/a", file_id=3), asset("d/b"), baseline=True)
        store.save_metadata(SOURCE, b"d/a", asset("x").fingerprint, _METADATA)
        clock.advance(5)
        assert store.move_asset(SOURCE, b"d/a", asset("e/f/z", file_id=4))
        moved = self.state(store, "e/f/z")
        assert (moved.asset, moved.baseline) == (asset("e/f/z", file_id=4), True)
        assert (moved.first_seen_ns, moved.unchanged_since_ns) == (began, began)
        assert moved.current_metadata == _METADATA
        assert store.assets(SOURCE, [b"d/a"]) == (None,)
        assert store.count_assets(SOURCE) == (2, 0)
        assert store.diff_page(self.page("d", "b")) == PageDiff(unchanged=1)
        assert self.summary(store.diff_page(self.page("d", "a", "b"))) == ([b"a"], [], [], 1)
        assert self.summary(store.diff_page(self.page("e/f", "z"))) == ([], [], [], 1)

    def test_a_moved_asset_takes_the_place_of_what_was_there(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/a"), asset("d/b", version=2))
        store.save_metadata(SOURCE, b"d/b", asset("x", version=2).fingerprint, _METADATA)
        assert store.move_asset(SOURCE, b"d/a", asset("d/b"))
        assert self.state(store, "d/b").fingerprint == asset("x").fingerprint
        assert self.state(store, "d/b").metadata is None
        assert store.count_assets(SOURCE) == (1, 0)
        assert store.diff_page(self.page("d", "b")) == PageDiff(unchanged=1)

    def test_an_asset_that_is_not_known_moves_nothing(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/b")
        store.save_metadata(SOURCE, b"d/b", asset("x").fingerprint, _METADATA)
        before = self.state(store, "d/b")
        for source, asset_id in ((SOURCE, b"d/a"), (SOURCE, b"nowhere/a"), (OTHER, b"d/b")):
            assert not store.move_asset(source, asset_id, asset("d/b", version=2, source=source))
        assert self.state(store, "d/b") == before
        assert store.count_assets(OTHER) == (0, 0)

    def test_an_asset_that_stays_where_it_is_keeps_everything(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        store.save_metadata(SOURCE, b"d/a", asset("x").fingerprint, _METADATA)
        before = self.state(store, "d/a")
        assert store.move_asset(SOURCE, b"d/a", asset("d/a"))
        assert self.state(store, "d/a") == before

    def test_a_missing_asset_that_was_moved_is_present(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        store.mark_missing(SOURCE, [b"d/a"])
        assert store.move_asset(SOURCE, b"d/a", asset("d/b"))
        assert store.count_assets(SOURCE) == (1, 0)
        assert self.present(store) == [b"d/b"]

    def test_a_moved_asset_is_no_candidate_for_absence(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b", "d/c")
        record = PageRecord(directory=b"d", scan_number=1, absent=(b"d/a", b"d/b", b"d/c"))
        assert store.record_page(lease, record)
        store.move_asset(SOURCE, b"d/a", asset("d/b"))
        store.move_asset(SOURCE, b"d/c", asset("e/c"))
        assert store.absent_assets(SOURCE, 1) == ()
        self.remember(store, lease, "d/a", "d/c")
        assert store.absent_assets(SOURCE, 1) == ()

    def test_a_sample_is_of_present_assets(self, store: MediaStateStore, lease: ScanLease) -> None:
        ids = [b"d/%02d" % number for number in range(40)]
        self.remember(store, lease, *ids, "gone")
        store.mark_missing(SOURCE, [b"gone"])
        self.remember(store, self.acquire(store, OTHER), "other")
        samples = [[state.asset_id for state in store.sample_assets(SOURCE, 8)] for _ in range(6)]
        assert all(len(set(sample)) == 8 and set(sample) <= set(ids) for sample in samples)
        assert len({frozenset(sample) for sample in samples}) > 1, "the same eight of forty, six times over"
        assert {state.asset_id for state in store.sample_assets(SOURCE, 100)} == set(ids)
        assert store.sample_assets("unheard of", 5) == ()

    def test_assets_without_metadata_of_their_version_are_undescribed(
        self, store: MediaStateStore, lease: ScanLease
    ) -> None:
        self.remember(store, lease, "a", "d/a", "d/b", "d/c", "d/e/a", "e/a")
        store.save_metadata(SOURCE, b"d/a", asset("x").fingerprint, _METADATA)
        store.save_metadata(SOURCE, b"d/b", asset("x", version=2).fingerprint, _METADATA)
        store.mark_missing(SOURCE, [b"d/c"])
        expected = [b"a", b"d/b", b"d/e/a", b"e/a"]
        for limit in (1, 2, 3, 10):
            found: list[bytes] = []
            while portion := store.undescribed(SOURCE, after=found[-1] if found else None, limit=limit):
                assert len(portion) <= limit
                found += [state.asset_id for state in portion]
            assert sorted(found) == expected
        store.update_seen(SOURCE, {b"d/a": asset("x", version=3).fingerprint})
        assert sorted(state.asset_id for state in store.undescribed(SOURCE)) == [b"a", b"d/a", *expected[1:]]
        assert store.undescribed(OTHER) == ()
