"""PNG and APNG (PNG third edition, 11): size, depth, Exif, frames of an animation."""

from __future__ import annotations

import struct

from media_watch_tasks.probe.stills.exif import read_exif
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError, Picture, ReadAt

__all__ = ["read_png"]

_MOST_CHUNKS = 5_000
_LARGEST_EXIF = 1024 * 1024


def read_png(read: ReadAt) -> Picture:
    """Walk the chunks: of a still up to the pixels, of an animation to the end.

    Raises:
        HeaderError: the first chunk is no image header.
    """
    head = read(8, 21)
    if len(head) < 21 or head[4:8] != b"IHDR":  # noqa: PLR2004 - the first chunk
        raise HeaderError("a PNG without image header")
    width, height, depth = struct.unpack_from(">IIB", head, 8)
    camera, frames, duration, at = CameraData(), 0, 0.0, 8
    for _ in range(_MOST_CHUNKS):
        chunk = read(at, 8)
        if len(chunk) < 8:  # noqa: PLR2004 - length and type
            break
        length, kind = struct.unpack(">I4s", chunk)
        if kind == b"acTL":
            frames = int.from_bytes(read(at + 8, 4), "big")
        elif kind == b"fcTL":
            top, bottom = struct.unpack(">HH", read(at + 8 + 20, 4).ljust(4, b"\0"))
            duration += top / (bottom or 100)
        elif kind == b"eXIf" and length <= _LARGEST_EXIF:
            camera = read_exif(read(at + 8, length))
        elif kind == b"IEND" or (kind == b"IDAT" and not frames):
            break
        at += 12 + length
    return Picture(
        container="png",
        codec="apng" if frames else "png",
        width=width,
        height=height,
        bit_depth=depth,
        frames=frames or None,
        duration=round(duration, 6) or None if frames else None,
        camera=camera,
    )
