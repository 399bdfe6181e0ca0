"""Tells files that were cut off, most of them sound: by the length in the header, or by the last frame that is there.

FLAC, True Audio and WavPack name the number of samples only; each of their frames says where it stands, or how long it
is. RFC 9639, 9.1 (FLAC); the headers of the others as their reference decoders read them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["SOUND_LOOKS"]

_TAIL, _LARGEST_FRAME = 32 * 1024, 1024 * 1024
_FLAC_STREAMINFO, _FLAC_FRAME_HEADER = 42, 16
_TTA_HEADER = 22
_UNKNOWN_32 = 0xFFFFFFFF
_LARGEST_TABLE = 4 * 1024 * 1024
_MOST_CHUNKS = 64
_MONKEY_DESCRIPTOR = 3_980


def _flac(reader: RangeReader) -> bool:
    """The last frame must reach the number of samples in STREAMINFO."""
    info = reader.at(0, _FLAC_STREAMINFO)
    least, most, _ = struct.unpack_from(">HH3s", info, 8)
    largest, samples = int.from_bytes(info[15:18], "big"), int.from_bytes(info[21:26], "big") & 0xFFFFFFFFF
    if info[4] & 0x7F or not samples:
        return False
    tail = _tail(reader, min(max(largest + _TAIL // 2, _TAIL), _LARGEST_FRAME)) + bytes(_FLAC_FRAME_HEADER)
    at = tail.rfind(b"\xff")
    while at >= 0:
        number = (
            _flac_frame(tail[at : at + _FLAC_FRAME_HEADER]) if tail[at + 1 : at + 2] in {b"\xf8", b"\xf9"} else None
        )
        if number is not None:
            # With a fixed block size the number counts frames; the last one may be shorter than the others.
            start = number if tail[at + 1] & 1 else number * least
            return bool(start + most < samples)
        at = tail.rfind(b"\xff", 0, at)
    return False


def _flac_frame(head: bytes) -> int | None:
    """The number in the header of a frame, None where no header with the right checksum stands."""
    if head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] >> 4 > 10 or head[3] & 1:  # noqa: PLR2004 - reserved values
        return None
    width = 1 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length()  # noqa: PLR2004 - UTF-8, up to 7 bytes
    if 0x80 <= head[4] < 0xC0 or head[4] == 0xFF:  # noqa: PLR2004 - no byte that such a number starts with
        return None
    number = head[4] if width == 1 else head[4] & (0x7F >> width)
    for byte in head[5 : 4 + width]:
        number = number << 6 | byte & 0x3F
    end = 4 + width + {6: 1, 7: 2}.get(head[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    return number if _crc8(head[:end]) == head[end] else None


def _crc8(data: bytes) -> int:
    """Polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value << 1 ^ (0x107 if value & 0x80 else 0)
    return value


def _tta(reader: RangeReader) -> bool:
    """The table behind the header names the length of every frame."""
    rate, samples = struct.unpack("<II", reader.at(10, 8))
    length = rate * 256 // 245
    count = -(-samples // length) if length else 0
    table = reader.at(_TTA_HEADER, 4 * count) if 4 * count <= _LARGEST_TABLE else b""
    if len(table) < 4 * count:
        return 4 * count <= _LARGEST_TABLE
    return bool(_TTA_HEADER + 4 * count + 4 + sum(struct.unpack(f"<{count}I", table)) > reader.size)


def _wavpack(reader: RangeReader) -> bool:
    """The last block must be whole and reach the number of samples in the first one."""
    samples = struct.unpack("<I", reader.at(12, 4))[0]
    for window in (_TAIL, 4 * _TAIL, _LARGEST_FRAME):
        tail = _tail(reader, window)
        at = tail.rfind(b"wvpk")
        while at >= 0:
            if len(tail) >= at + 32 and tail[at + 9] == 4:  # noqa: PLR2004 - the major version
                size, first, count = struct.unpack("<I8xII", tail[at + 4 : at + 24])
                behind = len(tail) - at - 8 - size
                return bool(behind < 0 or (samples != _UNKNOWN_32 and first + count < samples))
            at = tail.rfind(b"wvpk", 0, at)
        if window >= reader.size:
            break
    return False


def _gxf(reader: RangeReader) -> bool:
    """The last packet must be an end of stream (SMPTE 360M)."""
    return b"\0\0\0\0\1\xfb" not in _tail(reader, 2048)


def _core_audio(reader: RangeReader) -> bool:
    """A chunk that ends behind the file; a data chunk of length -1 goes on to its end."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        head = reader.at(at, 12)
        if len(head) < 12:  # noqa: PLR2004 - kind and length
            break
        kind, length = struct.unpack(">4sq", head)
        if length < 0:
            return False
        at += 12 + length
        if kind == b"data" or at > reader.size:
            break
    return at > reader.size


def _wave64(reader: RangeReader) -> bool:
    return bool(struct.unpack("<Q", reader.at(16, 8))[0] > reader.size)


def _rf64(reader: RangeReader) -> bool:
    kind, length = struct.unpack("<4s4xQ", reader.at(12, 16))
    return bool(kind == b"ds64" and length > reader.size)


def _dsd_stream(reader: RangeReader) -> bool:
    return bool(struct.unpack("<Q", reader.at(12, 8))[0] > reader.size)


def _dsdiff(reader: RangeReader) -> bool:
    return bool(struct.unpack(">Q", reader.at(4, 8))[0] > reader.size)


def _monkey(reader: RangeReader) -> bool:
    """Version 3.98 and later names the length of each of its parts; older ones name no more than their samples."""
    version, *parts = struct.unpack("<H2x6I", reader.at(4, 28))
    return bool(version >= _MONKEY_DESCRIPTOR and sum(parts[:4]) + (parts[5] << 32) + parts[4] > reader.size)


def _musepack(reader: RangeReader) -> bool:
    """A stream of version 8 ends with a packet of kind SE, behind which tags may stand."""
    return b"SE\x03" not in _tail(reader, _TAIL)


def _tail(reader: RangeReader, length: int) -> bytes:
    start = max(reader.size - length, 0)
    return reader.at(start, reader.size - start)


SOUND_LOOKS: tuple[tuple[bytes, Callable[[RangeReader], bool]], ...] = (
    (b"fLaC", _flac),
    (b"TTA1", _tta),
    (b"wvpk", _wavpack),
    (b"\0\0\0\0\1\xbc", _gxf),
    (b"caff", _core_audio),
    (b"riff\x2e\x91\xcf\x11", _wave64),
    (b"RF64", _rf64),
    (b"BW64", _rf64),
    (b"DSD ", _dsd_stream),
    (b"FRM8", _dsdiff),
    (b"MAC ", _monkey),
    (b"MPCK", _musepack),
)
"""What a file starts with, and the look at its length; a struct.error of a look means damage, not a cut."""
