"""A digest of a directory's listing, so that an unchanged one is known by a single row of the database.

Reading the rows of a million assets costs half a second, their digest from the listing a tenth. A digest is kept for
directories that fit on one page. Any write to a directory's assets drops it, by a trigger where a row is changed or
deleted; whoever wrote puts the new one in its place. A directory without one is compared row by row.
"""

from __future__ import annotations

import hashlib
import marshal

from media_watch_tasks.model.scans import AssetRow

__all__ = ["LARGEST_DIGEST", "listing_digest"]

LARGEST_DIGEST = 1_000
"""Directories of more assets have no digest."""
# This version of marshal's format writes equal values equally, whatever else refers to them.
_FORMAT = 2


def listing_digest(rows: tuple[AssetRow, ...]) -> bytes | None:
    """16 bytes that tell listings apart; None for rows of other types than plain tuples, bytes and integers.

    Another Python may make another digest of equal rows: the comparison is by rows then, never wrong.
    """
    try:
        plain = marshal.dumps(rows, _FORMAT)
    except ValueError:
        return None
    return hashlib.blake2b(plain, digest_size=16).digest()
