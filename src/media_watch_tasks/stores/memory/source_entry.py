"""What the memory store keeps of one source."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from media_watch_tasks.model.identity import order_key
from media_watch_tasks.model.sources import AssetState, KnownListing, SourceState

__all__ = ["SourceEntry"]


@attrs.define
class SourceEntry:
    """Everything that is known of one source."""

    state: SourceState
    token: int = 0
    held_until_ns: int | None = None
    """End of the scan lease by the boot clock; None while nobody holds it."""
    boot_id: str = ""
    listed: set[bytes] = attrs.field(factory=set)
    listings: dict[bytes, KnownListing] = attrs.field(factory=dict)
    absent: dict[bytes, int] = attrs.field(factory=dict)
    """Asset id and the number of the scan that did not find it."""
    assets: dict[bytes, dict[bytes, AssetState]] = attrs.field(factory=dict)
    """By directory, then by name."""
    sequences: dict[bytes, int] = attrs.field(factory=dict)
    """Asset id and its latest change; of assets that were removed too."""

    def all_assets(self) -> Iterator[AssetState]:
        """Present and missing ones, in the order of a scan."""
        for directory in sorted(self.assets, key=order_key):
            inside = self.assets[directory]
            yield from (inside[name] for name in sorted(inside))
