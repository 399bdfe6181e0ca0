"""The one codec of names and keys: nothing else in the library converts a path, a fingerprint or a key.

An asset id is the path relative to the source's root, as bytes exactly as the place has them, with POSIX separators:
`os.fsencode` for local files, UTF-8 with surrogatepass for places that keep UTF-16 names (SMB). Names are never
normalised: NFC and NFD twins, and names that differ in case alone, are different assets.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from typing import NamedTuple

import attrs

__all__ = [
    "Fingerprint",
    "Route",
    "display_text",
    "from_utf16_text",
    "is_below",
    "join",
    "order_key",
    "split",
    "task_key",
    "to_utf16_text",
    "within_int64",
]

_KEY_DOMAIN = b"mwt1"
_LENGTH = struct.Struct(">Q")
_INT64_MAX = 2**63 - 1


class Fingerprint(NamedTuple):
    """What tells two versions of an asset apart: size and mtime in the place's own precision, nothing else."""

    size: int
    """Bytes."""
    mtime_ns: int
    """Modification time, nanoseconds since 1970-01-01 UTC (an SMB time is a multiple of 100)."""


@attrs.frozen(order=True, cache_hash=True)
class Route:
    """A (source, destination) pair: tasks, keys, receipts and pauses belong to one."""

    source_id: str
    destination_id: str


def task_key(route: Route, asset_id: bytes, fingerprint: Fingerprint) -> bytes:
    """The idempotency key: SHA-256 over `mwt1` and the four parts, each preceded by its length as 8 bytes big-endian.

    Returns 32 bytes. The fingerprint enters as the ASCII text `size:mtime_ns`.
    """
    version = b"%d:%d" % fingerprint
    digest = _route_digest(route).copy()
    digest.update(b"".join((_LENGTH.pack(len(asset_id)), asset_id, _LENGTH.pack(len(version)), version)))
    return digest.digest()


@lru_cache(maxsize=64)
def _route_digest(route: Route) -> hashlib._Hash:
    """What all keys of a route begin with, hashed once."""
    digest = hashlib.sha256(_KEY_DOMAIN)
    for text in (route.source_id, route.destination_id):
        part = text.encode("utf-8", "surrogateescape")
        digest.update(_LENGTH.pack(len(part)) + part)
    return digest


def join(directory: bytes, name: bytes) -> bytes:
    """The asset id of a name in a directory (`b""` is the root)."""
    return directory + b"/" + name if directory else name


def split(asset_id: bytes) -> tuple[bytes, bytes]:
    """(directory, name) of an asset id."""
    directory, _, name = asset_id.rpartition(b"/")
    return directory, name


def is_below(directory: bytes, ancestor: bytes) -> bool:
    """True if `directory` is `ancestor` or stands below it; everything stands below the root `b""`."""
    return not ancestor or directory == ancestor or directory.startswith(ancestor + b"/")


def order_key(directory: bytes) -> bytes:
    """A key whose byte order is the order of the path's components: a folder, then all below it, then its sibling.

    NUL cannot occur in a name, so it sorts before every byte that can.
    """
    return directory.replace(b"/", b"\0")


def from_utf16_text(path: str) -> bytes:
    """The asset id of a path that a UTF-16 place gave; lone surrogates survive."""
    return path.replace("\\", "/").encode("utf-8", "surrogatepass")


def to_utf16_text(asset_id: bytes) -> str:
    """The exact text (with lone surrogates) that `from_utf16_text` got, with POSIX separators."""
    return asset_id.decode("utf-8", "surrogatepass")


def display_text(asset_id: bytes) -> str:
    r"""A text for people and logs: undecodable bytes and control characters show as `\x..`; not reversible."""
    text = asset_id.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def within_int64(value: int) -> int:
    """The value, or the nearest one that a database integer holds (a file system may hold dates past the year 2262)."""
    if -_INT64_MAX <= value <= _INT64_MAX:
        return value
    return max(-_INT64_MAX, min(value, _INT64_MAX))
