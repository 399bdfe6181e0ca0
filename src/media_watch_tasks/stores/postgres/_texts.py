"""Values on their way to the server and back, so that the stores take no notice of what PostgreSQL does not keep."""

from __future__ import annotations

import json
from typing import Any

from psycopg import Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader

from media_watch_tasks.stores.postgres.arrays import ESCAPED, Blobs, Numbers, Texts, kept_text
from media_watch_tasks.stores.relational.task_codec import Digest
from media_watch_tasks.stores.relational.text_codec import OddText, from_sql

__all__ = ["adapt_texts"]


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return kept_text(obj).encode("utf-8")


class _OddTextDumper(Dumper):
    def dump(self, obj: OddText) -> Buffer | None:
        return kept_text(from_sql(obj)).encode("utf-8")


class _DigestDumper(Dumper):
    """As hexadecimal text, so that a column keeps it beside whatever an uploader calls a hash."""

    def dump(self, obj: Digest) -> Buffer | None:
        return obj.hex().encode("ascii")


class _ArrayDumper(Dumper):
    """Arrays come in the form in which they are sent."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer | None:
        return obj


class _NumbersDumper(_ArrayDumper):
    oid = 1016


class _BlobsDumper(_ArrayDumper):
    oid = 1001


class _TextsDumper(_ArrayDumper):
    oid = 1009


class _TextLoader(TextBinaryLoader):
    def load(self, data: Buffer) -> str:
        text = bytes(data).decode("utf-8")
        return json.loads(text[1:]) if text.startswith(ESCAPED) else text


def adapt_texts(connection: Connection[Any]) -> None:
    """Let a connection take and give every text, and take arrays."""
    adapters = connection.adapters
    adapters.register_dumper(str, _TextDumper)
    adapters.register_dumper(OddText, _OddTextDumper)
    adapters.register_dumper(Digest, _DigestDumper)
    adapters.register_dumper(Numbers, _NumbersDumper)
    adapters.register_dumper(Blobs, _BlobsDumper)
    adapters.register_dumper(Texts, _TextsDumper)
    adapters.register_loader("text", _TextLoader)
