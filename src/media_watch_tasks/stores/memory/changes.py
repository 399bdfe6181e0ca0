"""The change feed of the memory store."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from media_watch_tasks.abc.change_feed import AssetChange, Bookmarks, ChangeFeed, CountsByDirectory
from media_watch_tasks.model.identity import is_below, split
from media_watch_tasks.model.sources import AssetState, DirectoryTotals
from media_watch_tasks.stores.memory.source_entry import SourceEntry

__all__ = ["MemoryChanges"]


class MemoryChanges(ChangeFeed, Bookmarks, CountsByDirectory):
    """The sources, and what changed in them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sources: dict[str, SourceEntry] = {}
        self._last_sequence = 0
        self._bookmarks: dict[str, str] = {}

    def changes_since(
        self, watermark: int, *, source_id: str | None = None, limit: int = 1000
    ) -> Sequence[AssetChange]:
        """See `ChangeFeed`."""
        with self._lock:
            changes = [
                AssetChange(sequence, each, asset_id, self.find(each, asset_id))
                for each, source in self._sources.items()
                if source_id in {None, each}
                for asset_id, sequence in source.sequences.items()
                if sequence > watermark
            ]
        return tuple(sorted(changes, key=lambda change: change.sequence)[:limit])

    def last_sequence(self) -> int:
        """See `ChangeFeed`."""
        with self._lock:
            return self._last_sequence

    def bookmark(self, reader: str) -> Mapping[str, Any] | None:
        """See `Bookmarks`."""
        with self._lock:
            kept = self._bookmarks.get(reader)
        state: dict[str, Any] | None = None if kept is None else json.loads(kept)
        return state

    def save_bookmark(self, reader: str, state: Mapping[str, Any]) -> None:
        """See `Bookmarks`. Nothing is on a disk."""
        text = json.dumps(dict(state))
        with self._lock:
            self._bookmarks[reader] = text

    def directory_totals(self, source_id: str, below: bytes = b"") -> Iterator[DirectoryTotals]:
        """See `CountsByDirectory`."""
        with self._lock:
            source = self._sources.get(source_id)
            inside = {path: list(names.values()) for path, names in source.assets.items()} if source else {}
        for path, states in inside.items():
            if states and is_below(path, below):
                present = [state for state in states if state.missing_since_ns is None]
                size = sum(state.fingerprint.size for state in present)
                yield DirectoryTotals(path, len(present), len(states) - len(present), size)

    def find(self, source_id: str, asset_id: bytes) -> AssetState | None:
        """What is known of an asset; under the lock."""
        directory, name = split(asset_id)
        source = self._sources.get(source_id)
        return source.assets.get(directory, {}).get(name) if source else None

    def count_change(self, source: SourceEntry, asset_id: bytes) -> None:
        """The asset has changed, or is gone; under the lock."""
        self._last_sequence += 1
        source.sequences[asset_id] = self._last_sequence
