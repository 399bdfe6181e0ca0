"""The sync of one source: changes into documents, in the order of the feed, with the watermark behind them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain, islice

import attrs

from media_watch_tasks.abc.change_feed import AssetChange, Bookmarks, ChangeFeed
from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import MediaWatchError, OperationCancelled, PermanentError
from media_watch_tasks.firestore.batches import FENCED, PlannedWrite, packed
from media_watch_tasks.firestore.connection import Connection
from media_watch_tasks.firestore.contents import Contents, Subject
from media_watch_tasks.firestore.fence import Fence
from media_watch_tasks.firestore.flights import fly
from media_watch_tasks.firestore.leftovers import Leftover, is_empty, leftovers
from media_watch_tasks.firestore.reports import Refusal, SourceSync
from media_watch_tasks.firestore.watermark import Progress, Watermark
from media_watch_tasks.firestore.writer import WriteResult
from media_watch_tasks.model.identity import display_text, split
from media_watch_tasks.model.sources import BaselineState

__all__ = ["INCOMPLETE", "SourceRun", "knows_everything"]

INCOMPLETE = "no scan of the source is complete: what was not found (again) yet is not gone"

_PAGE = 1_000
_MOVE_EVERY = 5_000
"""Documents after which the watermark moves in the middle of a run."""


def knows_everything(store: MediaStateStore, source_id: str) -> bool:
    """False until a scan was complete: a new baseline forgets every asset before it finds them again."""
    state = store.source(source_id)
    return state.baseline is not BaselineState.STARTED and state.last_complete_ns is not None


class SourceRun:
    """One run. Made anew for each."""

    def __init__(
        self,
        connection: Connection,
        store: MediaStateStore,
        contents: Contents,
        source_id: str,
        *,
        flights: int,
        dry_run: bool,
        cancel: CancelToken | None,
    ) -> None:
        assert isinstance(store, ChangeFeed)  # noqa: S101 - the constructor of the sync has seen to it
        assert isinstance(store, Bookmarks)  # noqa: S101 - as above
        self._connection = connection
        self._store = store
        self._feed: ChangeFeed = store
        self._contents = contents
        self._source_id = source_id
        self._flights = flights
        self._dry_run = dry_run
        self._cancel = cancel
        self._complete = knows_everything(store, source_id)
        self._watermark = Watermark(connection, store, source_id)
        self._progress = Progress()
        self._fence: Fence | None = None
        self._touched: dict[bytes, None] = {}
        self._refused: list[Refusal] = []
        self._seen = 0
        self._unsaved = 0
        self._held: str | None = None
        self._written = self._deleted = self._parents = self._writes = 0

    def perform(self, *, everything: bool) -> SourceSync:
        """Bring the catalog of the source up to date."""
        signature = self._contents.signature
        self._progress, reason = self._watermark.read(signature, cancel=self._cancel)
        reads = 1
        if everything:
            self._progress, reason = Progress(places=self._progress.places), "asked for"
        full = self._progress.phase == "full"
        # Until it ends, collections of an earlier mapping are remembered: their documents have to go.
        places = tuple(dict.fromkeys((*self._contents.places, *(self._progress.places if full else ()))))
        self._progress = attrs.evolve(self._progress, signature=signature, places=places)
        if full and not self._progress.sequence:
            fresh, looked = is_empty(self._connection, self._source_id, places, cancel=self._cancel)
            self._progress = attrs.evolve(self._progress, fresh=fresh)
            reads += looked
        self._seen = started = self._progress.sequence
        try:
            self._follow(full=full)
            if full and self._complete:
                reads += self._finish(places)
            elif self._seen > started:
                self._move(self._seen, full=full, last=True)
            if full and not self._complete:
                self._held = INCOMPLETE
        except OperationCancelled:
            self._held = "cancelled"
        return SourceSync(
            source_id=self._source_id,
            full=full,
            reason=reason,
            written=self._written,
            deleted=self._deleted,
            parents=self._parents,
            refused=tuple(self._refused),
            held=self._held,
            watermark=self._progress.sequence,
            reads=reads,
            writes=self._writes,
        )

    def _follow(self, *, full: bool) -> None:
        """Write the documents of the changes so far; what changes meanwhile is for the next run.

        Within a run no document is written twice, so that the order of commits does not matter.
        """
        committed = self._progress.sequence
        try:
            for results in self._fly(self._planned(full=full)):
                committed = max(result.write.subject.sequence for result in results)
                self._unsaved += len(results)
                if self._unsaved >= _MOVE_EVERY and not self._dry_run:
                    self._move(committed, full=full)
        except MediaWatchError:
            # What is committed need not be written again, and what is in doubt is refused from here on. Where nothing
            # can be written, this fails too.
            if committed > self._progress.sequence and not self._dry_run:
                with contextlib.suppress(MediaWatchError):
                    self._move(committed, full=full, last=True)
            raise

    def _planned(self, *, full: bool) -> Iterator[PlannedWrite]:
        for change in self._changes():
            self._seen = change.sequence
            self._touched[split(change.asset_id)[0]] = None
            if full and change.state is None and not self._progress.fresh:
                continue  # what is left of it is found at the end
            planned = self._contents.planned(self._source_id, change.asset_id, change.state, sequence=change.sequence)
            if isinstance(planned, Refusal):
                self._refused.append(planned)
            elif planned is not None:
                yield planned

    def _changes(self) -> Iterator[AssetChange]:
        last = self._feed.last_sequence()
        position = self._progress.sequence
        while changes := self._feed.changes_since(position, source_id=self._source_id, limit=_PAGE):
            for change in changes:
                if change.sequence > last:
                    return
                if change.state is None and not self._complete:
                    self._held = INCOMPLETE
                    return
                yield change
            position = changes[-1].sequence

    def _finish(self, places: Sequence[str]) -> int:
        """The end of a full sync: what belongs to no asset goes, and all parents are counted; documents read."""
        found: list[Leftover] = []
        reads = 0
        if not self._progress.fresh:
            found, reads = leftovers(
                self._connection, self._contents, self._store, self._source_id, places, cancel=self._cancel
            )
        gone = [*self._touched, *(split(each.asset_id)[0] for each in found if each.asset_id is not None)]
        mapping = self._contents.mapping
        parents = dict.fromkeys(self._contents.parents_of(self._source_id))
        parents.update(dict.fromkeys(parent for directory in gone for parent in mapping.parents(directory)))
        # The parents first: should this run end here, the next one finds the same leftovers again.
        self._write_parents(list(parents))
        for _ in self._fly(self._removals(found)):
            pass
        if not self._dry_run:
            self._record(
                Progress(
                    sequence=self._seen,
                    phase="steady",
                    signature=self._progress.signature,
                    places=self._contents.places,
                ),
                last=True,
            )
        return reads

    def _removals(self, found: Iterable[Leftover]) -> Iterator[PlannedWrite]:
        for each in found:
            shown = each.path if each.asset_id is None else display_text(each.asset_id)
            yield PlannedWrite(self._connection.delete_write(each.path), Subject(shown))

    def _move(self, sequence: int, *, full: bool = False, last: bool = False) -> None:
        """Every change up to this sequence is in the catalog, once the parents of what was touched are."""
        if not full:
            mapping = self._contents.mapping
            touched = dict.fromkeys(parent for directory in self._touched for parent in mapping.parents(directory))
            self._touched.clear()
            self._write_parents(list(touched))
        if not self._dry_run:
            self._record(attrs.evolve(self._progress, sequence=sequence), last=last)

    def _record(self, progress: Progress, *, last: bool = False) -> None:
        record = self._watermark.end if last else self._watermark.move
        self._writes += record(progress, cancel=None)
        self._progress = progress
        self._unsaved = 0

    def _write_parents(self, parents: Sequence[str]) -> None:
        def planned() -> Iterator[PlannedWrite]:
            for each in self._contents.parent_writes(parents):
                if isinstance(each, Refusal):
                    self._refused.append(each)
                else:
                    yield each

        for _ in self._fly(planned()):
            pass

    def _fly(self, writes: Iterator[PlannedWrite]) -> Iterator[list[WriteResult]]:
        """Write; the results of each batch in order. Raises the first error that is not a single document's."""
        batches = packed(writes, FENCED)
        begun = list(islice(batches, 2))
        if not begun:
            return
        batches = chain(begun, batches)
        if self._dry_run:
            landed: Generator[list[WriteResult], None, None] = (
                [WriteResult(write) for write in batch] for batch in batches
            )
        else:
            if self._fence is None:
                flights = 1 if len(begun) == 1 else self._flights
                self._fence = self._watermark.take_over(self._progress, flights, cancel=self._cancel)
                self._writes += 1 + flights
            landed = fly(self._connection.writer, batches, fence=self._fence, cancel=self._cancel)
        # Closed here and now: commits that are in the air must have ended before another run begins.
        with contextlib.closing(landed):
            for results in landed:
                self._writes += not self._dry_run  # the guard
                for result in results:
                    self._count(result)
                yield results

    def _count(self, result: WriteResult) -> None:
        subject: Subject = result.write.subject
        if isinstance(result.error, PermanentError):
            self._refused.append(Refusal(subject.shown, str(result.error)))
            return
        if result.error is not None:
            raise result.error
        self._writes += not self._dry_run
        if subject.parent:
            self._parents += 1
        elif result.write.message.HasField("update"):
            self._written += 1
        else:
            self._deleted += 1
