"""What the rows of assets and listings mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from media_watch_tasks.abc.change_feed import AssetChange
from media_watch_tasks.model.identity import Fingerprint, join
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import DirectoryStamp
from media_watch_tasks.model.sources import AssetState, KnownListing
from media_watch_tasks.stores.relational.path_codec import file_id_from_sql, from_order_key
from media_watch_tasks.stores.relational.text_codec import from_sql

__all__ = ["LISTING_COLUMNS", "asset_change", "asset_state", "listing_from_row", "listing_row"]

LISTING_COLUMNS = "l.mtime_ns, l.ctime_ns, l.file_id, l.since_ns, l.trusted, l.children"


def asset_state(source_id: str, row: Sequence[Any]) -> AssetState:
    """From the path of the directory, the name and `ASSET_COLUMNS`."""
    path, name, size, mtime_ns, file_id, unchanged_since, first_seen, missing_since, baseline, *described = row
    meta_size, meta_mtime, text = described
    return AssetState(
        source_id=source_id,
        asset_id=join(from_order_key(path), name),
        fingerprint=Fingerprint(size, mtime_ns),
        file_id=file_id_from_sql(file_id),
        unchanged_since_ns=unchanged_since,
        first_seen_ns=first_seen,
        missing_since_ns=missing_since,
        baseline=bool(baseline),
        metadata=None if text is None else MediaMetadata.from_json(from_sql(text)),
        metadata_fingerprint=None if text is None else Fingerprint(meta_size, meta_mtime),
    )


def asset_change(row: Sequence[Any]) -> AssetChange:
    """From the sequence, the source's id and what `asset_state` takes; a tombstone has NULL for a size."""
    sequence, source, path, name, size, *_ = row
    source_id: str = from_sql(source)
    state = None if size is None else asset_state(source_id, row[2:])
    return AssetChange(sequence, source_id, join(from_order_key(path), name), state)


def listing_from_row(row: Sequence[Any]) -> KnownListing:
    """From `LISTING_COLUMNS`."""
    mtime_ns, ctime_ns, file_id, since_ns, trusted, children = row
    return KnownListing(
        stamp=DirectoryStamp(mtime_ns, ctime_ns, file_id_from_sql(file_id)),
        directories=tuple(children.split(b"\0")) if children else (),
        since_ns=since_ns,
        trusted=bool(trusted),
    )


def listing_row(
    directory: int, listing: KnownListing, file_id: int | bytes | None
) -> tuple[int | bytes | None, ...]:  # fmt: skip
    """The row of a directory, `LISTING_COLUMNS`; `file_id` as the column has it."""
    stamp, children = listing.stamp, b"\0".join(listing.directories)
    return directory, stamp.mtime_ns, stamp.ctime_ns, file_id, listing.since_ns, listing.trusted, children
