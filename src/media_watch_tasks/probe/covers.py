"""Large cover pictures of MP3, FLAC and ASF files are hidden from FFmpeg, which would read every byte of them.

The frame of the picture gets a name that no reader knows (MP3, ID3v2; ASF), or becomes padding (FLAC, RFC 9639, 8).
FFmpeg then steps over it. Only cached header bytes are changed, and nothing moves.
"""

from __future__ import annotations

from media_watch_tasks.probe.asf_covers import hide_asf_covers
from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["hide_large_covers"]

_LARGE = 32 * 1024
_MOST_FRAMES = 200
_PICTURE, _PADDING = 6, 1
_ID3_HEADER, _FLAC_HEADER = 10, 4


def hide_large_covers(reader: RangeReader) -> bool:
    """Hide cover pictures of more than 32 KiB; True if there was one."""
    head = reader.at(0, _ID3_HEADER)
    if head[:4] == b"fLaC":
        return _flac(reader, len(b"fLaC"))
    if head[:3] == b"ID3" and len(head) == _ID3_HEADER and head[3] in {2, 3, 4} and not head[5] & 0xC0:
        return _id3(reader, version=head[3], end=_ID3_HEADER + _synchsafe(head[6:10]))
    return hide_asf_covers(reader, least=_LARGE)


def _flac(reader: RangeReader, at: int) -> bool:
    found = False
    for _ in range(_MOST_FRAMES):
        header = reader.at(at, _FLAC_HEADER)
        if len(header) < _FLAC_HEADER:
            break
        length = int.from_bytes(header[1:], "big")
        if header[0] & 0x7F == _PICTURE and length > _LARGE:
            found = True
            reader.overwrite(at, bytes([header[0] & 0x80 | _PADDING]))
        if header[0] & 0x80:
            break
        at += _FLAC_HEADER + length
    return found


def _id3(reader: RangeReader, *, version: int, end: int) -> bool:
    """Walk the frames of a tag without unsynchronisation and extended header: with those FFmpeg reads it all."""
    found, at = False, _ID3_HEADER
    name_size, size_size, header_size = (3, 3, 6) if version == 2 else (4, 4, 10)  # noqa: PLR2004 - ID3v2.2
    for _ in range(_MOST_FRAMES):
        header = reader.at(at, header_size)
        name = header[:name_size]
        if at + header_size > end or len(header) < header_size or not name.isalnum():
            break
        raw = header[name_size : name_size + size_size]
        length = _synchsafe(raw) if version == 4 else int.from_bytes(raw, "big")  # noqa: PLR2004 - ID3v2.4
        if name in {b"APIC", b"PIC"} and length > _LARGE:
            found = True
            reader.overwrite(at, b"X" * name_size)
        at += header_size + length
    return found


def _synchsafe(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value
