"""ChangeFeed: what changed in a store since a point, in an order that no clock decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import attrs

from media_watch_tasks.model.sources import AssetState

__all__ = ["AssetChange", "ChangeFeed"]


@attrs.frozen
class AssetChange:
    """The latest state of an asset that changed; earlier changes of it since the watermark are folded into this one."""

    sequence: int
    source_id: str
    asset_id: bytes
    state: AssetState | None
    """None: the asset was removed from the store (a tombstone)."""


class ChangeFeed(ABC):
    """A monotonic local sequence of changes with tombstones."""

    @abstractmethod
    def changes_since(
        self, watermark: int, *, source_id: str | None = None, limit: int = 1000
    ) -> Sequence[AssetChange]:
        """Changes with a sequence above the watermark, in order of sequence, at most `limit`.

        No change that commits later ever gets a sequence at or below one that was returned.
        """

    @abstractmethod
    def last_sequence(self) -> int:
        """The sequence of the latest change, 0 before the first."""
