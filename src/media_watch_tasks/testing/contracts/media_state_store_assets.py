"""MediaStateStore suite: single assets, apart from scans."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

import threading

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.metadata import AudioTrack, MediaMetadata, VideoTrack
from media_watch_tasks.model.sources import PageDiff, ScanLease, SourceState
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import (
    HOSTILE_NAMES,
    OTHER,
    SOURCE,
    MediaStateStoreSuite,
    asset,
    row,
)

__all__ = ["KnownAssetContract"]

_METADATA = MediaMetadata(
    container="mov",
    duration=12.5,
    title="lone \ud800, escaped \udcff, 日本",
    video=(VideoTrack(codec="hevc", width=3840, height=2160),),
    audio=(AudioTrack(codec="aac", channels=6),),
    tags={"k": "v"},
    warnings=("cut off",),
)
_V1, _V2, _V3 = (asset("x", version=version).fingerprint for version in (1, 2, 3))


class KnownAssetContract(MediaStateStoreSuite):
    """`assets`, `iterate_assets`, `update_seen`, `mark_missing`, `save_metadata`, `forget_seen`, `count_assets`."""

    def test_assets_come_in_the_order_they_were_asked_for(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "a", "d/a", "d/b")
        asked = [b"d/b", b"nowhere", b"a", b"d/a", b"d", b"d/b", b"", b"e/a"]
        found = store.assets(SOURCE, asked)
        assert [state and state.asset_id for state in found] == [b"d/b", None, b"a", b"d/a", None, b"d/b", None, None]
        assert store.assets(SOURCE, []) == ()
        assert store.assets(OTHER, [b"a"]) == (None,)

    def test_many_assets_are_looked_up_at_once(self, store: MediaStateStore, lease: ScanLease) -> None:
        known = [b"d%d/%04d" % (number % 3, number) for number in range(1_500)]
        self.remember(store, lease, *known)
        asked = [each for asset_id in known for each in (asset_id, asset_id + b"?")]
        assert [state and state.asset_id for state in store.assets(SOURCE, asked)] == [
            None if asset_id.endswith(b"?") else asset_id for asset_id in asked
        ]

    def test_present_assets_are_iterated_in_the_order_of_a_scan(self, store: MediaStateStore, lease: ScanLease) -> None:
        ordered = [b"a", b"z", b"d/a", b"d/b", b"d/e/a", b"d-e/a", b"de/a"]
        self.remember(store, lease, *reversed(ordered), "d/gone")
        store.mark_missing(SOURCE, [b"d/gone"])
        self.remember(store, self.acquire(store, OTHER), "other")
        assert self.present(store) == ordered
        assert self.present(store, OTHER) == [b"other"]
        assert self.present(store, "unheard of") == []

    def test_every_asset_of_many_is_iterated_once(self, store: MediaStateStore, lease: ScanLease) -> None:
        flat = [b"flat/%05d" % number for number in range(2_100)]
        small = [b"s%04d/a" % number for number in range(1_100)]
        self.remember(store, lease, *flat, *small)
        assert self.present(store) == [*flat, *small]

    def test_iterating_goes_on_while_others_write(self, store: MediaStateStore, lease: ScanLease) -> None:
        ids = [b"d%02d/%03d" % (number // 100, number % 100) for number in range(2_500)]
        self.remember(store, lease, *ids)
        seen = []
        for number, state in enumerate(store.iterate_assets(SOURCE)):
            seen.append(state.asset_id)
            if number % 400 == 0:
                store.mark_missing(SOURCE, [state.asset_id])
                store.update_seen(SOURCE, {state.asset_id: _V2})
        assert seen == ids

    def test_any_name_comes_back_exactly(self, store: MediaStateStore, lease: ScanLease) -> None:
        ids = [*self.ids(b"", HOSTILE_NAMES), *self.ids(HOSTILE_NAMES[0], HOSTILE_NAMES)]
        self.remember(store, lease, *ids)
        assert [state and state.asset_id for state in store.assets(SOURCE, ids)] == ids
        assert set(self.present(store)) == set(ids)

    def test_a_fresh_look_is_a_change(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        began = clock.now_ns()
        self.record(store, lease, b"d", asset("d/a", file_id=3), asset("d/b"), baseline=True)
        clock.advance(5)
        store.update_seen(SOURCE, {b"d/a": _V2, b"d/b": _V1})
        changed, same = self.state(store, "d/a"), self.state(store, "d/b")
        assert (changed.fingerprint, changed.file_id, changed.baseline) == (_V2, 3, False)
        assert (changed.first_seen_ns, changed.unchanged_since_ns) == (began, clock.now_ns())
        assert (same.fingerprint, same.baseline, same.unchanged_since_ns) == (_V1, True, began)

    def test_a_page_is_compared_with_the_latest_look(self, store: MediaStateStore, lease: ScanLease) -> None:
        page = self.page("d", "a", "b")
        self.record(store, lease, b"d", *page.assets)
        store.update_seen(SOURCE, {b"d/a": _V2})
        assert self.summary(store.diff_page(page)) == ([], [b"a"], [], 1)
        assert store.diff_page(self.page("d", row("a", version=2), "b")) == PageDiff(unchanged=2)
        store.update_seen(SOURCE, {b"d/a": _V1})
        assert store.diff_page(page) == PageDiff(unchanged=2)

    def test_a_fresh_look_brings_a_missing_asset_back(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        store.mark_missing(SOURCE, [b"d/a"])
        store.update_seen(SOURCE, {b"d/a": _V1})
        assert self.state(store, "d/a").missing_since_ns is None
        assert store.diff_page(self.page("d", "a")) == PageDiff(unchanged=1)

    def test_a_fresh_look_at_an_unknown_asset_leaves_it_new(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        store.update_seen(SOURCE, {b"d/b": _V1, b"e/a": _V1})
        store.update_seen(OTHER, {b"d/a": _V2})
        store.update_seen(SOURCE, {})
        assert store.count_assets(SOURCE) == (1, 0)
        assert store.count_assets(OTHER) == (0, 0)
        assert self.summary(store.diff_page(self.page("d", "a", "b"))) == ([b"b"], [], [], 1)

    def test_missing_assets_are_marked_once(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        self.remember(store, lease, "a", "d/a", "d/b", "d/c")
        gone_ns = clock.now_ns()
        assert store.mark_missing(SOURCE, [b"d/a", b"nowhere", b"a", b"e/a"]) == 2
        clock.advance(5)
        assert store.mark_missing(SOURCE, [b"d/a", b"d/b"]) == 1
        assert store.mark_missing(SOURCE, []) == 0
        assert store.mark_missing(OTHER, [b"d/c"]) == 0
        states = [self.state(store, name) for name in ("a", "d/a", "d/b", "d/c")]
        assert [state.missing_since_ns for state in states] == [gone_ns, gone_ns, clock.now_ns(), None]
        assert self.present(store) == [b"d/c"]
        assert store.count_assets(SOURCE) == (1, 3)

    def test_a_page_that_still_shows_a_missing_asset_says_new(self, store: MediaStateStore, lease: ScanLease) -> None:
        page = self.page("d", "a", "b")
        self.record(store, lease, b"d", *page.assets)
        assert store.diff_page(page).unchanged == 2
        store.mark_missing(SOURCE, [b"d/a"])
        assert self.summary(store.diff_page(page)) == ([b"a"], [], [], 1)

    def test_many_assets_are_marked_at_once(self, store: MediaStateStore, lease: ScanLease) -> None:
        ids = [b"d%d/%04d" % (number % 3, number) for number in range(1_000)]
        self.remember(store, lease, *ids)
        assert store.mark_missing(SOURCE, ids[100:]) == 900
        assert self.present(store) == sorted(ids[:100])

    def test_metadata_describes_its_version(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a", "d/b")
        store.save_metadata(SOURCE, b"d/a", _V1, _METADATA)
        state = self.state(store, "d/a")
        assert (state.metadata, state.metadata_fingerprint, state.current_metadata) == (_METADATA, _V1, _METADATA)
        assert self.state(store, "d/b").metadata is None
        assert [each.metadata for each in store.iterate_assets(SOURCE)] == [_METADATA, None]
        store.update_seen(SOURCE, {b"d/a": _V2})
        state = self.state(store, "d/a")
        assert (state.metadata, state.metadata_fingerprint, state.current_metadata) == (_METADATA, _V1, None)

    def test_metadata_is_replaced_by_a_later_probe(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        better = MediaMetadata(container="mp4")
        for metadata, fingerprint in ((_METADATA, _V3), (better, _V2), (_METADATA, _V1), (better, _V1)):
            store.save_metadata(SOURCE, b"d/a", fingerprint, metadata)
            state = self.state(store, "d/a")
            assert (state.metadata, state.metadata_fingerprint) == (metadata, fingerprint)

    def test_metadata_of_the_version_that_stands_there_stays(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.remember(store, lease, "d/a")
        store.save_metadata(SOURCE, b"d/a", _V1, _METADATA)
        store.save_metadata(SOURCE, b"d/a", _V2, MediaMetadata(container="late"))
        assert self.state(store, "d/a").current_metadata == _METADATA

    def test_metadata_of_an_unknown_asset_is_dropped(self, store: MediaStateStore, lease: ScanLease) -> None:
        store.save_metadata(SOURCE, b"d/a", _V1, _METADATA)
        assert store.assets(SOURCE, [b"d/a"]) == (None,)
        self.remember(store, lease, "d/a")
        assert self.state(store, "d/a").metadata is None

    def test_forgetting_leaves_the_record_and_other_sources(self, store: MediaStateStore, lease: ScanLease) -> None:
        other = self.acquire(store, OTHER)
        for each in (lease, other):
            self.remember(store, each, "a", "d/a", "d/b")
            store.save_metadata(each.source_id, b"d/a", _V1, _METADATA)
            store.mark_missing(each.source_id, [b"a"])
        store.save_source(SourceState(source_id=SOURCE, scans=3, owed=frozenset({b"d"})), lease=lease)
        store.forget_seen(SOURCE)
        store.forget_seen("unheard of")
        assert store.count_assets(SOURCE) == (0, 0)
        assert store.assets(SOURCE, [b"a", b"d/a"]) == (None, None)
        assert store.diff_page(self.page("d", "a")) == PageDiff(
            new=tuple(self.page("d", "a").assets), listed_before=False
        )
        assert store.source(SOURCE) == SourceState(source_id=SOURCE, scans=3, owed=frozenset({b"d"}))
        assert store.count_assets(OTHER) == (2, 1)
        assert self.state(store, "d/a", OTHER).current_metadata == _METADATA
        self.remember(store, lease, "d/a")
        assert self.state(store, "d/a").metadata is None

    def test_assets_are_counted_by_source(self, store: MediaStateStore, lease: ScanLease) -> None:
        assert store.count_assets(SOURCE) == (0, 0)
        self.remember(store, lease, "a", "d/a", "d/b")
        self.remember(store, self.acquire(store, OTHER), "a")
        store.mark_missing(SOURCE, [b"d/a"])
        assert (store.count_assets(SOURCE), store.count_assets(OTHER)) == ((2, 1), (1, 0))

    def test_threads_do_not_lose_each_others_writes(self, store: MediaStateStore, lease: ScanLease) -> None:
        names = [[b"d/%d-%02d" % (thread, number) for number in range(25)] for thread in range(4)]
        self.remember(store, lease, *(asset_id for part in names for asset_id in part))
        failures: list[BaseException] = []

        def work(part: list[bytes]) -> None:
            try:
                for number, asset_id in enumerate(part):
                    store.update_seen(SOURCE, {asset_id: Fingerprint(number, 0)})
                    store.mark_missing(SOURCE, [asset_id][: number % 2])
                    store.diff_page(self.page("d", "a"))
            except BaseException as error:  # noqa: BLE001 - a thread hands over whatever ended it
                failures.append(error)

        threads = [threading.Thread(target=work, args=(part,)) for part in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for part in names:
            states = store.assets(SOURCE, part)
            assert [state and state.fingerprint.size for state in states] == list(range(25))
            assert sum(state is not None and state.missing_since_ns is None for state in states) == 13
