"""DocumentMapping: which document stands for an asset, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from media_watch_tasks.clock import from_ns
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.firestore.names import asset_document_id
from media_watch_tasks.firestore.plain import clean_text, plain_metadata, plain_receipt
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import split
from media_watch_tasks.model.kinds import mime_type_of
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.sources import DirectoryTotals
from media_watch_tasks.model.uploads import UploadReceipt

__all__ = ["CatalogEntry", "DocumentMapping"]


@attrs.frozen(kw_only=True)
class CatalogEntry:
    """What is known of an asset when its document is made. What a way to Firestore does not know is None."""

    asset: MediaAsset
    metadata: MediaMetadata | None = None
    """Of the version that stands there now."""
    sha256: str | None = None
    """Hex."""
    tags: frozenset[str] = frozenset()
    """Of the task; the catalog sync knows no tasks."""
    key: str | None = None
    """The idempotency key of the upload."""
    receipt: UploadReceipt | None = None
    """Of the uploader that delivered the bytes, where one came before (`Then`)."""
    first_seen_ns: int | None = None
    missing_since_ns: int | None = None
    """Wall time at which it was found to be gone; None while it is present."""
    baseline: bool = False


class DocumentMapping:
    """One document for each asset, `files/{id}`. Subclass it for a layout or fields of your own.

    Whatever `fields` returns, the document also gets `source` and `asset_id`, by which the catalog sync finds the asset
    of a document, and `key` where an upload wrote it.

    Args:
        collection: the collection, an odd number of segments: `files`, or `archives/nas/files`.

    Raises:
        ConfigurationError: the collection is none.
    """

    version = "1"
    """Change it when `fields` changes: the next sync then writes every document anew."""

    def __init__(self, collection: str = "files") -> None:
        segments = collection.split("/")
        if len(segments) % 2 == 0 or not all(segments):
            raise ConfigurationError(
                f"{collection!r} is no collection: it has an odd number of segments, such as `files` or `a/b/files`"
            )
        self.collection = collection

    @property
    def collections(self) -> Sequence[Sequence[str]]:
        """Where documents may stand: for each place the ids of its collections from the root on, documents left out.

        `(("files",),)`, or `(("catalogs", "series", "contents"),)` for `catalogs/*/series/*/contents`. A fixed place
        below documents is one text: `(("archives/nas/files",),)`.
        """
        return ((self.collection,),)

    @property
    def signature(self) -> str:
        """What tells this layout from another one: after a change of it the next sync writes every document."""
        return f"{type(self).__qualname__}:{self.version}:{'|'.join('/'.join(each) for each in self.collections)}"

    def path(self, source_id: str, asset_id: bytes) -> str | None:
        """Where the document of an asset stands, relative to the database; None leaves the asset out of the catalog.

        It depends on these two alone, and no two assets share a path.
        """
        return f"{self.collection}/{asset_document_id(source_id, asset_id)}"

    def fields(self, entry: CatalogEntry) -> Mapping[str, Any]:
        """What is in the document: None, bool, int, float, str, bytes, aware datetime, and mappings and lists of them.

        Equal entries give equal fields: a document is written whole, and compared with what stands in the catalog.
        """
        asset = entry.asset
        directory, name = split(asset.asset_id)
        fields: dict[str, Any] = {
            "name": clean_text(name),
            "path": clean_text(asset.asset_id),
            "directory": clean_text(directory),
            "kind": str(asset.kind),
            "mime_type": mime_type_of(name),
            "size": asset.size,
            "mtime_ns": asset.mtime_ns,
            "modified": from_ns(asset.mtime_ns),
            "missing": entry.missing_since_ns is not None,
            "missing_since": _moment(entry.missing_since_ns),
            "first_seen": _moment(entry.first_seen_ns),
            "sha256": entry.sha256,
            "media": None if entry.metadata is None else plain_metadata(entry.metadata),
        }
        if entry.key is not None:
            fields["tags"] = sorted(map(clean_text, entry.tags))
        if entry.receipt is not None:
            fields["receipt"] = plain_receipt(entry.receipt)
        return fields

    def parents(self, directory: bytes) -> Sequence[str]:
        """Documents that count the assets of this directory, from the top down; none here."""
        del directory
        return ()

    def scopes(self, parent: str) -> Sequence[bytes]:
        """Directories at and below which all assets stand that a parent document counts."""
        del parent
        return (b"",)

    def parent_fields(self, parent: str, totals: Sequence[DirectoryTotals]) -> Mapping[str, Any]:
        """What is in a parent document: absolute values, from the directories whose `parents` name it."""
        raise NotImplementedError(f"{type(self).__name__} names parents, such as {parent}, and has no parent_fields")


def _moment(time_ns: int | None) -> datetime | None:
    return None if time_ns is None else from_ns(time_ns)
