"""What the parts of the MediaStateStore suite share: the store under test and short ways to fill and ask it."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.clock import Clock, to_ns
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import join, split
from media_watch_tasks.model.scans import AssetRow, ScanPage
from media_watch_tasks.model.sources import AssetState, PageDiff, PageRecord, ScanLease
from media_watch_tasks.testing.clock import FakeClock

__all__ = ["HOSTILE_NAMES", "MTIME", "OTHER", "SCAN_LEASE_NS", "SOURCE", "MediaStateStoreSuite", "asset", "row"]

SOURCE = "camera"
OTHER = "phone"
SCAN_LEASE_NS = to_ns(timedelta(minutes=10))
MTIME = 1_700_000_000_000_000_000

HOSTILE_NAMES = (
    bytes(range(1, 256)).replace(b"/", b""),
    b"\xff\xfe\x80.mov",
    b'it\'s "quoted"; DROP TABLE asset; --\\.mov',
    b"line\r\nbreak\t.mov",
    b"x" * 255,
    "Ärger 日本語 🎬.mov".encode(),
    "\ud800lone".encode("utf-8", "surrogatepass"),
    b"%_?*[a]",
    b" ",
)


def row(name: bytes | str, *, version: int = 1) -> AssetRow:
    """A row of a page; another `version` has another size and mtime."""
    name = name if isinstance(name, bytes) else name.encode()
    return name, 1_000 + version, MTIME + version


def asset(asset_id: bytes | str, *, version: int = 1, source: str = SOURCE, file_id: int | None = None) -> MediaAsset:
    """An asset with the size and mtime of `row`."""
    asset_id = asset_id if isinstance(asset_id, bytes) else asset_id.encode()
    return MediaAsset(source, asset_id, 1_000 + version, MTIME + version, file_id)


class MediaStateStoreSuite:
    """The store under test, its clock, and a scan lease on the source."""

    def make_store(self, clock: Clock) -> MediaStateStore:
        """A new empty store that takes all times from this clock."""
        raise NotImplementedError

    def close_store(self, store: MediaStateStore) -> None:
        """Free what `make_store` opened."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock that the tests move."""
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> Iterator[MediaStateStore]:
        """The store under test."""
        store = self.make_store(clock)
        yield store
        self.close_store(store)

    @pytest.fixture
    def lease(self, store: MediaStateStore) -> ScanLease:
        """The right to scan the source."""
        return self.acquire(store)

    # ---- filling

    @staticmethod
    def acquire(store: MediaStateStore, source_id: str = SOURCE, *, owner: str = "scanner") -> ScanLease:
        """A scan lease that must be free."""
        lease = store.acquire_scan(source_id, owner=owner, lease_ns=SCAN_LEASE_NS)
        assert lease is not None, "the lease is free"
        return lease

    @staticmethod
    def record(
        store: MediaStateStore,
        lease: ScanLease,
        directory: bytes,
        *seen: MediaAsset,
        complete: bool = True,
        checkpoint: str | None = None,
        baseline: bool = False,
    ) -> None:
        """Record what was seen in a directory; the lease must be held."""
        record = PageRecord(directory=directory, seen=seen, complete=complete, checkpoint=checkpoint)
        assert store.record_page(lease, record, baseline=baseline), "the lease is held"

    def remember(self, store: MediaStateStore, lease: ScanLease, *asset_ids: bytes | str) -> None:
        """Record assets in their directories, each of which is complete by that."""
        found = [asset(asset_id, source=lease.source_id) for asset_id in asset_ids]
        for directory in dict.fromkeys(each.directory for each in found):
            self.record(store, lease, directory, *(each for each in found if each.directory == directory))

    # ---- asking

    @staticmethod
    def page(
        directory: bytes | str, *rows: AssetRow | bytes | str, source: str = SOURCE, complete: bool = True
    ) -> ScanPage:
        """A page; a bare name stands for version 1."""
        directory = directory if isinstance(directory, bytes) else directory.encode()
        listed = sorted(each if isinstance(each, tuple) else row(each) for each in rows)
        return ScanPage(source, directory, tuple(listed), complete=complete)

    @staticmethod
    def summary(diff: PageDiff) -> tuple[list[bytes], list[bytes], list[bytes], int]:
        """(names of the new, names of the changed, names of the missing assets, number of the unchanged)."""
        return (
            [each.name for each in diff.new],
            [each.name for each in diff.changed],
            sorted(split(asset_id)[1] for asset_id in diff.missing),
            diff.unchanged,
        )

    @staticmethod
    def state(store: MediaStateStore, asset_id: bytes | str, source_id: str = SOURCE) -> AssetState:
        """What is known of an asset that must be known."""
        asset_id = asset_id if isinstance(asset_id, bytes) else asset_id.encode()
        (state,) = store.assets(source_id, [asset_id])
        assert state is not None, f"{asset_id!r} is known"
        return state

    @staticmethod
    def present(store: MediaStateStore, source_id: str = SOURCE) -> list[bytes]:
        """The ids of all present assets, in the order of the store."""
        return [state.asset_id for state in store.iterate_assets(source_id)]

    @staticmethod
    def ids(directory: bytes, names: Sequence[bytes]) -> list[bytes]:
        """Asset ids of names in a directory."""
        return [join(directory, name) for name in names]
