"""Documents that stand in the catalog and belong to no asset that the database knows there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.firestore.connection import ASSET_FIELD, Connection
from media_watch_tasks.firestore.contents import Contents

__all__ = ["Leftover", "is_empty", "leftovers"]

_PORTION = 256


@attrs.frozen
class Leftover:
    """A document that has to go."""

    path: str
    asset_id: bytes | None
    """What it says it stands for."""


class _Walk:
    """The documents of a source in some places; counts what it reads."""

    def __init__(self, connection: Connection, source_id: str, cancel: CancelToken | None) -> None:
        self._connection = connection
        self._source_id = source_id
        self._cancel = cancel
        self.reads = 0

    def documents(self, place: str) -> Iterator[Leftover]:
        for collection in self._collections(place.split("/*/")):
            for document in self._connection.documents_of(self._source_id, collection, cancel=self._cancel):
                self.reads += 1
                asset_id = self._connection.plain_fields(document).get(ASSET_FIELD)
                path = self._connection.database.path_of(document.name)
                yield Leftover(path, asset_id if isinstance(asset_id, bytes) else None)

    def _collections(self, levels: Sequence[str], above: str = "") -> Iterator[str]:
        collection = above + levels[0]
        if len(levels) == 1:
            yield collection
            return
        for parent in self._connection.parents_in(collection, cancel=self._cancel):
            self.reads += 1
            yield from self._collections(levels[1:], f"{parent}/")


def is_empty(
    connection: Connection, source_id: str, places: Sequence[str], *, cancel: CancelToken | None
) -> tuple[bool, int]:
    """Whether no document of the source stands in these places, and how many documents were read."""
    walk = _Walk(connection, source_id, cancel)
    found = next((each for place in dict.fromkeys(places) for each in walk.documents(place)), None)
    return found is None, walk.reads


def leftovers(
    connection: Connection,
    contents: Contents,
    store: MediaStateStore,
    source_id: str,
    places: Sequence[str],
    *,
    cancel: CancelToken | None,
) -> tuple[list[Leftover], int]:
    """The documents of the source in these places that no asset has there, and how many documents were read."""
    walk = _Walk(connection, source_id, cancel)
    found: list[Leftover] = []
    portion: list[Leftover] = []

    def judge() -> None:
        states = store.assets(source_id, [each.asset_id or b"" for each in portion])
        for each, state in zip(portion, states, strict=True):
            if contents.place_of(state) != each.path:
                found.append(each)
        portion.clear()

    for place in dict.fromkeys(places):
        for each in walk.documents(place):
            portion.append(each)
            if len(portion) == _PORTION:
                judge()
    judge()
    return found, walk.reads
