"""FirestoreUploader: one document for each file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal

import attrs

from media_watch_tasks.abc.uploader import (
    BatchItem,
    BatchUploader,
    Checks,
    FindsExisting,
    UploadContext,
    Verifies,
)
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import AssetChanged, ConfigurationError, PermanentError
from media_watch_tasks.firestore.batches import Limits, PlannedWrite, packed
from media_watch_tasks.firestore.connection import DEFAULT_TIMEOUT, KEY_FIELD, Connection
from media_watch_tasks.firestore.documents import CatalogEntry, DocumentMapping
from media_watch_tasks.firestore.limits import check_path
from media_watch_tasks.firestore.ramp import WriteRamp
from media_watch_tasks.firestore.writer import WriteResult
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.uploads import Stage, UploadOutcome, UploadReceipt

__all__ = ["FirestoreUploader"]

_CHUNK = 1 << 20
_CHECK_PATH = "_sync_metadata/check"
_DATABASE = "database"
"""The detail of our receipts that tells them from those of other uploaders."""


@attrs.frozen(eq=False)
class _Prepared:
    item: BatchItem
    receipt: UploadReceipt


class FirestoreUploader(BatchUploader, FindsExisting, Verifies, Checks):
    """Writes a document for each file: its names, size, times, tags and metadata; not its bytes.

        FirestoreUploader(project="archive")
        Then(S3Uploader(...), FirestoreUploader(client))     # the bytes to S3, its receipt into the document

    Every document is written whole, under an id that depends on the file alone: written twice it is the same. It holds
    the idempotency key, by which an upload whose answer was lost is found. A document that Firestore refuses fails
    alone; where the credentials or the database are at fault, the destination pauses and no attempt is spent.

    Args:
        client: a `google.cloud.firestore.Client`, which stays open; None makes one that `close` closes.
        project: for a client of its own; else the default of the environment.
        database: for a client of its own; else `(default)`.
        credentials_file: a service-account file for a client of its own; else the application default credentials.
        mapping: which document, and what is in it.
        hash_content: read every file to store its SHA-256. Without it, a hash is stored where it is known.
        batch_size: files in a call.
        ramp: limits the rate of writes, by default to 500 a second and half as many more every 5 minutes; None does
            not. One may be shared by all that write to a database.
        timeout: of one call.
        clock: measures and spends pauses.

    Raises:
        MissingDependencyError: google-cloud-firestore is not installed.
        AuthenticationRequiredError: there are no credentials.
        ConfigurationError: an argument makes no sense.
    """

    def __init__(
        self,
        client: Any | None = None,  # noqa: ANN401 - a firestore.Client, which is no type where the extra is missing
        *,
        project: str | None = None,
        database: str | None = None,
        credentials_file: str | None = None,
        mapping: DocumentMapping = DocumentMapping(),  # noqa: B008 - stateless
        hash_content: bool = False,
        batch_size: int = 500,
        ramp: WriteRamp | Literal["default"] | None = "default",
        timeout: timedelta = DEFAULT_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        self._limits = Limits()
        if not 1 <= batch_size <= self._limits.documents:
            raise ConfigurationError(
                f"FirestoreUploader: batch_size is from 1 to {self._limits.documents}, not {batch_size}"
            )
        self._connection = Connection(
            client,
            project=project,
            database=database,
            credentials_file=credentials_file,
            timeout=timeout,
            ramp=ramp,
            clock=clock,
            user="FirestoreUploader",
        )
        self._mapping = mapping
        self._hash_content = hash_content
        self._batch_size = batch_size
        self._details = {_DATABASE: self._connection.name}

    @property
    def destination_id(self) -> str:
        """Project, database and collections."""
        places = ",".join("/".join(each) for each in self._mapping.collections)
        return f"firestore:{self._connection.name}:{places}"

    @property
    def max_batch_size(self) -> int:
        """Files in a call."""
        return self._batch_size

    def upload_batch(self, items: Sequence[BatchItem], *, cancel: CancelToken) -> Iterator[UploadOutcome]:
        """See `BatchUploader`."""
        writes: list[PlannedWrite] = []
        for item in items:
            try:
                write = self._prepare(item)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's outcome
                yield UploadOutcome(item.context.key, error=error)
            else:
                if isinstance(write, UploadReceipt):
                    yield UploadOutcome(item.context.key, write)
                else:
                    writes.append(write)
        for batch in packed(writes, self._limits):
            for result in self._connection.writer.write(batch, cancel=cancel, gate=_confirmed):
                prepared: _Prepared = result.write.subject
                key = prepared.item.context.key
                if result.error is None:
                    yield UploadOutcome(key, prepared.receipt)
                else:
                    yield UploadOutcome(key, error=result.error)

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        """The receipt if the document of the file holds this key."""
        path = self._mapping.path(media.asset.source_id, media.asset.asset_id)
        if path is None:
            return None
        check_path(path)
        document = self._connection.get([path], cancel=context.cancel).get(path)
        if document is None:
            return None
        fields = self._connection.plain_fields(document)
        if fields.get(KEY_FIELD) != context.key:
            return None
        return self._receipt(path, media, self._connection.digest_of(document), digest=fields.get("sha256"))

    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:
        """True if the document stands there as it was written."""
        del media
        path = receipt.remote_id
        if not path or receipt.etag is None:
            return False
        try:
            check_path(path)
        except PermanentError:
            return False
        document = self._connection.get([path]).get(path)
        return document is not None and self._connection.digest_of(document) == receipt.etag

    def check(self) -> None:
        """Reach the database and see that writing is allowed, by removing a document that is not there."""
        connection = self._connection
        write = connection.delete_write(_CHECK_PATH)
        connection.calls.run(lambda: connection.database.commit([write]), doing="the database cannot be written to")

    def close(self) -> None:
        """Close the client if it was made here."""
        self._connection.close()

    def _prepare(self, item: BatchItem) -> PlannedWrite | UploadReceipt:
        media, context = item.media, item.context
        context.progress(0, stage=Stage.INITIALISE)
        path = self._mapping.path(media.asset.source_id, media.asset.asset_id)
        if path is None:
            left_out = {**self._details, "left_out": "the mapping names no document"}
            return UploadReceipt(size=media.size, details=left_out)
        check_path(path)  # before the file is read for a document that can never be written
        delivered = self._delivered_before(context)
        digest = media.sha256 or (delivered.sha256 if delivered is not None else None)
        if digest is None and self._hash_content:
            digest = _hash_of(media, context)
        entry = CatalogEntry(
            asset=media.asset,
            metadata=media.metadata,
            sha256=digest,
            tags=context.tags,
            key=context.key,
            receipt=delivered,
        )
        message = self._connection.set_write(path, self._mapping, entry)
        receipt = self._receipt(path, media, self._connection.digest_of(message.update), digest=digest)
        context.progress(media.size, stage=Stage.FINALISE)
        return PlannedWrite(message, _Prepared(item, receipt))

    def _delivered_before(self, context: UploadContext) -> UploadReceipt | None:
        """The receipt of the uploader before this one; a receipt of our own is that of an earlier version."""
        previous = context.previous
        ours = previous is not None and previous.details.get(_DATABASE) == self._connection.name
        return None if ours else previous

    def _receipt(self, path: str, media: ResolvedMedia, etag: str, *, digest: str | None) -> UploadReceipt:
        return UploadReceipt(path, size=media.size, sha256=digest, etag=etag, details=self._details)


def _confirmed(writes: Sequence[PlannedWrite]) -> list[WriteResult]:
    """Before each attempt: results for those that may not become visible (any more)."""
    stopped = []
    for write in writes:
        prepared: _Prepared = write.subject
        try:
            prepared.item.context.confirm()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's outcome
            stopped.append(WriteResult(write, error))
    return stopped


def _hash_of(media: ResolvedMedia, context: UploadContext) -> str:
    digest, count = hashlib.sha256(), 0
    with media.open() as stream:
        body = context.watch(stream)
        while chunk := body.read(_CHUNK):
            digest.update(chunk)
            count += len(chunk)
    if count != media.size:
        raise AssetChanged(f"{display_text(media.asset.asset_id)} has {count} bytes, not {media.size}")
    return digest.hexdigest()
