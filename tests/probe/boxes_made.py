"""Boxes by hand, for files that no writer makes."""

from __future__ import annotations

import struct

__all__ = ["box", "full_box", "large_box", "replace_box"]


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def large_box(kind: bytes, body: bytes, *, size: int | None = None) -> bytes:
    return struct.pack(">I4sQ", 1, kind, (size or len(body)) + 16) + body


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def replace_box(data: bytes, path: tuple[bytes, ...], new: bytes | None) -> bytes:
    """Replace (None: remove) the first box at a path, and mend the sizes of all boxes around it."""
    out, at, done = [], 0, False
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = size or len(data) - at
        whole = data[at : at + size]
        if kind == path[0] and not done:
            done = True
            whole = box(kind, replace_box(whole[8:], path[1:], new)) if len(path) > 1 else new or b""
        out.append(whole)
        at += size
    assert done, f"there is no {path[0]!r}"
    return b"".join(out)
