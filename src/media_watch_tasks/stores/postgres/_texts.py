"""Texts on their way to the server and back. PostgreSQL keeps neither NUL nor lone surrogates, which file names bring.

A text with either of them is kept as SUBSTITUTE (U+001A) and a JSON string (ASCII); so is one that begins with
SUBSTITUTE. The stores take no notice: what they write is what they read.
"""

from __future__ import annotations

import json
from typing import Any

from psycopg import Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader

from media_watch_tasks.stores.relational.task_codec import Digest
from media_watch_tasks.stores.relational.text_codec import OddText, from_sql

__all__ = ["adapt_texts"]

_ESCAPED = "\x1a"


def _escaped(text: str) -> bytes:
    return (_ESCAPED + json.dumps(text)).encode("ascii")


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        if "\0" in obj or obj.startswith(_ESCAPED):
            return _escaped(obj)
        try:
            return obj.encode("utf-8")
        except UnicodeEncodeError:
            return _escaped(obj)


class _OddTextDumper(Dumper):
    def dump(self, obj: OddText) -> Buffer | None:
        return _escaped(from_sql(obj))


class _DigestDumper(Dumper):
    """As hexadecimal text, so that a column keeps it beside whatever an uploader calls a hash."""

    def dump(self, obj: Digest) -> Buffer | None:
        return obj.hex().encode("ascii")


class _TextLoader(TextBinaryLoader):
    def load(self, data: Buffer) -> str:
        text = bytes(data).decode("utf-8")
        return json.loads(text[1:]) if text.startswith(_ESCAPED) else text


def adapt_texts(connection: Connection[Any]) -> None:
    """Let a connection take and give every text."""
    adapters = connection.adapters
    adapters.register_dumper(str, _TextDumper)
    adapters.register_dumper(OddText, _OddTextDumper)
    adapters.register_dumper(Digest, _DigestDumper)
    adapters.register_loader("text", _TextLoader)
