"""MemoryMediaStateStore: what is known of the sources in dicts, the clearest statement of what the interface says."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import attrs

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.identity import Fingerprint, is_below, join, order_key, split
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import (
    AssetState,
    BaselineState,
    KnownListing,
    PageDiff,
    PageRecord,
    ScanLease,
    SourceState,
)
from media_watch_tasks.stores.memory.changes import MemoryChanges
from media_watch_tasks.stores.memory.source_entry import SourceEntry

__all__ = ["MemoryMediaStateStore"]


class MemoryMediaStateStore(MemoryChanges, MediaStateStore):
    """What is known of the sources, gone when the process ends: for tests and trials. It shares no transaction."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = clock or SystemClock()

    def source(self, source_id: str) -> SourceState:
        """See `MediaStateStore`."""
        with self._lock:
            known = self._sources.get(source_id)
            return known.state if known else SourceState(source_id=source_id)

    def sources(self) -> Sequence[SourceState]:
        """See `MediaStateStore`."""
        with self._lock:
            return tuple(self._sources[source_id].state for source_id in sorted(self._sources))

    def save_source(self, state: SourceState, *, lease: ScanLease | None = None) -> bool:
        """See `MediaStateStore`."""
        with self._lock:
            if lease is not None and (lease.source_id != state.source_id or not self._holds(lease)):
                return False
            self._place(state.source_id).state = state
            return True

    def save_identity(self, source_id: str, identity: RootIdentity) -> None:
        """See `MediaStateStore`."""
        with self._lock:
            source = self._place(source_id)
            source.state = attrs.evolve(source.state, identity=identity)

    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:  # noqa: ARG002 - for people
        """See `MediaStateStore`."""
        with self._lock:
            source, now, boot_id = self._place(source_id), self._clock.boot_ns(), self._clock.boot_id()
            held = source.held_until_ns is not None and source.boot_id == boot_id
            if held and source.held_until_ns is not None and source.held_until_ns > now:
                return None
            source.token += 1
            source.held_until_ns, source.boot_id = now + lease_ns, boot_id
            return ScanLease(source_id, source.token)

    def extend_scan(self, lease: ScanLease, *, lease_ns: int) -> bool:
        """See `MediaStateStore`."""
        with self._lock:
            if not self._holds(lease):
                return False
            source = self._sources[lease.source_id]
            source.held_until_ns, source.boot_id = self._clock.boot_ns() + lease_ns, self._clock.boot_id()
            return True

    def release_scan(self, lease: ScanLease) -> None:
        """See `MediaStateStore`."""
        with self._lock:
            if self._holds(lease):
                self._sources[lease.source_id].held_until_ns = None

    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        """See `MediaStateStore`."""
        with self._lock:
            source = self._sources.get(page.source_id)
            known = source.assets.get(page.directory, {}) if source else {}
            present = {name: state for name, state in known.items() if state.missing_since_ns is None}
            listed_before = source is not None and page.directory in source.listed
            listing = source.listings.get(page.directory) if source else None
            marked = frozenset(source.absent) if source else frozenset[bytes]()
        if page.unchanged:
            return PageDiff(unchanged=len(present), listed_before=listed_before)
        new: list[MediaAsset] = []
        changed: list[MediaAsset] = []
        found_again: list[MediaAsset] = []
        for asset in page.assets:
            state = present.get(asset.name)
            if state is None:
                new.append(asset)
            elif state.fingerprint != asset.fingerprint:
                changed.append(asset)
            elif asset.asset_id in marked:
                found_again.append(asset)
        return PageDiff(
            new=tuple(new),
            changed=tuple(changed),
            missing=tuple(join(page.directory, name) for name in _not_on_page(page, after, present)),
            unchanged=len(page.rows) - len(new) - len(changed),
            listed_before=listed_before,
            listing=listing,
            found_again=tuple(found_again),
        )

    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        """See `MediaStateStore`."""
        with self._lock:
            if not self._holds(lease):
                return False
            source = self._sources[lease.source_id]
            for asset in record.seen:
                self._see(source, asset, baseline=baseline)
            if record.complete:
                source.listed.add(record.directory)
            if record.listing is not None:
                source.listings[record.directory] = record.listing
            self._mark_absent(source, record)
            if record.checkpoint is not None:
                source.state = attrs.evolve(source.state, checkpoint=record.checkpoint)
            return True

    def known_listing(self, source_id: str, directory: bytes) -> KnownListing | None:
        """See `MediaStateStore`."""
        with self._lock:
            source = self._sources.get(source_id)
            return source.listings.get(directory) if source else None

    def absent_assets(
        self, source_id: str, scan_number: int, *, after: bytes | None = None, limit: int = 1000
    ) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        with self._lock:
            source = self._sources.get(source_id)
            marked = [
                state
                for state in self._present(source)
                if source and source.absent.get(state.asset_id, scan_number + 1) <= scan_number
            ]
        return _behind(marked, after)[:limit]

    def same_version(self, source_id: str, fingerprints: Sequence[Fingerprint]) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        wanted = set(fingerprints)
        with self._lock:
            source = self._sources.get(source_id)
            known = [state for state in source.all_assets() if state.fingerprint in wanted] if source else []
        found = {each: [state for state in known if state.fingerprint == each][:100] for each in wanted}
        return tuple(state for states in found.values() for state in states)

    def move_asset(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        """See `MediaStateStore`."""
        with self._lock:
            known = self.find(source_id, asset_id)
            if known is None:
                return False
            source = self._sources[source_id]
            directory, name = split(asset_id)
            del source.assets[directory][name]
            self.count_change(source, asset_id)
            source.absent.pop(asset_id, None)
            source.absent.pop(to.asset_id, None)
            moved = attrs.evolve(
                known,
                asset_id=to.asset_id,
                fingerprint=to.fingerprint,
                file_id=to.file_id,
                missing_since_ns=None,
            )
            self._put(source, moved)
            return True

    def sample_assets(self, source_id: str, count: int) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        with self._lock:
            present = list(self._present(self._sources.get(source_id)))
        return tuple(random.sample(present, min(count, len(present))))

    def undescribed(self, source_id: str, *, after: bytes | None = None, limit: int = 1000) -> Sequence[AssetState]:
        """See `MediaStateStore`."""
        with self._lock:
            present = self._present(self._sources.get(source_id))
            bare = [state for state in present if state.current_metadata is None]
        return _behind(bare, after)[:limit]

    def forget_seen(self, source_id: str) -> None:
        """See `MediaStateStore`."""
        with self._lock:
            source = self._sources.get(source_id)
            if source:
                source.listed.clear()
                source.listings.clear()
                source.absent.clear()
                gone = [state.asset_id for state in source.all_assets()]
                source.assets.clear()
                for asset_id in gone:
                    self.count_change(source, asset_id)
                source.state = attrs.evolve(
                    source.state, baseline=BaselineState.NONE, checkpoint=None, last_complete_ns=None
                )

    def assets(self, source_id: str, asset_ids: Sequence[bytes]) -> Sequence[AssetState | None]:
        """See `MediaStateStore`."""
        with self._lock:
            return tuple(self.find(source_id, asset_id) for asset_id in asset_ids)

    def iterate_assets(self, source_id: str) -> Iterator[AssetState]:
        """See `MediaStateStore`."""
        with self._lock:
            source = self._sources.get(source_id)
            states = [state for state in source.all_assets() if state.missing_since_ns is None] if source else []
        yield from states

    def update_seen(self, source_id: str, found: Mapping[bytes, Fingerprint]) -> None:
        """See `MediaStateStore`."""
        with self._lock:
            for asset_id, fingerprint in found.items():
                known = self.find(source_id, asset_id)
                if known is not None:
                    asset = MediaAsset(source_id, asset_id, *fingerprint, known.file_id)
                    self._see(self._sources[source_id], asset, baseline=False)

    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        """See `MediaStateStore`."""
        now, marked = self._clock.now_ns(), 0
        with self._lock:
            for asset_id in asset_ids:
                known = self.find(source_id, asset_id)
                if known is not None:
                    self._sources[source_id].absent.pop(asset_id, None)
                if known is not None and known.missing_since_ns is None:
                    self._put(self._sources[source_id], attrs.evolve(known, missing_since_ns=now))
                    marked += 1
        return marked

    def save_metadata(self, source_id: str, asset_id: bytes, fingerprint: Fingerprint, metadata: MediaMetadata) -> None:
        """See `MediaStateStore`."""
        with self._lock:
            known = self.find(source_id, asset_id)
            if known is None or (known.current_metadata is not None and fingerprint != known.fingerprint):
                return
            described = attrs.evolve(known, metadata=metadata, metadata_fingerprint=fingerprint)
            self._put(self._sources[source_id], described)

    def count_assets(self, source_id: str) -> tuple[int, int]:
        """See `MediaStateStore`."""
        with self._lock:
            source = self._sources.get(source_id)
            states = list(source.all_assets()) if source else []
        missing = sum(state.missing_since_ns is not None for state in states)
        return len(states) - missing, missing

    def _present(self, source: SourceEntry | None) -> Iterator[AssetState]:
        return (state for state in source.all_assets() if state.missing_since_ns is None) if source else iter(())

    def _mark_absent(self, source: SourceEntry, record: PageRecord) -> None:
        known = {state.asset_id for state in source.all_assets()} if record.absent else set()
        marked = [asset_id for asset_id in record.absent if asset_id in known]
        gone_with_directory = self._present(source) if record.absent_directories else ()
        marked.extend(
            state.asset_id
            for state in gone_with_directory
            if any(is_below(state.asset.directory, gone) for gone in record.absent_directories)
        )
        for asset_id in marked:
            source.absent.setdefault(asset_id, record.scan_number)
        # Where something is marked the next scan has to look, or what is back would keep its mark.
        for directory, listing in source.listings.items():
            touched = any(split(asset_id)[0] == directory for asset_id in marked)
            if touched or any(is_below(directory, gone) for gone in record.absent_directories):
                source.listings[directory] = attrs.evolve(listing, trusted=False)

    def _place(self, source_id: str) -> SourceEntry:
        return self._sources.setdefault(source_id, SourceEntry(SourceState(source_id=source_id)))

    def _holds(self, lease: ScanLease) -> bool:
        source = self._sources.get(lease.source_id)
        return source is not None and source.token == lease.token and source.held_until_ns is not None

    def _put(self, source: SourceEntry, state: AssetState) -> None:
        directory, name = split(state.asset_id)
        inside = source.assets.setdefault(directory, {})
        if inside.get(name) != state:
            self.count_change(source, state.asset_id)
        inside[name] = state

    def _see(self, source: SourceEntry, asset: MediaAsset, *, baseline: bool) -> None:
        source.absent.pop(asset.asset_id, None)
        now = self._clock.now_ns()
        known = self.find(asset.source_id, asset.asset_id)
        if known is None:
            state = AssetState(
                source_id=asset.source_id,
                asset_id=asset.asset_id,
                fingerprint=asset.fingerprint,
                file_id=asset.file_id,
                unchanged_since_ns=now,
                first_seen_ns=now,
                baseline=baseline,
            )
        elif known.missing_since_ns is None and known.fingerprint == asset.fingerprint:
            state = attrs.evolve(known, file_id=asset.file_id)
        else:
            state = attrs.evolve(
                known,
                fingerprint=asset.fingerprint,
                file_id=asset.file_id,
                unchanged_since_ns=now,
                missing_since_ns=None,
                # The mark belongs to a version: a later one that no baseline recorded loses it.
                baseline=baseline and (known.baseline or known.missing_since_ns is not None),
            )
        self._put(source, state)


def _not_on_page(page: ScanPage, after: bytes | None, names: Mapping[bytes, object]) -> list[bytes]:
    """The names, sorted, that the page speaks for and does not have."""
    listed = {row[0] for row in page.rows}
    first = b"" if after is None else after
    last = None if page.complete else page.rows[-1][0] if page.rows else first
    return sorted(name for name in names if name > first and (last is None or name <= last) and name not in listed)


def _behind(states: list[AssetState], after: bytes | None) -> tuple[AssetState, ...]:
    """The states behind that asset id, in the order of a scan."""
    if after is None:
        return tuple(states)
    return tuple(state for state in states if _place_of(state.asset_id) > _place_of(after))


def _place_of(asset_id: bytes) -> tuple[bytes, bytes]:
    directory, name = split(asset_id)
    return order_key(directory), name
