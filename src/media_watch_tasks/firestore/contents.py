"""What the catalog has to hold, as the database says: documents of assets, and parents that count them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import attrs

from media_watch_tasks.abc.change_feed import ChangeFeed, CountsByDirectory
from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.errors import PermanentError
from media_watch_tasks.firestore.batches import PlannedWrite
from media_watch_tasks.firestore.connection import Connection
from media_watch_tasks.firestore.documents import CatalogEntry, DocumentMapping
from media_watch_tasks.firestore.reports import Refusal
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.sources import AssetState, DirectoryTotals

__all__ = ["Contents", "OnMissing", "Subject"]

OnMissing = Literal["mark", "delete"]
_PAGE = 1_000
_Counted = dict[str, dict[tuple[str, bytes], DirectoryTotals]]


@attrs.frozen
class Subject:
    """What a write is done for."""

    shown: str
    sequence: int = 0
    parent: bool = False


class Contents:
    """The catalog of some sources of a store, under a mapping."""

    def __init__(
        self,
        connection: Connection,
        store: MediaStateStore,
        mapping: DocumentMapping,
        *,
        on_missing: OnMissing,
        all_sources: Sequence[str],
    ) -> None:
        self._connection = connection
        self._store = store
        self.mapping = mapping
        self._on_missing = on_missing
        self._all_sources = all_sources

    @property
    def signature(self) -> str:
        """Of everything that decides what a document holds."""
        return f"{self.mapping.signature}:missing={self._on_missing}"

    @property
    def places(self) -> tuple[str, ...]:
        """Collections in which documents may stand, documents as `*`."""
        return tuple("/*/".join(each) for each in self.mapping.collections)

    def place_of(self, state: AssetState | None) -> str | None:
        """Where the document of an asset has to stand; None where none has to."""
        if state is None or (state.missing_since_ns is not None and self._on_missing == "delete"):
            return None
        return self.mapping.path(state.source_id, state.asset_id)

    def write_of(self, state: AssetState) -> Any:  # noqa: ANN401 - a Write message, or None
        """The write of an asset's document, None where it has none. Raises `PermanentError` if it is refused."""
        path = self.place_of(state)
        if path is None:
            return None
        entry = CatalogEntry(
            asset=state.asset,
            metadata=state.current_metadata,
            first_seen_ns=state.first_seen_ns,
            missing_since_ns=state.missing_since_ns,
            baseline=state.baseline,
        )
        return self._connection.set_write(path, self.mapping, entry)

    def planned(
        self, source_id: str, asset_id: bytes, state: AssetState | None, *, sequence: int = 0
    ) -> PlannedWrite | Refusal | None:
        """The write, or the removal, that makes the catalog right for an asset; None where it has no place in it."""
        subject = Subject(display_text(asset_id), sequence)
        try:
            message = None if state is None else self.write_of(state)
            if message is None:
                path = self.mapping.path(source_id, asset_id)
                if path is None:
                    return None
                message = self._connection.delete_write(path)
        except PermanentError as error:
            return Refusal(subject.shown, str(error))
        return PlannedWrite(message, subject)

    def states(self, source_id: str) -> Iterator[AssetState]:
        """Every asset that the store knows, missing ones included, in portions."""
        feed = self._store
        assert isinstance(feed, ChangeFeed)  # noqa: S101 - the constructor of the sync has seen to it
        watermark, last = 0, feed.last_sequence()
        while changes := feed.changes_since(watermark, source_id=source_id, limit=_PAGE):
            for change in changes:
                if change.state is not None and change.sequence <= last:
                    yield change.state
            watermark = changes[-1].sequence

    def parents_of(self, source_id: str) -> list[str]:
        """All parent documents of a source."""
        found = (self.mapping.parents(each.directory) for each in self._totals(source_id, b""))
        return list(dict.fromkeys(parent for parents in found for parent in parents))

    def parent_writes(self, parents: Sequence[str]) -> Iterator[PlannedWrite | Refusal]:
        """Writes of parent documents, with counts of all sources as they are now; removals of those without assets."""
        scopes: dict[bytes, _Counted] = {}
        for parent in parents:
            totals: dict[tuple[str, bytes], DirectoryTotals] = {}
            for scope in self.mapping.scopes(parent):
                if scope not in scopes:
                    scopes[scope] = self._counted(scope)
                totals.update(scopes[scope].get(parent, {}))
            try:
                yield PlannedWrite(self._parent_write(parent, list(totals.values())), Subject(parent, parent=True))
            except PermanentError as error:
                yield Refusal(parent, str(error))

    def _counted(self, scope: bytes) -> _Counted:
        """What stands in a scope, by parent document; its directories are read once, however many parents share it."""
        counted: _Counted = {}
        for source_id in self._all_sources:
            for each in self._totals(source_id, scope):
                for parent in self.mapping.parents(each.directory):
                    counted.setdefault(parent, {})[source_id, each.directory] = each
        return counted

    def _parent_write(self, parent: str, totals: Sequence[DirectoryTotals]) -> Any:  # noqa: ANN401 - a Write message
        if self._on_missing == "delete":
            totals = [attrs.evolve(each, missing=0) for each in totals]
        counted = [each for each in totals if each.present or each.missing]
        if not counted:
            return self._connection.delete_write(parent)
        return self._connection.plain_write(parent, self.mapping.parent_fields(parent, counted))

    def _totals(self, source_id: str, scope: bytes) -> Iterator[DirectoryTotals]:
        assert isinstance(self._store, CountsByDirectory)  # noqa: S101 - as above
        return self._store.directory_totals(source_id, scope)
