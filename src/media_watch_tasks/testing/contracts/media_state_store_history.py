"""MediaStateStore suite: long random histories against a plain model."""

# ruff: noqa: S101, S311, D102 - a suite asserts, draws its data, and names its tests by their fact

from __future__ import annotations

import random

import pytest

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.model.identity import Fingerprint, join, order_key
from media_watch_tasks.model.scans import AssetRow
from media_watch_tasks.model.sources import ScanLease
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import SOURCE, MediaStateStoreSuite

__all__ = ["HistoryContract"]

_DIRECTORIES = (b"", b"d", b"d/e", b"d-e")
_NAMES = tuple(b"%c" % letter for letter in b"abcdefgh")


class _Model:
    """Present assets by directory and name; what is missing is not in it."""

    def __init__(self) -> None:
        self.assets: dict[bytes, dict[bytes, Fingerprint]] = {directory: {} for directory in _DIRECTORIES}
        self.missing: set[bytes] = set()
        self.listings: dict[bytes, list[AssetRow]] = {}
        """The latest listing of each directory: a place that stands still shows it again."""

    def present(self) -> list[bytes]:
        return [
            join(directory, name)
            for directory in sorted(self.assets, key=order_key)
            for name in sorted(self.assets[directory])
        ]


class HistoryContract(MediaStateStoreSuite):
    """Every method that sees or changes assets, in any order."""

    @pytest.mark.parametrize("seed", range(4))
    def test_a_long_history_ends_as_it_should(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock, seed: int
    ) -> None:
        draw = random.Random(seed)
        model = _Model()
        for _ in range(150):
            clock.advance(1)
            directory = draw.choice(_DIRECTORIES)
            action = draw.choice((self._scan, self._scan, self._scan, self._look_again, self._lose))
            action(store, lease, draw, model, directory)
        assert self.present(store) == model.present()
        assert store.count_assets(SOURCE) == (len(model.present()), len(model.missing))
        for directory, inside in model.assets.items():
            for name, fingerprint in inside.items():
                assert self.state(store, join(directory, name)).fingerprint == fingerprint

    def _scan(
        self, store: MediaStateStore, lease: ScanLease, draw: random.Random, model: _Model, directory: bytes
    ) -> None:
        """One listing in pages; each diff is checked, and most of the pages are recorded."""
        known = model.assets[directory]
        rows = self._listing(draw, model, directory)
        model.listings[directory] = rows
        cut = draw.randrange(len(rows) + 1) if rows and draw.random() < 0.3 else 0  # noqa: PLR2004 - a share
        after: bytes | None = None
        for part, complete in ((rows[:cut], False), (rows[cut:], True)) if cut else ((rows, True),):
            page = self.page(directory, *part, complete=complete)
            diff = store.diff_page(page, after=after)
            last = None if complete else part[-1][0]
            assert self.summary(diff) == self._expected(known, part, after, last)
            if draw.random() < 0.8:  # noqa: PLR2004 - a share
                self.record(store, lease, directory, *diff.new, *diff.changed, complete=complete)
                for name, size, mtime_ns in part:
                    known[name] = Fingerprint(size, mtime_ns)
                    model.missing.discard(join(directory, name))
            if complete and diff.missing and draw.random() < 0.5:  # noqa: PLR2004 - a share
                assert store.mark_missing(SOURCE, diff.missing) == len(diff.missing)
                self._forget(model, directory, [asset_id.rpartition(b"/")[2] for asset_id in diff.missing])
            after = part[-1][0] if part else after

    def _listing(self, draw: random.Random, model: _Model, directory: bytes) -> list[AssetRow]:
        if directory in model.listings and draw.random() < 0.4:  # noqa: PLR2004 - a share
            return model.listings[directory]
        known = model.assets[directory]
        return [
            (name, *(known[name] if name in known and draw.random() < 0.7 else self._version(draw)))  # noqa: PLR2004 - a share
            for name in _NAMES
            if draw.random() < 0.8  # noqa: PLR2004 - a share
        ]

    def _look_again(
        self, store: MediaStateStore, _lease: ScanLease, draw: random.Random, model: _Model, directory: bytes
    ) -> None:
        names = draw.sample(_NAMES, 2)
        found = {join(directory, name): self._version(draw) for name in names}
        store.update_seen(SOURCE, found)
        for name in names:
            asset_id = join(directory, name)
            if name in model.assets[directory] or asset_id in model.missing:
                model.assets[directory][name] = found[asset_id]
                model.missing.discard(asset_id)

    def _lose(
        self, store: MediaStateStore, _lease: ScanLease, draw: random.Random, model: _Model, directory: bytes
    ) -> None:
        names = draw.sample(_NAMES, 2)
        present = [name for name in names if name in model.assets[directory]]
        assert store.mark_missing(SOURCE, self.ids(directory, names)) == len(present)
        self._forget(model, directory, present)

    @staticmethod
    def _forget(model: _Model, directory: bytes, names: list[bytes]) -> None:
        for name in names:
            del model.assets[directory][name]
            model.missing.add(join(directory, name))

    @staticmethod
    def _expected(
        known: dict[bytes, Fingerprint], rows: list[AssetRow], after: bytes | None, last: bytes | None
    ) -> tuple[list[bytes], list[bytes], list[bytes], int]:
        listed = {name: Fingerprint(size, mtime_ns) for name, size, mtime_ns in rows}
        new = [name for name in listed if name not in known]
        changed = [name for name, fingerprint in listed.items() if name in known and known[name] != fingerprint]
        missing = sorted(
            name
            for name in known
            if name not in listed and (after is None or name > after) and (last is None or name <= last)
        )
        return new, changed, missing, len(listed) - len(new) - len(changed)

    @staticmethod
    def _version(draw: random.Random) -> Fingerprint:
        return Fingerprint(draw.randrange(3), draw.randrange(3))
