"""Firestore's limits on a document, checked before it is sent: one that passes them is refused alone, in words.

The figures are those of Firestore's page on quotas and limits; sizes are counted as its page on storage size says.
"""

from __future__ import annotations

import re

from media_watch_tasks.errors import PermanentError

__all__ = [
    "DEEPEST_FIELD",
    "LARGEST_DOCUMENT",
    "LARGEST_VALUE",
    "check_field_name",
    "check_path",
    "path_size",
]

LARGEST_DOCUMENT = 1024 * 1024
"""Bytes."""
LARGEST_VALUE = LARGEST_DOCUMENT - 89
"""Bytes of one field's value."""
DEEPEST_FIELD = 20
"""Levels of maps and lists in a field."""
_LONGEST_ID = 1_500
_LONGEST_NAME = 6 * 1024
_DEEPEST_COLLECTION = 100
_RESERVED = re.compile(r"__.*__", re.DOTALL)


def check_path(path: str) -> None:
    """Raise `PermanentError` if no document can stand at this path (relative to the database)."""
    segments = path.split("/")
    if len(segments) % 2:
        raise PermanentError(
            f"the document path {_shown(path)} has {len(segments)} segments: it alternates collections and ids, so "
            "their number is even, and no id holds a slash; mend `path` of the mapping"
        )
    if len(segments) > 2 * _DEEPEST_COLLECTION:
        raise PermanentError(
            f"the document path {_shown(path)} is nested deeper than {_DEEPEST_COLLECTION} collections"
        )
    for segment in segments:
        reason = _bad_id(segment)
        if reason:
            raise PermanentError(f"the document path {_shown(path)} {reason}; mend `path` of the mapping")
    if path_size(path) > _LONGEST_NAME:
        raise PermanentError(f"the document path {_shown(path)} is longer than {_LONGEST_NAME} bytes")


def _bad_id(segment: str) -> str | None:
    if not segment:
        return "has an empty segment"
    if segment in {".", ".."}:
        return f"has the segment {segment}, which Firestore does not allow"
    if _RESERVED.fullmatch(segment):
        return f"has the segment {_shown(segment)}, and ids that begin and end with __ are reserved"
    try:
        length = len(segment.encode("utf-8"))
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no text"
    if length > _LONGEST_ID:
        return f"has a segment of {length:,} bytes, and {_LONGEST_ID:,} are allowed"
    return None


def check_field_name(name: object, where: str) -> int:
    """The size of a field's name; raises `PermanentError` if Firestore takes no such name."""
    if not isinstance(name, str):
        raise PermanentError(f"{where} has the key {name!r}: keys are texts")
    if not name or _RESERVED.fullmatch(name):
        raise PermanentError(f"{where} has the field name {name!r}: it is empty, or reserved (__x__)")
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise PermanentError(f"{where} has a field name with half of a surrogate pair: {name!a}") from error
    if size > _LONGEST_ID:
        raise PermanentError(f"{where} has a field name of {size:,} bytes, and {_LONGEST_ID:,} are allowed")
    return size + 1


def path_size(path: str) -> int:
    """Bytes that a document's name counts with."""
    # Each segment counts with one byte more, where the slashes stood and for the last; 16 come on top.
    return len(path.encode("utf-8", "surrogatepass")) + 1 + 16


def _shown(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return repr(text if len(text) <= 120 else f"{text[:100]}…")  # noqa: PLR2004 - what fits on a line
