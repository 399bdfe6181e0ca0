"""Wrong media state stores, each of which the contract suite finds out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import pytest

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, join, split
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import AssetState, PageDiff, PageRecord, ScanLease, SourceState
from media_watch_tasks.stores.memory import media_state_store
from media_watch_tasks.stores.memory.media_state_store import MemoryMediaStateStore
from media_watch_tasks.stores.memory.source_entry import SourceEntry
from media_watch_tasks.stores.sqlite import known_assets, migrations

SUITE = "tests/contracts/test_media_state_store_memory.py::TestMemoryMediaStateStore"
SQLITE_SUITE = "tests/contracts/test_media_state_store_sqlite.py::TestSqliteMediaStateStore"
Kill = Callable[[Callable[[pytest.MonkeyPatch], None], str], None]
Mutant = type[MemoryMediaStateStore]

MUTANTS: list[tuple[Mutant, str]] = []


def killed_by(*tests: str) -> Callable[[Mutant], Mutant]:
    def register(mutant: Mutant) -> Mutant:
        MUTANTS.extend((mutant, test) for test in tests)
        return mutant

    return register


@killed_by("test_a_lost_lease_writes_nothing")
class IgnoresTheToken(MemoryMediaStateStore):
    """Writes for whoever asks."""

    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        current = ScanLease(lease.source_id, self._sources[lease.source_id].token)
        return super().record_page(current, record, baseline=baseline)


@killed_by("test_a_lost_lease_writes_nothing")
class WritesBeforeItChecks(MemoryMediaStateStore):
    """Answers rightly that the lease was lost, after it has written."""

    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        held = self._holds(lease)
        current = ScanLease(lease.source_id, self._place(lease.source_id).token)
        super().record_page(current, record, baseline=baseline)
        return held


@killed_by("test_a_record_is_saved_under_a_held_lease_alone")
class SavesRecordsWithoutLease(MemoryMediaStateStore):
    def save_source(self, state: SourceState, *, lease: ScanLease | None = None) -> bool:
        return super().save_source(state)


@killed_by("test_another_size_or_mtime_is_a_change")
class TimeRunsForwards(MemoryMediaStateStore):
    """Takes an earlier mtime for no change."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        diff = super().diff_page(page, after=after)
        known = self.assets(page.source_id, [each.asset_id for each in diff.changed])
        later = tuple(
            each
            for each, state in zip(diff.changed, known, strict=True)
            if state is None or each.mtime_ns > state.fingerprint.mtime_ns or each.size != state.fingerprint.size
        )
        unchanged = diff.unchanged + len(diff.changed) - len(later)
        return attrs.evolve(diff, changed=later, unchanged=unchanged)


@killed_by("test_another_size_or_mtime_is_a_change")
class SizeIsEnough(MemoryMediaStateStore):
    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        diff = super().diff_page(page, after=after)
        known = self.assets(page.source_id, [each.asset_id for each in diff.changed])
        sized = tuple(
            each
            for each, state in zip(diff.changed, known, strict=True)
            if state is None or each.size != state.fingerprint.size
        )
        return attrs.evolve(diff, changed=sized, unchanged=diff.unchanged + len(diff.changed) - len(sized))


@killed_by(
    "test_each_page_of_a_directory_speaks_for_its_own_names",
    "test_nothing_behind_the_end_of_an_incomplete_page_is_missing",
)
class EveryPageIsTheWholeDirectory(MemoryMediaStateStore):
    """Takes for missing what stands on the directory's other pages."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        return super().diff_page(attrs.evolve(page, complete=True))


@killed_by("test_a_page_that_could_not_be_read_makes_nothing_missing")
class AnUnreadableDirectoryIsEmpty(MemoryMediaStateStore):
    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        return super().diff_page(attrs.evolve(page, complete=page.complete or bool(page.problems)), after=after)


@killed_by("test_directories_and_sources_do_not_mix")
class PrefixIsFolder(MemoryMediaStateStore):
    """Counts what is below a directory as part of it."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        diff = super().diff_page(page, after=after)
        below = [
            each for each in self.iterate_assets(page.source_id) if each.asset_id.startswith(page.directory + b"/")
        ]
        others = tuple(each.asset_id for each in below if split(each.asset_id)[0] != page.directory)
        return attrs.evolve(diff, missing=diff.missing + others)


@killed_by("test_an_asset_known_as_missing_is_new_when_it_is_back")
class MissingIsForgotten(MemoryMediaStateStore):
    """A file that comes back is taken for one that never was away."""

    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        before = self.assets(source_id, asset_ids)
        marked = super().mark_missing(source_id, asset_ids)
        for state in before:
            if state is not None:
                self._put(self._sources[source_id], state)
        return marked


@killed_by("test_missing_assets_are_marked_once")
class CountsWhatItWasAsked(MemoryMediaStateStore):
    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        super().mark_missing(source_id, asset_ids)
        return len(asset_ids)


@killed_by("test_a_lease_ends_at_its_time_and_not_before")
class LeaseNeverLapses(MemoryMediaStateStore):
    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        return super().acquire_scan(source_id, owner=owner, lease_ns=lease_ns * 1_000_000)


@killed_by("test_a_reboot_ends_every_lease")
class LeaseOutlivesTheBoot(MemoryMediaStateStore):
    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        self._place(source_id).boot_id = self._clock.boot_id()
        return super().acquire_scan(source_id, owner=owner, lease_ns=lease_ns)


@killed_by("test_a_jump_of_the_wall_clock_ends_no_lease")
class WallClockLease(MemoryMediaStateStore):
    """Judges the end of a lease by a clock that jumps."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._ends: dict[str, int] = {}

    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        now = self._clock.now_ns()
        if self._ends.get(source_id, 0) <= now:
            self._place(source_id).held_until_ns = None
            self._ends[source_id] = now + lease_ns
        return super().acquire_scan(source_id, owner=owner, lease_ns=lease_ns)


@killed_by("test_a_held_lease_is_refused_to_everybody")
class OwnersAreWelcomeAgain(MemoryMediaStateStore):
    """Gives one manager's second scan the lease of its first."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._owners: dict[str, str] = {}

    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        if self._owners.get(source_id) == owner:
            self._place(source_id).held_until_ns = None
        self._owners[source_id] = owner
        return super().acquire_scan(source_id, owner=owner, lease_ns=lease_ns)


@killed_by("test_a_lease_that_was_given_back_is_free")
class TokensRepeat(MemoryMediaStateStore):
    def release_scan(self, lease: ScanLease) -> None:
        super().release_scan(lease)
        self._sources[lease.source_id].token = 0


@killed_by("test_recording_again_changes_nothing")
class EveryLookIsAChange(MemoryMediaStateStore):
    """Starts the time that a file stands still anew with each record: it never settles."""

    def _see(self, source: SourceEntry, asset: MediaAsset, *, baseline: bool) -> None:
        super()._see(source, asset, baseline=baseline)
        state = self.find(asset.source_id, asset.asset_id)
        assert state is not None
        self._put(source, attrs.evolve(state, unchanged_since_ns=self._clock.now_ns()))


@killed_by("test_a_change_starts_the_time_it_stands_still_anew", "test_a_fresh_look_is_a_change")
class ChangesSettleAtOnce(MemoryMediaStateStore):
    """Keeps the time of the version before."""

    def _see(self, source: SourceEntry, asset: MediaAsset, *, baseline: bool) -> None:
        before = self.find(asset.source_id, asset.asset_id)
        super()._see(source, asset, baseline=baseline)
        state = self.find(asset.source_id, asset.asset_id)
        assert state is not None
        if before is not None:
            self._put(source, attrs.evolve(state, unchanged_since_ns=before.unchanged_since_ns))


@killed_by("test_a_version_that_no_baseline_recorded_is_not_marked")
class OnceBaselineAlwaysBaseline(MemoryMediaStateStore):
    def _see(self, source: SourceEntry, asset: MediaAsset, *, baseline: bool) -> None:
        before = self.find(asset.source_id, asset.asset_id)
        super()._see(source, asset, baseline=baseline or (before is not None and before.baseline))


@killed_by("test_a_complete_page_makes_the_directory_listed")
class EveryPageEndsItsDirectory(MemoryMediaStateStore):
    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        return super().record_page(lease, attrs.evolve(record, complete=True), baseline=baseline)


@killed_by("test_a_checkpoint_is_kept_and_none_leaves_it")
class NoneClearsTheCheckpoint(MemoryMediaStateStore):
    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        if not super().record_page(lease, record, baseline=baseline):
            return False
        source = self._sources[lease.source_id]
        source.state = attrs.evolve(source.state, checkpoint=record.checkpoint)
        return True


@killed_by("test_a_fresh_look_at_an_unknown_asset_leaves_it_new")
class UnknownAssetsAreSeen(MemoryMediaStateStore):
    """Records as seen what no scan enqueued: such a file is never sent."""

    def update_seen(self, source_id: str, found: Mapping[bytes, Fingerprint]) -> None:
        for asset_id, fingerprint in found.items():
            self._see(self._place(source_id), MediaAsset(source_id, asset_id, *fingerprint), baseline=False)


@killed_by("test_metadata_of_the_version_that_stands_there_stays")
class LateMetadataWins(MemoryMediaStateStore):
    def save_metadata(self, source_id: str, asset_id: bytes, fingerprint: Fingerprint, metadata: MediaMetadata) -> None:
        known = self.find(source_id, asset_id)
        if known is not None:
            changed = attrs.evolve(known, metadata=metadata, metadata_fingerprint=fingerprint)
            self._put(self._sources[source_id], changed)


@killed_by("test_forgetting_leaves_the_record_and_other_sources")
class ForgetsEverybody(MemoryMediaStateStore):
    def forget_seen(self, source_id: str) -> None:
        for each in self._sources:
            super().forget_seen(each)


@killed_by("test_forgetting_leaves_the_record_and_other_sources")
class ForgetsFilesOnly(MemoryMediaStateStore):
    """Directories stay listed: a new baseline takes their files for new ones."""

    def forget_seen(self, source_id: str) -> None:
        source = self._sources.get(source_id)
        if source:
            source.assets.clear()


@killed_by("test_present_assets_are_iterated_in_the_order_of_a_scan")
class SortsPathsAsText(MemoryMediaStateStore):
    def iterate_assets(self, source_id: str) -> Iterator[AssetState]:
        return iter(sorted(super().iterate_assets(source_id), key=lambda state: state.asset_id))


@killed_by("test_every_asset_of_many_is_iterated_once")
class IteratesOnePortion(MemoryMediaStateStore):
    def iterate_assets(self, source_id: str) -> Iterator[AssetState]:
        return iter(list(super().iterate_assets(source_id))[:1_000])


@killed_by("test_assets_come_in_the_order_they_were_asked_for")
class MixesUpTheOrder(MemoryMediaStateStore):
    def assets(self, source_id: str, asset_ids: Sequence[bytes]) -> Sequence[AssetState | None]:
        return super().assets(source_id, sorted(asset_ids))


@killed_by("test_any_name_is_compared_byte_by_byte")
class NormalisesNames(MemoryMediaStateStore):
    """Takes Foo.jpg and foo.jpg for one file."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        diff = super().diff_page(page, after=after)
        known = {state.asset_id.lower() for state in self.iterate_assets(page.source_id)}
        new = tuple(each for each in diff.new if join(page.directory, each.name).lower() not in known)
        return attrs.evolve(diff, new=new)


@killed_by("test_a_scan_answers_for_itself_and_earlier_ones")
class EachScanAnswersForItselfAlone(MemoryMediaStateStore):
    """A folder that stays away is found gone once, and then nobody knows of it."""

    def absent_assets(
        self, source_id: str, scan_number: int, *, after: bytes | None = None, limit: int = 1000
    ) -> Sequence[AssetState]:
        marks = self._place(source_id).absent
        found = super().absent_assets(source_id, scan_number, after=after, limit=limit)
        return tuple(state for state in found if marks[state.asset_id] == scan_number)


@killed_by(
    "test_an_asset_that_is_on_a_page_again_is_named_and_then_no_candidate",
    "test_each_page_of_a_directory_finds_its_own_again",
)
class WhatIsBackIsNotNoticed(MemoryMediaStateStore):
    """A share that showed nothing for a moment: all its files are called missing by the next scan."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        return attrs.evolve(super().diff_page(page, after=after), found_again=())


@killed_by("test_a_fresh_look_ends_a_candidacy")
class LooksDoNotCountAsSeen(MemoryMediaStateStore):
    def update_seen(self, source_id: str, found: Mapping[bytes, Fingerprint]) -> None:
        marks = dict(self._place(source_id).absent)
        super().update_seen(source_id, found)
        self._place(source_id).absent.update(marks)


@killed_by("test_a_directory_that_is_gone_takes_everything_below_with_it")
class NamesakesGoToo(MemoryMediaStateStore):
    """Takes `ef` for a part of `e`."""

    def _mark_absent(self, source: SourceEntry, record: PageRecord) -> None:
        for state in self._present(source):
            if record.absent_directories and state.asset_id.startswith(record.absent_directories):
                source.absent[state.asset_id] = record.scan_number


@killed_by("test_a_listing_is_not_trusted_while_something_is_marked_absent")
class TrustStays(MemoryMediaStateStore):
    """A directory with a mark is left unlisted, and the mark is never looked at again."""

    def _mark_absent(self, source: SourceEntry, record: PageRecord) -> None:
        listings = dict(source.listings)
        super()._mark_absent(source, record)
        source.listings.update(listings)


@killed_by("test_what_is_known_goes_with_a_moved_asset")
class MovesAreNewFiles(MemoryMediaStateStore):
    def move_asset(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        moved = super().move_asset(source_id, asset_id, to)
        if moved:
            del self._sources[source_id].assets[to.directory][to.name]
            self._see(self._sources[source_id], to, baseline=False)
        return moved


@killed_by("test_an_asset_that_is_not_known_moves_nothing")
class ClearsTheTargetFirst(MemoryMediaStateStore):
    def move_asset(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        self._place(source_id).assets.get(to.directory, {}).pop(to.name, None)
        return super().move_asset(source_id, asset_id, to)


@killed_by("test_assets_without_metadata_of_their_version_are_undescribed")
class OnceDescribedIsEnough(MemoryMediaStateStore):
    def undescribed(self, source_id: str, *, after: bytes | None = None, limit: int = 1000) -> Sequence[AssetState]:
        found = super().undescribed(source_id, after=after, limit=10_000)
        return tuple(state for state in found if state.metadata is None)[:limit]


@pytest.mark.parametrize(("mutant", "test"), MUTANTS)
def test_a_wrong_store_is_found_out(mutant: Mutant, test: str, assert_killed: Kill) -> None:
    assert_killed(lambda patch: patch.setattr(media_state_store, "MemoryMediaStateStore", mutant), f"{SUITE}::{test}")


def leave_digests_stale(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(known_assets, "refresh_digest", lambda _database, _directory: None)
    triggers = ("CREATE TRIGGER asset_changed", "CREATE TRIGGER asset_deleted")
    without = tuple(each for each in migrations.MIGRATIONS[0] if not each.strip().startswith(triggers))
    assert len(without) == len(migrations.MIGRATIONS[0]) - 2
    patch.setattr(migrations, "MIGRATIONS", (without, *migrations.MIGRATIONS[1:]))


@pytest.mark.parametrize(
    "test",
    [
        "test_a_page_is_compared_with_the_latest_look",
        "test_a_page_that_still_shows_a_missing_asset_says_new",
        "test_a_long_history_ends_as_it_should",
    ],
)
def test_a_stale_digest_is_found_out(test: str, assert_killed: Kill) -> None:
    assert_killed(leave_digests_stale, f"{SQLITE_SUITE}::{test}")
