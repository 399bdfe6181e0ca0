"""Recognises files that were moved within the source, so that they are not sent again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, split
from media_watch_tasks.model.sources import AssetState

__all__ = ["Move", "Moves"]

Move = tuple[AssetState, MediaAsset]
"""(what was known of the old path, the asset at its new path)."""
_Known = Mapping[tuple[object, Fingerprint], Sequence[AssetState]]
"""By file id or by name, and by version."""


class Moves:
    """Matches the new assets of a page with known ones of equal size and mtime whose path is gone.

    Where file ids are stable they must be equal too. Without them the name must be equal, and there must be exactly one
    candidate on each side. A copy is no move: its origin is still there.
    """

    def __init__(self, core: ManagerCore, cancel: CancelToken) -> None:
        self._core = core
        self._cancel = cancel
        identity = core.media_state.source(core.source_id).identity
        self._by_id = identity is not None and identity.file_ids_stable

    def among(self, new: Sequence[MediaAsset]) -> list[Move]:
        """The moves; every other new asset is new."""
        core = self._core
        if not new or core.options.on_move == "upload":
            return []
        fingerprints = list({asset.fingerprint for asset in new})
        own = {asset.asset_id for asset in new}
        # Thousands of files may share a size and a time: what has to be equal besides is looked up, never searched.
        known: defaultdict[tuple[object, Fingerprint], list[AssetState]] = defaultdict(list)
        for state in core.media_state.same_version(core.source_id, fingerprints):
            if state.asset_id not in own:
                known[state.file_id if self._by_id else split(state.asset_id)[1], state.fingerprint].append(state)
        if not known:
            return []
        pairs = self._pairs_by_id(new, known) if self._by_id else self._pairs_by_name(new, known)
        return self._whose_origin_is_gone(pairs)

    def _pairs_by_id(self, new: Sequence[MediaAsset], known: _Known) -> list[Move]:
        return [
            (state, asset)
            for asset in new
            if asset.file_id is not None
            for state in known.get((asset.file_id, asset.fingerprint), ())
        ]

    def _pairs_by_name(self, new: Sequence[MediaAsset], known: _Known) -> list[Move]:
        named = [((asset.name, asset.fingerprint), asset) for asset in new]
        twins = Counter(name for name, _ in named)
        return [(state, asset) for name, asset in named if twins[name] == 1 for state in known.get(name, ())]

    def _whose_origin_is_gone(self, pairs: list[tuple[AssetState, MediaAsset]]) -> list[Move]:
        if not pairs:
            return []
        stats = self._core.resolver.stat([state.asset for state, _ in pairs], cancel=self._cancel)
        gone = [pair for pair, stat in zip(pairs, stats, strict=True) if stat is None]
        origins = Counter(asset.asset_id for _, asset in gone)
        targets = Counter(state.asset_id for state, _ in gone)
        return [
            (state, asset)
            for state, asset in gone
            if origins[asset.asset_id] == 1 and targets[state.asset_id] == 1
        ]  # fmt: skip
