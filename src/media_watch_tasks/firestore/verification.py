"""Catalog and database beside each other, document by document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from media_watch_tasks.abc.change_feed import Bookmarks
from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import PermanentError
from media_watch_tasks.firestore.batches import FENCED, PlannedWrite, packed
from media_watch_tasks.firestore.connection import Connection
from media_watch_tasks.firestore.contents import Contents, Subject
from media_watch_tasks.firestore.flights import fly
from media_watch_tasks.firestore.leftovers import leftovers
from media_watch_tasks.firestore.reports import Refusal, SourceComparison
from media_watch_tasks.firestore.source_sync import knows_everything
from media_watch_tasks.firestore.watermark import Watermark

__all__ = ["compare"]

_PORTION = 300
_MOST_NAMED = 1_000


def compare(
    connection: Connection,
    store: MediaStateStore,
    contents: Contents,
    source_id: str,
    *,
    repair: bool,
    flights: int,
    cancel: CancelToken | None,
) -> SourceComparison:
    """What differs between the catalog and the database for one source; mended if asked for."""
    assert isinstance(store, Bookmarks)  # noqa: S101 - the constructor of the sync has seen to it
    comparison = _Comparison(connection, cancel)
    # Before anything else is read: where another sync writes meanwhile, nothing of this may be written over it.
    watermark = Watermark(connection, store, source_id)
    progress, _ = watermark.read(contents.signature, cancel=cancel)
    found, _ = leftovers(connection, contents, store, source_id, contents.places, cancel=cancel)
    unexpected = [
        PlannedWrite(connection.delete_write(each.path), Subject(each.path)) for each in found
    ]  # fmt: skip
    wanted = chain(comparison.of_assets(contents, source_id), contents.parent_writes(contents.parents_of(source_id)))
    # As in a sync: nothing is taken for gone before a scan was complete.
    removed = unexpected if knows_everything(store, source_id) else []
    wrong = chain(comparison.wrong(wanted), removed)
    batches = packed(wrong, FENCED)
    first = next(batches, None)
    if repair and first is not None:
        fence = watermark.take_over(progress, flights, cancel=cancel)
        for results in fly(connection.writer, chain((first,), batches), fence=fence, cancel=cancel):
            for result in results:
                comparison.note_repair(result.write, result.error)
        watermark.end(progress, cancel=cancel)
    for _ in batches:
        pass
    return SourceComparison(
        source_id=source_id,
        checked=comparison.checked,
        absent=tuple(comparison.absent),
        different=tuple(comparison.different),
        unexpected=tuple(each.subject.shown for each in unexpected[:_MOST_NAMED]),
        refused=tuple(comparison.refused),
        differences=comparison.differences + len(unexpected),
        repaired=comparison.repaired,
    )


class _Comparison:
    def __init__(self, connection: Connection, cancel: CancelToken | None) -> None:
        self._connection = connection
        self._cancel = cancel
        self.checked = self.differences = self.repaired = 0
        self.absent: list[str] = []
        self.different: list[str] = []
        self.refused: list[Refusal] = []

    def of_assets(self, contents: Contents, source_id: str) -> Iterator[PlannedWrite | Refusal]:
        """The writes that would make the catalog."""
        for state in contents.states(source_id):
            if contents.place_of(state) is None:
                continue
            self.checked += 1
            planned = contents.planned(source_id, state.asset_id, state)
            if planned is not None:
                yield planned

    def wrong(self, wanted: Iterable[PlannedWrite | Refusal]) -> Iterator[PlannedWrite]:
        """Those of the writes that would change something."""
        stream = iter(wanted)
        while portion := list(islice(stream, _PORTION)):
            writes = [each for each in portion if isinstance(each, PlannedWrite)]
            self.refused += [each for each in portion if isinstance(each, Refusal)]
            paths = [self._connection.database.path_of(each.path) for each in writes]
            found = self._connection.get(paths, cancel=self._cancel)
            for write, path in zip(writes, paths, strict=True):
                document = found.get(path)
                if write.message.HasField("update"):
                    if document is None:
                        self._note(self.absent, path)
                    elif document.fields == write.message.update.fields:
                        continue
                    else:
                        self._note(self.different, path)
                    yield write
                elif document is not None:
                    self._note(self.different, path)
                    yield write

    def note_repair(self, write: PlannedWrite, error: Exception | None) -> None:
        if isinstance(error, PermanentError):
            self.refused.append(Refusal(write.subject.shown, str(error)))
        elif error is not None:
            raise error
        else:
            self.repaired += 1

    def _note(self, names: list[str], path: str) -> None:
        self.differences += 1
        if len(names) < _MOST_NAMED:
            names.append(path)
