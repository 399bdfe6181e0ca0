"""Directory entries: unpacked from a QUERY_DIRECTORY buffer (MS-FSCC 2.4.10), and as values for programs."""

from __future__ import annotations

import codecs
from datetime import datetime
from struct import Struct
from typing import NamedTuple

import attrs

from media_watch_tasks.clock import from_ns
from media_watch_tasks.model import identity
from media_watch_tasks.smb.wire import ProtocolViolation

__all__ = [
    "DIRECTORY",
    "DIRECTORY_INFORMATION",
    "HIDDEN",
    "ID_DIRECTORY_INFORMATION",
    "REPARSE_POINT",
    "SYSTEM",
    "Entry",
    "SmbEntry",
    "filetime_to_ns",
    "signed_id",
    "unpack_entries",
    "unsafe_names",
]

HIDDEN, SYSTEM, DIRECTORY, REPARSE_POINT = 0x2, 0x4, 0x10, 0x400
"""File attributes (MS-FSCC 2.6)."""
DIRECTORY_INFORMATION = 1
"""FileDirectoryInformation: times, sizes, attributes, name. The cheapest class for a server to fill."""
ID_DIRECTORY_INFORMATION = 38
"""FileIdFullDirectoryInformation: the same with the reparse tag and the file id."""

_PLAIN = Struct("<I20xQ8xq8xII")
_WITH_ID = Struct("<I20xQ8xq8xIII4xQ")
_UNIX_EPOCH = 116_444_736_000_000_000
_HIGHEST = _UNIX_EPOCH + (2**63 - 1) // 100
_LOWEST = _UNIX_EPOCH - (2**63 - 1) // 100
_DOTS = frozenset({b".", b".."})
_LONGEST_DOTS = 4
_decode = codecs.utf_16_le_decode
"""What `bytes.decode` comes to, without its search for the codec: it runs for every file of a NAS."""


class Entry(NamedTuple):
    """One entry of a listing. Plain and small: a scan makes millions of them."""

    name: bytes
    size: int
    mtime_ns: int
    attributes: int
    file_id: int | None
    tag: int
    """The reparse tag where it is known and the entry is a reparse point, else 0."""


@attrs.frozen
class SmbEntry:
    """A file or directory of a share."""

    path: str
    """Relative to the share, POSIX separators."""
    size: int
    """Bytes; 0 for a directory."""
    mtime_ns: int
    """Modification time, nanoseconds since 1970-01-01 UTC, a multiple of 100."""
    attributes: int
    """File attributes (MS-FSCC 2.6)."""
    change_ns: int | None = None
    """Time of the last change of contents or attributes, where it was asked for."""
    file_id: int | None = None

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_dir(self) -> bool:
        """True for a directory."""
        return bool(self.attributes & DIRECTORY)

    @property
    def modified(self) -> datetime:
        """The modification time as an aware UTC datetime, cut to microseconds."""
        return from_ns(self.mtime_ns)

    @property
    def extension(self) -> str:
        """The part of the name behind its last dot, in lower case, without the dot."""
        stem, dot, extension = self.name.rpartition(".")
        return extension.lower() if dot and stem else ""


def filetime_to_ns(value: int) -> int:
    """Nanoseconds since 1970 of a FILETIME (MS-DTYP 2.3.3), or the nearest that a database integer holds."""
    return identity.within_int64((value - _UNIX_EPOCH) * 100)


def signed_id(file_id: int | None) -> int | None:
    """A file id as a signed 64-bit number, which is what databases hold; None where the server has none."""
    return file_id - (1 << 64) if file_id is not None and file_id >= 1 << 63 else file_id


def unpack_entries(data: bytes, information_class: int) -> list[Entry]:
    """The entries of one buffer, `.` and `..` left out.

    Raises `ProtocolViolation` if a length or offset leads out of the buffer, or a name is no UTF-16.
    """
    try:
        return _unpack_with_ids(data) if information_class == ID_DIRECTORY_INFORMATION else _unpack_plain(data)
    except UnicodeError:
        raise ProtocolViolation("a directory entry has a name that is no UTF-16") from None


def _unpack_plain(data: bytes) -> list[Entry]:
    # Calling the class Entry would take three times as long, and these lines run for every file of a NAS.
    unpack, make, entry = _PLAIN.unpack_from, tuple.__new__, Entry
    entries: list[Entry] = []
    append = entries.append
    position, end, fixed = 0, len(data), _PLAIN.size
    while position + fixed <= end:
        following, written, size, attributes, length = unpack(data, position)
        start = position + fixed
        stop = start + length
        if stop > end or not length or size < 0 or (following and not fixed + length <= following < end - position):
            break
        name = _decode(data[start:stop], "surrogatepass", True)[0].encode("utf-8", "surrogatepass")
        if length > _LONGEST_DOTS or name not in _DOTS:
            if not _LOWEST < written < _HIGHEST:
                written = _LOWEST if written <= _LOWEST else _HIGHEST
            append(make(entry, (name, size, (written - _UNIX_EPOCH) * 100, attributes, None, 0)))
        if not following:
            return entries
        position += following
    raise ProtocolViolation(f"a directory entry at {position} leads out of its buffer of {end} bytes")


def _unpack_with_ids(data: bytes) -> list[Entry]:
    entries: list[Entry] = []
    position, end, fixed = 0, len(data), _WITH_ID.size
    while position + fixed <= end:
        following, written, size, attributes, length, tag, file_id = _WITH_ID.unpack_from(data, position)
        start = position + fixed
        stop = start + length
        if stop > end or not length or size < 0 or (following and not fixed + length <= following < end - position):
            break
        name = _decode(data[start:stop], "surrogatepass", True)[0].encode("utf-8", "surrogatepass")
        if name not in _DOTS:
            tag = tag if attributes & REPARSE_POINT else 0
            entries.append(Entry(name, size, filetime_to_ns(written), attributes, file_id or None, tag))
        if not following:
            return entries
        position += following
    raise ProtocolViolation(f"a directory entry at {position} leads out of its buffer of {end} bytes")


def unsafe_names(entries: list[Entry]) -> list[Entry]:
    """Entries whose names would lead elsewhere (separators, NUL): only a hostile or broken server sends such."""
    together = b"\n".join([entry[0] for entry in entries])
    if b"/" not in together and b"\\" not in together and b"\0" not in together:
        return []
    return [entry for entry in entries if b"/" in entry[0] or b"\\" in entry[0] or b"\0" in entry[0]]
