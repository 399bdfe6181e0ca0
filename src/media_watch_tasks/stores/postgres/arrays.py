"""Columns of a batch as the arrays that `unnest` takes: psycopg's own take as long as the whole statement.

Their binary form (`array_recv` in PostgreSQL's src/backend/utils/adt/arrayfuncs.c): the number of dimensions, whether
there are NULLs, the type of the elements; length and lower bound; then each element behind its length, -1 for NULL.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence

from media_watch_tasks.stores.relational.task_codec import Digest
from media_watch_tasks.stores.relational.text_codec import OddText, from_sql

__all__ = ["ESCAPED", "Blobs", "Numbers", "Texts", "blobs", "kept_text", "numbers", "texts"]

ESCAPED = "\x1a"
"""SUBSTITUTE begins a text that is kept as a JSON string (ASCII)."""

_HEAD = struct.Struct("!iiiii")
_LENGTH = struct.Struct("!i")
_EMPTY = struct.Struct("!iii")
_NUMBER = struct.Struct("!iq")
_NULL = _LENGTH.pack(-1)
_INT8, _BYTEA, _TEXT = 20, 17, 25
"""Types, by their numbers in pg_type."""


class Numbers(bytes):
    """A `bigint[]`."""


class Blobs(bytes):
    """A `bytea[]`."""


class Texts(bytes):
    """A `text[]`."""


def kept_text(text: str) -> str:
    """A text as PostgreSQL keeps it: it has neither NUL nor lone surrogates, which file names bring."""
    if "\0" in text or text.startswith(ESCAPED):
        return ESCAPED + json.dumps(text)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return ESCAPED + json.dumps(text)
    return text


def numbers(values: Iterable[int | None]) -> Numbers:
    """A column of numbers."""
    given = list(values)
    if None in given:
        return Numbers(_array(_INT8, [_NULL if value is None else _NUMBER.pack(8, value) for value in given], nulls=1))
    pairs = [8] * (2 * len(given))
    pairs[1::2] = given  # type: ignore[assignment]  # there is no None among them
    return Numbers(_array(_INT8, [struct.pack("!" + "iq" * len(given), *pairs)], length=len(given)))


def blobs(values: Iterable[bytes]) -> Blobs:
    """A column of BLOBs."""
    return Blobs(_array(_BYTEA, [_LENGTH.pack(len(value)) + value for value in values]))


def texts(values: Iterable[str | OddText | Digest | None]) -> Texts:
    """A column of texts."""
    return Texts(_array(_TEXT, [_NULL if value is None else _text(value) for value in values], nulls=1))


def _array(kind: int, elements: Sequence[bytes], *, nulls: int = 0, length: int | None = None) -> bytes:
    length = len(elements) if length is None else length
    if not length:
        return _EMPTY.pack(0, 0, kind)
    return _HEAD.pack(1, nulls, kind, length, 1) + b"".join(elements)


def _text(value: str | OddText | Digest) -> bytes:
    text = (value.hex() if isinstance(value, Digest) else kept_text(from_sql(value))).encode()
    return _LENGTH.pack(len(text)) + text
