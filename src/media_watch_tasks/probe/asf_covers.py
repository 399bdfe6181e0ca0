"""Pictures in the header of an ASF file (WMA, WMV): Advanced Systems Format, 3.1, 3.4, 3.11, 4.7 and 4.8."""

from __future__ import annotations

import struct

from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["hide_asf_covers"]

_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_DESCRIPTION = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
_RECORDS = {bytes.fromhex("941c23449894d149a1411d134e457054"), bytes.fromhex("c5f8cbea5baf48778467aa8c44fa4cca")}
"""The metadata library object, and the metadata object."""
_PICTURE = "WM/Picture".encode("utf-16-le")
_OBJECT, _HEADER_FIELDS, _EXTENSION_FIELDS = 24, 6, 22
_MOST = 200


def hide_asf_covers(reader: RangeReader, *, least: int) -> bool:
    """Give pictures of more than `least` bytes a name that no reader knows; True if there was one."""
    head = reader.at(0, _OBJECT)
    if head[:16] != _HEADER:
        return False
    end = min(struct.unpack_from("<Q", head, 16)[0], reader.size)
    try:
        return _in_objects(reader, _OBJECT + _HEADER_FIELDS, end, least, extended=True)
    except struct.error:
        return False  # damaged: FFmpeg judges the file


def _in_objects(reader: RangeReader, at: int, end: int, least: int, *, extended: bool = False) -> bool:
    """Walk the objects of the header, and where `extended` those inside its extension."""
    found = False
    for _ in range(_MOST):
        if at + _OBJECT > end:
            break
        kind, size = struct.unpack("<16sQ", reader.at(at, _OBJECT))
        body = at + _OBJECT
        if kind == _EXTENSION and extended:
            found |= _in_objects(reader, body + _EXTENSION_FIELDS, min(at + size, end), least)
        elif kind == _DESCRIPTION or kind in _RECORDS:
            found |= _in_list(reader, body, least, records=kind in _RECORDS)
        at += max(size, _OBJECT)
    return found


def _in_list(reader: RangeReader, at: int, least: int, *, records: bool) -> bool:
    """Walk the entries: name, type, value; a record has its lengths in front."""
    found = False
    (count,) = struct.unpack("<H", reader.at(at, 2))
    at += 2
    for _ in range(min(count, _MOST)):
        if records:
            name_length, length = struct.unpack("<4xH2xI", reader.at(at, 12))
            name = at + 12
            following = name + name_length + length
        else:
            (name_length,) = struct.unpack("<H", reader.at(at, 2))
            name = at + 2
            (length,) = struct.unpack("<2xH", reader.at(name + name_length, 4))
            following = name + name_length + 4 + length
        if length > least and reader.at(name, len(_PICTURE)) == _PICTURE:
            found = True
            reader.overwrite(name, b"X")
        at = following
    return found
