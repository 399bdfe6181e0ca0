"""Columns of a batch as the array literals that `unnest` takes: psycopg's own take as long as the whole statement.

https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from media_watch_tasks.stores.relational.task_codec import Digest
from media_watch_tasks.stores.relational.text_codec import OddText, from_sql

__all__ = ["ESCAPED", "blobs", "kept_text", "numbers", "texts"]

ESCAPED = "\x1a"
"""SUBSTITUTE begins a text that is kept as a JSON string (ASCII)."""


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


def numbers(values: Iterable[int | None]) -> str:
    """For `::bigint[]` and smaller ones."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def blobs(values: Iterable[bytes]) -> str:
    """For `::bytea[]`."""
    return "{" + ",".join(['"\\\\x' + value.hex() + '"' for value in values]) + "}"


def texts(values: Iterable[str | OddText | Digest | None]) -> str:
    """For `::text[]`."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str | OddText | Digest) -> str:
    if isinstance(value, Digest):
        return value.hex()
    text = kept_text(from_sql(value))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
