"""What readers of a store's changes need: the changes in an order that no clock decides, and bookmarks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from media_watch_tasks.model.sources import AssetState, DirectoryTotals
from media_watch_tasks.model.values import Value

__all__ = ["AssetChange", "Bookmarks", "ChangeFeed", "CountsByDirectory"]


@attrs.frozen(eq=False, repr=False)
class AssetChange(Value):
    """The latest state of an asset that changed; earlier changes of it since the watermark are folded into this one."""

    sequence: int
    source_id: str
    asset_id: bytes
    state: AssetState | None
    """None: the asset was removed from the store (a tombstone)."""


class ChangeFeed(ABC):
    """A monotonic local sequence of changes with tombstones. Read from 0 on, it yields every asset the store knows."""

    @abstractmethod
    def changes_since(
        self, watermark: int, *, source_id: str | None = None, limit: int = 1000
    ) -> Sequence[AssetChange]:
        """Changes with a sequence above the watermark, in order of sequence, at most `limit`; all of one moment.

        No change that commits later ever gets a sequence at or below one that was returned. What leaves the state of an
        asset as it was is no change. An asset that is back has no tombstone any more.
        """

    @abstractmethod
    def last_sequence(self) -> int:
        """The sequence of the latest change, 0 before the first."""


class Bookmarks(ABC):
    """Capability of a store: it keeps for each reader of its changes how far that is."""

    @abstractmethod
    def bookmark(self, reader: str) -> Mapping[str, Any] | None:
        """What the reader saved last; None before the first time."""

    @abstractmethod
    def save_bookmark(self, reader: str, state: Mapping[str, Any]) -> None:
        """Keep a JSON object for the reader, on the disk when the call returns, with every change before it."""


class CountsByDirectory(ABC):
    """Capability of a store: counts and sums without reading every asset."""

    @abstractmethod
    def directory_totals(self, source_id: str, below: bytes = b"") -> Iterator[DirectoryTotals]:
        """What is known in each directory at and below `below` that has an asset, in any order; all of one moment."""
