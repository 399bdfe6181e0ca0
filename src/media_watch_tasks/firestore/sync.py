"""FirestoreCatalogSync: the catalog in the cloud is what the database says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from media_watch_tasks.abc.change_feed import Bookmarks, ChangeFeed, CountsByDirectory
from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.firestore.connection import DEFAULT_TIMEOUT, Connection
from media_watch_tasks.firestore.contents import Contents, OnMissing
from media_watch_tasks.firestore.documents import DocumentMapping
from media_watch_tasks.firestore.ramp import WriteRamp
from media_watch_tasks.firestore.reports import CatalogComparison, SyncReport
from media_watch_tasks.firestore.source_sync import SourceRun
from media_watch_tasks.firestore.verification import compare

__all__ = ["FirestoreCatalogSync", "HasMediaState"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


class HasMediaState(Protocol):
    """Stores, as `SqliteStores` has them."""

    @property
    def media_state(self) -> Any:  # noqa: ANN401 - a MediaStateStore with a change feed, which no type can say
        """A `MediaStateStore` that is a `ChangeFeed`, keeps `Bookmarks` and is a `CountsByDirectory`."""


class FirestoreCatalogSync:
    """Keeps a catalog in Firestore exactly as the database has it: new, changed, moved and missing assets.

        sync = FirestoreCatalogSync(client, stores)
        sync.sync_incremental()                        # what changed since the last time; a job for a Scheduler

    It reads the store's feed of changes, which no clock decides, and writes whole documents under ids that depend on
    the asset alone. How far it is moves only once the documents are committed, in the database and in
    `_sync_metadata/{source}`; where the two do not fit together (a backup came back, another database wrote) everything
    is written, and what belongs to no asset is deleted. One sync at a time may write a catalog.

    Args:
        client: a `google.cloud.firestore.Client`, which stays open; None makes one that `close` closes.
        stores: the stores of the `TaskManager`s.
        mapping: which documents, and what is in them.
        sources: ids of the sources to sync; all of the stores by default.
        on_missing: `mark` the document of an asset that is gone (`missing`, `missing_since`), or `delete` it. An asset
            is gone when a complete scan says so, never before.
        flights: commits at once.
        ramp: limits the rate of writes, by default to 500 a second and half as many more every 5 minutes; None does
            not: for emulators, and collections that have their traffic already. One may be shared by all that write to
            a database.
        project, database, credentials_file: for a client of its own, see `FirestoreUploader`.
        timeout: of one call.
        clock: measures and spends pauses.

    Raises:
        MissingDependencyError: google-cloud-firestore is not installed.
        AuthenticationRequiredError: there are no credentials.
        ConfigurationError: an argument makes no sense, or the stores have no feed of changes.
    """

    def __init__(
        self,
        client: Any | None,  # noqa: ANN401 - a firestore.Client, which is no type where the extra is missing
        stores: HasMediaState,
        *,
        mapping: DocumentMapping = DocumentMapping(),  # noqa: B008 - stateless
        sources: Iterable[str] | None = None,
        on_missing: OnMissing = "mark",
        flights: int = 4,
        ramp: WriteRamp | Literal["default"] | None = "default",
        project: str | None = None,
        database: str | None = None,
        credentials_file: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        if on_missing not in {"mark", "delete"}:
            raise ConfigurationError(f"on_missing is 'mark' or 'delete', not {on_missing!r}")
        if flights < 1:
            raise ConfigurationError(f"flights is 1 or more, not {flights}")
        self._connection = Connection(
            client,
            project=project,
            database=database,
            credentials_file=credentials_file,
            timeout=timeout,
            ramp=ramp,
            clock=clock,
            user="FirestoreCatalogSync",
        )
        self._store = _followed(stores)
        self._mapping = mapping
        self._sources = None if sources is None else tuple(sources)
        self._on_missing = on_missing
        self._flights = flights
        self._lock = threading.Lock()

    def sync_incremental(self, cancel: CancelToken | None = None, *, dry_run: bool = False) -> SyncReport:
        """Write what changed since the last sync. Nothing changed: nothing is written, one document a source is read.

        Documents that Firestore refuses are in the report, and the rest goes on. With `dry_run` the report says what
        would be done, and nothing is written. A cancelled sync ends after the commits that are on their way.

        Raises:
            TransientError, RateLimited: the database did not take it, also after repeats; the next call goes on from
                what is committed.
            AuthenticationRequiredError, DestinationOfflineError: as above, and a person has to mend it first.
        """
        return self._sync(cancel, dry_run=dry_run, everything=False)

    def sync_all(self, cancel: CancelToken | None = None, *, dry_run: bool = False) -> SyncReport:
        """Write every document, and delete those of no asset. One that is cut off is gone on with by the next sync.

        Raises: as `sync_incremental`.
        """
        return self._sync(cancel, dry_run=dry_run, everything=True)

    def verify(self, cancel: CancelToken | None = None, *, repair: bool = False) -> CatalogComparison:
        """Read the whole catalog and compare it with the database; with `repair` write and delete what differs.

        What changed since the last sync differs too. It reads each document once or twice.

        Raises: as `sync_incremental`.
        """
        with self._lock:
            contents, sources = self._contents()
            return CatalogComparison(
                tuple(
                    compare(
                        self._connection, self._store, contents, source_id,
                        repair=repair, flights=self._flights, cancel=cancel,
                    )
                    for source_id in sources
                )
            )  # fmt: skip

    def close(self) -> None:
        """Close the client if it was made here."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _sync(self, cancel: CancelToken | None, *, dry_run: bool, everything: bool) -> SyncReport:
        with self._lock:
            contents, sources = self._contents()
            reports = []
            for source_id in sources:
                run = SourceRun(
                    self._connection, self._store, contents, source_id,
                    flights=self._flights, dry_run=dry_run, cancel=cancel,
                )  # fmt: skip
                reports.append(run.perform(everything=everything))
                report = reports[-1]
                logger.info(
                    "catalog synced",
                    extra={"source": source_id, "written": report.written, "deleted": report.deleted},
                )
            return SyncReport(tuple(reports), dry_run)

    def _contents(self) -> tuple[Contents, Sequence[str]]:
        sources = self._sources
        if sources is None:
            sources = tuple(state.source_id for state in self._store.sources())
        contents = Contents(
            self._connection, self._store, self._mapping, on_missing=self._on_missing, all_sources=sources
        )
        return contents, sources


def _followed(stores: HasMediaState) -> MediaStateStore:
    store = stores.media_state
    if not isinstance(store, MediaStateStore):
        raise ConfigurationError(f"FirestoreCatalogSync needs stores with a media_state, not {type(stores).__name__}")
    for capability in (ChangeFeed, Bookmarks, CountsByDirectory):
        if not isinstance(store, capability):
            raise ConfigurationError(
                f"{type(store).__name__} is no {capability.__name__}: the catalog sync follows stores that are"
            )
    return store
