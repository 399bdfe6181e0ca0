"""Paths and file ids as the columns hold them."""

from __future__ import annotations

__all__ = ["file_id_bytes", "file_id_from_sql", "file_id_to_sql", "from_order_key"]

_INT64 = range(-(2**63), 2**63)


def from_order_key(key: bytes) -> bytes:
    """The directory of which `model.identity.order_key` made the key."""
    return key.replace(b"\0", b"/")


def file_id_bytes(file_id: int | None) -> bytes | None:
    """Big-endian bytes, for columns that hold one type."""
    return None if file_id is None else file_id.to_bytes(file_id.bit_length() // 8 + 1, "big", signed=True)


def file_id_to_sql(file_id: int | None) -> int | bytes | None:
    """An integer where it fits (inode numbers are unsigned 64 bits, ReFS has 128), else big-endian bytes."""
    if file_id is None or file_id in _INT64:
        return file_id
    return file_id_bytes(file_id)


def file_id_from_sql(value: int | bytes | None) -> int | None:
    """The file id that either was given."""
    return int.from_bytes(value, "big", signed=True) if isinstance(value, bytes) else value
