"""MediaStateStore suite: pages of a scan against what is known, and how they are written."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from datetime import timedelta

import pytest

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.model.scans import ProblemKind, ScanPage, ScanProblem
from media_watch_tasks.model.sources import PageDiff, PageRecord, ScanLease
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import (
    HOSTILE_NAMES,
    MTIME,
    OTHER,
    SOURCE,
    MediaStateStoreSuite,
    asset,
    row,
)

__all__ = ["PageDiffContract", "PageRecordContract"]

_LIMIT = 2**63 - 1


class PageDiffContract(MediaStateStoreSuite):
    """`diff_page`."""

    def test_everything_is_new_in_a_directory_that_nobody_listed(self, store: MediaStateStore) -> None:
        page = self.page("2026", "a", "b")
        assert store.diff_page(page) == PageDiff(new=tuple(page.assets), listed_before=False)
        assert store.diff_page(page) == PageDiff(new=tuple(page.assets), listed_before=False), "a diff writes nothing"

    def test_what_was_recorded_is_unchanged(self, store: MediaStateStore, lease: ScanLease) -> None:
        page = self.page("2026", "a", "b")
        self.record(store, lease, b"2026", *page.assets)
        assert store.diff_page(page) == PageDiff(unchanged=2)

    @pytest.mark.parametrize(
        "now",
        [
            pytest.param((b"a", 999, MTIME + 1), id="smaller"),
            pytest.param((b"a", 1_002, MTIME + 1), id="larger"),
            pytest.param((b"a", 1_001, MTIME + 2), id="later by a nanosecond"),
            pytest.param((b"a", 1_001, MTIME), id="earlier by a nanosecond"),
            pytest.param((b"a", 1_001, -MTIME), id="before 1970"),
        ],
    )
    def test_another_size_or_mtime_is_a_change(
        self, store: MediaStateStore, lease: ScanLease, now: tuple[bytes, int, int]
    ) -> None:
        self.remember(store, lease, "d/a", "d/b")
        page = self.page("d", now, "b")
        assert store.diff_page(page) == PageDiff(changed=(page.assets[0],), unchanged=1)

    def test_another_file_id_is_no_change(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/a", file_id=1))
        page = ScanPage(SOURCE, b"d", (row("a"),), (2,))
        assert store.diff_page(page) == PageDiff(unchanged=1)

    def test_a_new_asset_brings_its_file_id(self, store: MediaStateStore) -> None:
        page = ScanPage(SOURCE, b"d", (row("a"), row("b")), (None, 7))
        assert [each.file_id for each in store.diff_page(page).new] == [None, 7]

    def test_known_assets_that_are_not_on_the_page_are_missing(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b", "d/c")
        assert store.diff_page(self.page("d", "b")) == PageDiff(missing=(b"d/a", b"d/c"), unchanged=1)
        assert self.summary(store.diff_page(self.page("d"))) == ([], [], [b"a", b"b", b"c"], 0)

    def test_equal_numbers_do_not_hide_a_rename(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        assert self.summary(store.diff_page(self.page("d", "a", "c"))) == ([b"c"], [], [b"b"], 1)

    def test_an_asset_known_as_missing_is_new_when_it_is_back(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        store.mark_missing(SOURCE, [b"d/a"])
        assert self.summary(store.diff_page(self.page("d", "a", "b"))) == ([b"a"], [], [], 1)
        assert self.summary(store.diff_page(self.page("d", "b"))) == ([], [], [], 1), "missing is said once"

    def test_each_page_of_a_directory_speaks_for_its_own_names(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, *(f"d/{name}" for name in "abcdefgh"))
        first = store.diff_page(self.page("d", "b", "c", complete=False))
        second = store.diff_page(self.page("d", "e", complete=False), after=b"c")
        third = store.diff_page(self.page("d", "g"), after=b"e")
        assert [self.summary(diff)[2] for diff in (first, second, third)] == [[b"a"], [b"d"], [b"f", b"h"]]
        assert [diff.unchanged for diff in (first, second, third)] == [2, 1, 1]

    def test_an_empty_last_page_speaks_for_the_rest(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b", "d/c")
        assert self.summary(store.diff_page(self.page("d"), after=b"a")) == ([], [], [b"b", b"c"], 0)

    @pytest.mark.parametrize("after", [None, b"a"])
    def test_a_page_that_could_not_be_read_makes_nothing_missing(
        self, store: MediaStateStore, lease: ScanLease, after: bytes | None
    ) -> None:
        self.remember(store, lease, "d/a", "d/b")
        problem = ScanProblem(b"d", ProblemKind.UNREADABLE, "permission denied")
        page = ScanPage(SOURCE, b"d", complete=False, problems=(problem,))
        assert store.diff_page(page, after=after) == PageDiff()

    def test_nothing_behind_the_end_of_an_incomplete_page_is_missing(
        self, store: MediaStateStore, lease: ScanLease
    ) -> None:
        self.remember(store, lease, "d/a", "d/b", "d/c")
        assert self.summary(store.diff_page(self.page("d", "b", complete=False))) == ([], [], [b"a"], 1)

    def test_an_unlisted_directory_counts_what_is_known_of_it(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b", "d/c")
        store.mark_missing(SOURCE, [b"d/b"])
        page = ScanPage(SOURCE, b"d", unchanged=True)
        assert store.diff_page(page) == PageDiff(unchanged=2)
        assert store.diff_page(ScanPage(SOURCE, b"e", unchanged=True)) == PageDiff(listed_before=False)

    def test_directories_and_sources_do_not_mix(self, store: MediaStateStore, lease: ScanLease) -> None:
        ids = ("a", "d/a", "d/e/a", "d-e/a", "d/e-f/a", "de/a")
        self.remember(store, lease, *ids)
        self.remember(store, self.acquire(store, OTHER), "d/a", "d/x")
        for directory in ("", "d", "d/e", "d-e", "d/e-f", "de"):
            assert store.diff_page(self.page(directory, "a")) == PageDiff(unchanged=1), directory
            assert self.summary(store.diff_page(self.page(directory)))[2] == [b"a"], directory
        assert self.summary(store.diff_page(self.page("d", "a", source=OTHER))) == ([], [], [b"x"], 1)

    def test_any_name_is_compared_byte_by_byte(self, store: MediaStateStore, lease: ScanLease) -> None:
        for directory in (b"", *HOSTILE_NAMES):
            page = self.page(directory, *HOSTILE_NAMES)
            self.record(store, lease, directory, *page.assets)
            assert store.diff_page(page) == PageDiff(unchanged=len(HOSTILE_NAMES)), directory
        twins = (b"Foo.jpg", b"foo.jpg", "é.jpg".encode(), "e\u0301.jpg".encode())
        self.record(store, lease, b"twins", *self.page("twins", *twins[::2]).assets)
        assert self.summary(store.diff_page(self.page("twins", *twins)))[0] == sorted(twins[1::2])

    @pytest.mark.parametrize("twice", ["a", "b", "c"])
    def test_a_known_asset_that_is_listed_twice_is_not_new(
        self, store: MediaStateStore, lease: ScanLease, twice: str
    ) -> None:
        # Servers give an entry twice where the directory changes under the listing.
        self.remember(store, lease, "d/a", "d/b", "d/c")
        assert store.diff_page(self.page("d", "a", "b", "c", twice)) == PageDiff(unchanged=4)
        others = [name for name in "abc" if name != twice]
        diff = store.diff_page(self.page("d", twice, twice, others[0]))
        assert self.summary(diff) == ([], [], [others[1].encode()], 3)
        newer = row(twice, version=2)
        diff = store.diff_page(self.page("d", "a", "b", "c", newer))
        assert self.summary(diff) == ([], [twice.encode()], [], 3)

    @pytest.mark.parametrize("extreme", [0, 1, -1, _LIMIT, -_LIMIT])
    def test_the_whole_range_of_64_bits_is_compared(
        self, store: MediaStateStore, lease: ScanLease, extreme: int
    ) -> None:
        page = self.page("d", (b"a", abs(extreme), extreme))
        self.record(store, lease, b"d", *page.assets)
        assert store.diff_page(page) == PageDiff(unchanged=1)
        assert self.state(store, "d/a").fingerprint == (abs(extreme), extreme)

    def test_a_large_directory_is_compared_page_by_page(self, store: MediaStateStore, lease: ScanLease) -> None:
        names = [b"%05d" % number for number in range(2_500)]
        pages = [names[:1_000], names[1_000:2_000], names[2_000:]]
        after: bytes | None = None
        for number, part in enumerate(pages):
            page = self.page("d", *part, complete=number == 2)
            assert self.summary(store.diff_page(page, after=after)) == (part, [], [], 0)
            self.record(store, lease, b"d", *page.assets, complete=page.complete)
            after = part[-1]
        after = None
        for number, part in enumerate(pages):
            left = part[5:]
            page = self.page("d", *left, complete=number == 2)
            assert self.summary(store.diff_page(page, after=after)) == ([], [], part[:5], len(left))
            after = part[-1]


class PageRecordContract(MediaStateStoreSuite):
    """`record_page`."""

    def test_an_asset_is_kept_as_it_was_seen(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        seen = asset("d/a", file_id=5)
        self.record(store, lease, b"d", seen)
        state = self.state(store, "d/a")
        assert (state.asset, state.fingerprint) == (seen, seen.fingerprint)
        assert (state.first_seen_ns, state.unchanged_since_ns, state.missing_since_ns) == (clock.now_ns(),) * 2 + (
            None,
        )
        assert (state.baseline, state.metadata, state.metadata_fingerprint) == (False, None, None)

    @pytest.mark.parametrize("file_id", [None, 0, 2**63 - 1, 2**63, 2**64 - 1, 2**128 - 1, -1])
    def test_any_file_id_is_kept(self, store: MediaStateStore, lease: ScanLease, file_id: int | None) -> None:
        self.record(store, lease, b"d", asset("d/a", file_id=file_id))
        assert self.state(store, "d/a").file_id == file_id

    def test_a_change_starts_the_time_it_stands_still_anew(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock
    ) -> None:
        began = clock.now_ns()
        self.record(store, lease, b"d", asset("d/a"), asset("d/b"))
        clock.advance(5)
        self.record(store, lease, b"d", asset("d/a", version=2, file_id=9))
        changed, other = self.state(store, "d/a"), self.state(store, "d/b")
        assert changed.asset == asset("d/a", version=2, file_id=9)
        assert (changed.first_seen_ns, changed.unchanged_since_ns) == (began, clock.now_ns())
        assert (other.first_seen_ns, other.unchanged_since_ns) == (began, began)
        assert store.diff_page(self.page("d", row("a", version=2), "b")) == PageDiff(unchanged=2)

    def test_recording_again_changes_nothing(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        record = PageRecord(
            directory=b"d", seen=(asset("d/a", file_id=1), asset("d/b")), complete=True, checkpoint="here"
        )
        assert store.record_page(lease, record)
        before = store.assets(SOURCE, [b"d/a", b"d/b"])
        clock.advance(5)
        assert store.record_page(lease, record)
        assert store.assets(SOURCE, [b"d/a", b"d/b"]) == before
        assert store.count_assets(SOURCE) == (2, 0)

    def test_a_missing_asset_is_present_again(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        began = clock.now_ns()
        self.remember(store, lease, "d/a")
        store.mark_missing(SOURCE, [b"d/a"])
        clock.advance(5)
        self.remember(store, lease, "d/a")
        state = self.state(store, "d/a")
        assert (state.missing_since_ns, state.first_seen_ns, state.unchanged_since_ns) == (None, began, clock.now_ns())
        assert store.diff_page(self.page("d", "a")) == PageDiff(unchanged=1)

    def test_the_baseline_marks_what_it_found(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/sent"))
        self.record(store, lease, b"d", asset("d/a"), asset("d/b"), baseline=True)
        self.record(store, lease, b"d", asset("d/c"))
        assert self._marked(store, "sent", "a", "b", "c") == [False, True, True, False]
        # A baseline that goes on after a crash meets versions of its own and of others.
        self.record(store, lease, b"d", asset("d/a", version=2), asset("d/sent", version=2), baseline=True)
        assert self._marked(store, "sent", "a", "b", "c") == [False, True, True, False]

    def test_a_version_that_no_baseline_recorded_is_not_marked(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/a"), asset("d/b"), asset("d/c"), baseline=True)
        self.record(store, lease, b"d", asset("d/a", version=2), asset("d/b"))
        store.mark_missing(SOURCE, [b"d/c"])
        self.record(store, lease, b"d", asset("d/c"))
        assert self._marked(store, "a", "b", "c") == [False, True, False]

    def test_a_missing_asset_that_a_baseline_finds_is_marked(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/a"))
        store.mark_missing(SOURCE, [b"d/a"])
        self.record(store, lease, b"d", asset("d/a"), baseline=True)
        assert self._marked(store, "a") == [True]

    def test_a_complete_page_makes_the_directory_listed(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/a"), complete=False)
        assert not store.diff_page(self.page("d", "a")).listed_before
        self.record(store, lease, b"d", asset("d/b"))
        self.record(store, lease, b"d", asset("d/c"), complete=False)
        assert store.diff_page(self.page("d", "a", "b", "c")) == PageDiff(unchanged=3, listed_before=True)

    def test_an_empty_directory_is_listed_too(self, store: MediaStateStore, lease: ScanLease) -> None:
        assert store.diff_page(self.page("d")) == PageDiff(listed_before=False)
        self.record(store, lease, b"d")
        assert store.diff_page(self.page("d")) == PageDiff(listed_before=True)
        assert store.diff_page(self.page("d", "a")).listed_before
        assert not store.diff_page(self.page("d/e")).listed_before

    def test_a_checkpoint_is_kept_and_none_leaves_it(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.record(store, lease, b"d", asset("d/a"), checkpoint="first")
        self.record(store, lease, b"e", asset("e/a"))
        assert store.source(SOURCE).checkpoint == "first"
        self.record(store, lease, b"f", complete=False, checkpoint="second \udcff")
        assert store.source(SOURCE).checkpoint == "second \udcff"

    def test_an_empty_record_writes_nothing(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        before = store.source(SOURCE), self.state(store, "d/a")
        self.record(store, lease, b"d", complete=False)
        self.record(store, lease, b"unheard of", complete=False)
        assert (store.source(SOURCE), self.state(store, "d/a")) == before
        assert not store.diff_page(self.page("unheard of")).listed_before

    @pytest.mark.parametrize("how", ["lost", "given back", "of another boot, and lost"])
    def test_a_lost_lease_writes_nothing(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock, how: str
    ) -> None:
        self.remember(store, lease, "d/a")
        if how == "given back":
            store.release_scan(lease)
        elif how == "lost":
            clock.advance(timedelta(minutes=10))
            self.acquire(store)
        else:
            clock.reboot()
            self.acquire(store)
        seen = (asset("d/a", version=2), asset("d/b"))
        for record in (
            PageRecord(directory=b"d", seen=seen, complete=True, checkpoint="stale"),
            PageRecord(directory=b"e", complete=True),
            PageRecord(directory=b"d", checkpoint="stale"),
            PageRecord(directory=b"d"),
        ):
            assert not store.record_page(lease, record), record
        assert store.diff_page(self.page("d", "a")) == PageDiff(unchanged=1)
        assert store.assets(SOURCE, [b"d/b"]) == (None,)
        assert not store.diff_page(self.page("e")).listed_before
        assert store.source(SOURCE).checkpoint is None

    def test_a_lease_of_another_source_writes_nothing(self, store: MediaStateStore, lease: ScanLease) -> None:
        forged = ScanLease(OTHER, lease.token)
        assert not store.record_page(forged, PageRecord(directory=b"d", seen=(asset("d/a", source=OTHER),)))
        assert store.count_assets(OTHER) == (0, 0)

    @staticmethod
    def _marked(store: MediaStateStore, *names: str) -> list[bool]:
        states = store.assets(SOURCE, [f"d/{name}".encode() for name in names])
        return [state is not None and state.baseline for state in states]
