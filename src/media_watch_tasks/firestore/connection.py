"""What uploader and catalog sync share: the client, its calls, and documents as writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError, MissingDependencyError
from media_watch_tasks.firestore.documents import CatalogEntry, DocumentMapping
from media_watch_tasks.firestore.names import source_name
from media_watch_tasks.firestore.ramp import WriteRamp
from media_watch_tasks.firestore.writer import Calls, Writer

__all__ = ["ASSET_FIELD", "DEFAULT_TIMEOUT", "KEY_FIELD", "SOURCE_FIELD", "Connection"]

SOURCE_FIELD, ASSET_FIELD, KEY_FIELD = "source", "asset_id", "key"
DEFAULT_TIMEOUT = timedelta(seconds=30)


class Connection:
    """A client of one database. Made by the constructors, which take its parameters and raise what it raises."""

    def __init__(
        self,
        client: Any | None,  # noqa: ANN401 - a firestore.Client
        *,
        project: str | None = None,
        database: str | None = None,
        credentials_file: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        ramp: WriteRamp | Literal["default"] | None = "default",
        clock: Clock | None = None,
        user: str,
    ) -> None:
        try:
            from media_watch_tasks.firestore import _encoding, _google  # noqa: PLC0415 - optional, see the extra
        except ImportError as error:
            raise MissingDependencyError(user, package="google-cloud-firestore", extra="firestore") from error
        if client is not None and (project or database or credentials_file):
            raise ConfigurationError(
                f"{user}: give a client, or project, database and credentials_file to make one, not both"
            )
        if timeout <= timedelta(0):
            raise ConfigurationError(f"{user}: timeout must be longer than 0, not {timeout}")
        self._encoding = _encoding
        self._own = client is None
        self._client = _google.connect(client, project=project, database=database, credentials_file=credentials_file)
        self.database = _google.Database(self._client, timeout=timeout.total_seconds())
        self.clock = clock or SystemClock()
        self.calls = Calls(clock=self.clock, status_of=_google.status_of, errors=_google.CALL_ERRORS)
        ramp = WriteRamp(clock=self.clock) if ramp == "default" else ramp
        self.writer = Writer(self.database.commit, self.calls, ramp=ramp, grace=timeout.total_seconds())

    @property
    def name(self) -> str:
        """`projects/P/databases/D`."""
        return self.database.name

    def set_write(self, path: str, mapping: DocumentMapping, entry: CatalogEntry) -> Any:  # noqa: ANN401 - a Write message
        """The write of an asset's document. Raises `PermanentError` where Firestore could not take it."""
        fields = {
            **mapping.fields(entry),
            SOURCE_FIELD: source_name(entry.asset.source_id),
            ASSET_FIELD: entry.asset.asset_id,
        }
        if entry.key is not None:
            fields[KEY_FIELD] = entry.key
        return self._encoding.set_write(self.database.root, path, fields)

    def plain_write(self, path: str, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a Write message
        """The write of any other document."""
        return self._encoding.set_write(self.database.root, path, fields)

    def delete_write(self, path: str) -> Any:  # noqa: ANN401 - a Write message
        """The removal of a document."""
        return self._encoding.delete_write(self.database.root, path)

    def guard_write(self, path: str) -> Any:  # noqa: ANN401 - a Write message
        """A write that is applied, with its whole commit, only while this empty document exists."""
        write = self.plain_write(path, {})
        write.current_document.exists = True
        return write

    def digest_of(self, message: Any) -> str:  # noqa: ANN401 - a Document message
        """64 hex digits that tell the contents of documents apart."""
        return self._encoding.digest_of(message.fields)

    def plain_fields(self, message: Any) -> dict[str, Any]:  # noqa: ANN401 - a Document message
        """Texts, numbers and bytes of a document's first level."""
        return self._encoding.plain_fields(message.fields)

    def get(self, paths: Sequence[str], *, cancel: CancelToken | None = None) -> dict[str, Any]:
        """The documents that exist, by path."""
        found: dict[str, Any] = self.calls.run(
            lambda: self.database.get(paths), doing=f"{len(paths)} documents were not read", cancel=cancel
        )
        return found

    def documents_of(self, source_id: str, collection: str, *, cancel: CancelToken | None = None) -> Iterator[Any]:
        """Documents of a collection that belong to a source: full names, with what names the asset."""
        name = source_name(source_id)
        yield from self.database.where_equal(
            collection, SOURCE_FIELD, name, select=(ASSET_FIELD,), run=self._runner(cancel)
        )

    def parents_in(self, collection: str, *, cancel: CancelToken | None = None) -> list[str]:
        """Paths of all documents of a collection."""
        found: list[str] = self.calls.run(
            lambda: list(self.database.document_ids(collection)), doing=f"{collection} was not listed", cancel=cancel
        )
        return found

    def close(self) -> None:
        """Close the client if it was made here."""
        if self._own:
            self._client.close()

    def _runner(self, cancel: CancelToken | None) -> Any:  # noqa: ANN401 - a function
        return lambda call: self.calls.run(call, doing="documents were not read", cancel=cancel)
