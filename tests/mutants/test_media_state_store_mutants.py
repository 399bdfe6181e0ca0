"""Wrong media state stores, each of which the contract suite finds out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import pytest

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, join, split
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import AssetState, PageDiff, PageRecord, ScanLease, SourceState
from media_watch_tasks.stores.memory.media_state_store import MemoryMediaStateStore, SourceEntry
from media_watch_tasks.stores.sqlite import known_assets
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store import MediaStateStoreContract
from media_watch_tasks.testing.contracts.media_state_store_base import MTIME


class IgnoresTheToken(MemoryMediaStateStore):
    """Writes for whoever asks."""

    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        current = ScanLease(lease.source_id, self._sources[lease.source_id].token)
        return super().record_page(current, record, baseline=baseline)


class WritesBeforeItChecks(MemoryMediaStateStore):
    """Answers rightly that the lease was lost, after it has written."""

    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        held = self._holds(lease)
        current = ScanLease(lease.source_id, self._place(lease.source_id).token)
        super().record_page(current, record, baseline=baseline)
        return held


class SavesRecordsWithoutLease(MemoryMediaStateStore):
    def save_source(self, state: SourceState, *, lease: ScanLease | None = None) -> bool:
        return super().save_source(state)


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


class EveryPageIsTheWholeDirectory(MemoryMediaStateStore):
    """Takes for missing what stands on the directory's other pages."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        return super().diff_page(attrs.evolve(page, complete=True))


class AnUnreadableDirectoryIsEmpty(MemoryMediaStateStore):
    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        return super().diff_page(attrs.evolve(page, complete=page.complete or bool(page.problems)), after=after)


class PrefixIsFolder(MemoryMediaStateStore):
    """Counts what is below a directory as part of it."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        diff = super().diff_page(page, after=after)
        below = [
            each for each in self.iterate_assets(page.source_id) if each.asset_id.startswith(page.directory + b"/")
        ]
        others = tuple(each.asset_id for each in below if split(each.asset_id)[0] != page.directory)
        return attrs.evolve(diff, missing=diff.missing + others)


class MissingIsForgotten(MemoryMediaStateStore):
    """A file that comes back is taken for one that never was away."""

    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        before = self.assets(source_id, asset_ids)
        marked = super().mark_missing(source_id, asset_ids)
        for state in before:
            if state is not None:
                self._put(self._sources[source_id], state)
        return marked


class CountsWhatItWasAsked(MemoryMediaStateStore):
    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        super().mark_missing(source_id, asset_ids)
        return len(asset_ids)


class LeaseNeverLapses(MemoryMediaStateStore):
    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        return super().acquire_scan(source_id, owner=owner, lease_ns=lease_ns * 1_000_000)


class LeaseOutlivesTheBoot(MemoryMediaStateStore):
    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        self._place(source_id).boot_id = self._clock.boot_id()
        return super().acquire_scan(source_id, owner=owner, lease_ns=lease_ns)


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


class TokensRepeat(MemoryMediaStateStore):
    def release_scan(self, lease: ScanLease) -> None:
        super().release_scan(lease)
        self._sources[lease.source_id].token = 0


class EveryLookIsAChange(MemoryMediaStateStore):
    """Starts the time that a file stands still anew with each record: it never settles."""

    def _see(self, source: SourceEntry, asset: MediaAsset, *, baseline: bool) -> None:
        super()._see(source, asset, baseline=baseline)
        state = self._find(asset.source_id, asset.asset_id)
        assert state is not None
        self._put(source, attrs.evolve(state, unchanged_since_ns=self._clock.now_ns()))


class ChangesSettleAtOnce(MemoryMediaStateStore):
    """Keeps the time of the version before."""

    def _see(self, source: SourceEntry, asset: MediaAsset, *, baseline: bool) -> None:
        before = self._find(asset.source_id, asset.asset_id)
        super()._see(source, asset, baseline=baseline)
        state = self._find(asset.source_id, asset.asset_id)
        assert state is not None
        if before is not None:
            self._put(source, attrs.evolve(state, unchanged_since_ns=before.unchanged_since_ns))


class OnceBaselineAlwaysBaseline(MemoryMediaStateStore):
    def _see(self, source: SourceEntry, asset: MediaAsset, *, baseline: bool) -> None:
        before = self._find(asset.source_id, asset.asset_id)
        super()._see(source, asset, baseline=baseline or (before is not None and before.baseline))


class EveryPageEndsItsDirectory(MemoryMediaStateStore):
    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        return super().record_page(lease, attrs.evolve(record, complete=True), baseline=baseline)


class NoneClearsTheCheckpoint(MemoryMediaStateStore):
    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        if not super().record_page(lease, record, baseline=baseline):
            return False
        source = self._sources[lease.source_id]
        source.state = attrs.evolve(source.state, checkpoint=record.checkpoint)
        return True


class UnknownAssetsAreSeen(MemoryMediaStateStore):
    """Records as seen what no scan enqueued: such a file is never sent."""

    def update_seen(self, source_id: str, found: Mapping[bytes, Fingerprint]) -> None:
        for asset_id, fingerprint in found.items():
            self._see(self._place(source_id), MediaAsset(source_id, asset_id, *fingerprint), baseline=False)


class LateMetadataWins(MemoryMediaStateStore):
    def save_metadata(self, source_id: str, asset_id: bytes, fingerprint: Fingerprint, metadata: MediaMetadata) -> None:
        known = self._find(source_id, asset_id)
        if known is not None:
            changed = attrs.evolve(known, metadata=metadata, metadata_fingerprint=fingerprint)
            self._put(self._sources[source_id], changed)


class ForgetsEverybody(MemoryMediaStateStore):
    def forget_seen(self, source_id: str) -> None:
        for each in self._sources:
            super().forget_seen(each)


class ForgetsFilesOnly(MemoryMediaStateStore):
    """Directories stay listed: a new baseline takes their files for new ones."""

    def forget_seen(self, source_id: str) -> None:
        source = self._sources.get(source_id)
        if source:
            source.assets.clear()


class SortsPathsAsText(MemoryMediaStateStore):
    def iterate_assets(self, source_id: str) -> Iterator[AssetState]:
        return iter(sorted(super().iterate_assets(source_id), key=lambda state: state.asset_id))


class IteratesOnePortion(MemoryMediaStateStore):
    def iterate_assets(self, source_id: str) -> Iterator[AssetState]:
        return iter(list(super().iterate_assets(source_id))[:1_000])


class MixesUpTheOrder(MemoryMediaStateStore):
    def assets(self, source_id: str, asset_ids: Sequence[bytes]) -> Sequence[AssetState | None]:
        return super().assets(source_id, sorted(asset_ids))


class NormalisesNames(MemoryMediaStateStore):
    """Takes Foo.jpg and foo.jpg for one file."""

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        diff = super().diff_page(page, after=after)
        known = {state.asset_id.lower() for state in self.iterate_assets(page.source_id)}
        new = tuple(each for each in diff.new if join(page.directory, each.name).lower() not in known)
        return attrs.evolve(diff, new=new)


Killers = tuple[type[MemoryMediaStateStore], str, dict[str, object]]

_MUTANTS: tuple[Killers, ...] = (
    (IgnoresTheToken, "a_lost_lease_writes_nothing", {"how": "lost"}),
    (IgnoresTheToken, "a_lost_lease_writes_nothing", {"how": "of another boot, and lost"}),
    (WritesBeforeItChecks, "a_lost_lease_writes_nothing", {"how": "lost"}),
    (SavesRecordsWithoutLease, "a_record_is_saved_under_a_held_lease_alone", {}),
    (TimeRunsForwards, "another_size_or_mtime_is_a_change", {"now": (b"a", 1_001, MTIME)}),
    (SizeIsEnough, "another_size_or_mtime_is_a_change", {"now": (b"a", 1_001, MTIME + 2)}),
    (EveryPageIsTheWholeDirectory, "each_page_of_a_directory_speaks_for_its_own_names", {}),
    (EveryPageIsTheWholeDirectory, "nothing_behind_the_end_of_an_incomplete_page_is_missing", {}),
    (AnUnreadableDirectoryIsEmpty, "a_page_that_could_not_be_read_makes_nothing_missing", {"after": None}),
    (PrefixIsFolder, "directories_and_sources_do_not_mix", {}),
    (MissingIsForgotten, "an_asset_known_as_missing_is_new_when_it_is_back", {}),
    (CountsWhatItWasAsked, "missing_assets_are_marked_once", {}),
    (LeaseNeverLapses, "a_lease_ends_at_its_time_and_not_before", {}),
    (LeaseOutlivesTheBoot, "a_reboot_ends_every_lease", {}),
    (WallClockLease, "a_jump_of_the_wall_clock_ends_no_lease", {}),
    (OwnersAreWelcomeAgain, "a_held_lease_is_refused_to_everybody", {"owner": "scanner"}),
    (TokensRepeat, "a_lease_that_was_given_back_is_free", {}),
    (EveryLookIsAChange, "recording_again_changes_nothing", {}),
    (ChangesSettleAtOnce, "a_change_starts_the_time_it_stands_still_anew", {}),
    (ChangesSettleAtOnce, "a_fresh_look_is_a_change", {}),
    (OnceBaselineAlwaysBaseline, "a_version_that_no_baseline_recorded_is_not_marked", {}),
    (EveryPageEndsItsDirectory, "a_complete_page_makes_the_directory_listed", {}),
    (NoneClearsTheCheckpoint, "a_checkpoint_is_kept_and_none_leaves_it", {}),
    (UnknownAssetsAreSeen, "a_fresh_look_at_an_unknown_asset_leaves_it_new", {}),
    (LateMetadataWins, "metadata_of_the_version_that_stands_there_stays", {}),
    (ForgetsEverybody, "forgetting_leaves_the_record_and_other_sources", {}),
    (ForgetsFilesOnly, "forgetting_leaves_the_record_and_other_sources", {}),
    (SortsPathsAsText, "present_assets_are_iterated_in_the_order_of_a_scan", {}),
    (IteratesOnePortion, "every_asset_of_many_is_iterated_once", {}),
    (MixesUpTheOrder, "assets_come_in_the_order_they_were_asked_for", {}),
    (NormalisesNames, "any_name_is_compared_byte_by_byte", {}),
)


def run(store: MediaStateStore, clock: FakeClock, test: str, parameters: Mapping[str, object]) -> None:
    """One test of the suite, on this store."""
    suite = MediaStateStoreContract()
    method = getattr(suite, f"test_{test}")
    given: dict[str, object] = {"store": store, "clock": clock, **parameters}
    wanted = inspect.signature(method).parameters
    if "lease" in wanted:
        given["lease"] = suite.acquire(store)
    method(**{name: given[name] for name in wanted})


@pytest.mark.parametrize(
    ("mutant", "test", "parameters"),
    [pytest.param(*killers, id=f"{killers[0].__name__}-{killers[1]}") for killers in _MUTANTS],
)
def test_a_mutant_is_killed(mutant: type[MemoryMediaStateStore], test: str, parameters: dict[str, object]) -> None:
    clock = FakeClock()
    run(MemoryMediaStateStore(clock), clock, test, parameters)
    clock = FakeClock()
    with pytest.raises(AssertionError):
        run(mutant(clock), clock, test, parameters)


def test_a_stale_digest_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortcut of the SQLite store, without what keeps it honest."""

    def compare_after_a_change(name: str) -> None:
        clock = FakeClock()
        with SqliteStores(tmp_path / name, clock=clock) as stores:
            for trigger in triggers:
                stores.database.execute(f"DROP TRIGGER {trigger}")
            run(stores.media_state, clock, "a_page_is_compared_with_the_latest_look", {})

    triggers: tuple[str, ...] = ()
    compare_after_a_change("whole.db")
    monkeypatch.setattr(known_assets, "refresh_digest", lambda _database, _directory: None)
    compare_after_a_change("triggers-alone.db")
    triggers = ("asset_changed", "asset_deleted")
    with pytest.raises(AssertionError):
        compare_after_a_change("stale.db")


def test_every_mutant_is_tried() -> None:
    wrong = {
        each
        for each in globals().values()
        if isinstance(each, type) and issubclass(each, MemoryMediaStateStore) and each is not MemoryMediaStateStore
    }
    assert wrong == {mutant for mutant, _test, _parameters in _MUTANTS}
