"""WebP (RFC 9649): size, animation, Exif and XMP."""

from __future__ import annotations

import struct

from media_watch_tasks.probe.stills.exif import read_exif, read_xmp
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError, Picture, ReadAt

__all__ = ["read_webp"]

_MOST_CHUNKS = 5_000
_LARGEST_BLOCK = 1024 * 1024
_ANIMATED = 0x02
_MORE_FOLLOWS = 0x0E
"""Animation, XMP or Exif."""


def read_webp(read: ReadAt) -> Picture:
    """Walk the chunks of the RIFF file.

    Raises:
        HeaderError: no chunk names a size.
    """
    size: tuple[int, int] | None = None
    camera, animated = CameraData(), False
    frames = ticks = 0
    at = 12
    end = 8 + int.from_bytes(read(4, 4), "little")
    for _ in range(_MOST_CHUNKS):
        head = read(at, 18)
        if at >= end or len(head) < 8:  # noqa: PLR2004 - type and length
            break
        kind, length = struct.unpack_from("<4sI", head)
        if at == 12:  # noqa: PLR2004 - the first chunk
            size = _size(kind, read(at + 8, 10))
            animated = kind == b"VP8X" and bool(head[8] & _ANIMATED)
            if kind != b"VP8X" or not head[8] & _MORE_FOLLOWS:
                break
        elif kind == b"ANMF":
            frames += 1
            ticks += int.from_bytes(read(at + 8 + 12, 3), "little")
        elif kind == b"EXIF" and length <= _LARGEST_BLOCK:
            camera = read_exif(read(at + 8, length))
        elif kind == b"XMP " and length <= _LARGEST_BLOCK:
            camera = read_xmp(read(at + 8, length), camera)
        at += 8 + length + (length & 1)
    if size is None:
        raise HeaderError("a WebP without a picture")
    return Picture(
        container="webp",
        codec="webp",
        width=size[0],
        height=size[1],
        bit_depth=8,
        frames=frames or None,
        duration=ticks / 1000 or None if animated else None,
        camera=camera,
    )


def _size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    """From the first chunk: the canvas of an extended file, the picture of a simple one."""
    if kind == b"VP8X":
        return _canvas(body[4:])
    if kind == b"VP8 ":
        return _lossy(body)
    return _lossless(body) if kind == b"VP8L" else None


def _canvas(body: bytes) -> tuple[int, int]:
    return int.from_bytes(body[:3], "little") + 1, int.from_bytes(body[3:6], "little") + 1


def _lossy(body: bytes) -> tuple[int, int] | None:
    if body[3:6] != b"\x9d\x01\x2a":
        return None
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _lossless(body: bytes) -> tuple[int, int] | None:
    if body[:1] != b"\x2f":
        return None
    bits = int.from_bytes(body[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
