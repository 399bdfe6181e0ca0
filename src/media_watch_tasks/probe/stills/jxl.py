"""JPEG XL (ISO/IEC 18181-1 SizeHeader, 18181-2 boxes)."""

from __future__ import annotations

import struct

from media_watch_tasks.probe.stills.exif import read_exif
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError, Picture, ReadAt

__all__ = ["read_jxl"]

_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_TURNS = {1: 0, 2: 0, 3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
_MOST_BOXES = 200
_LARGEST_EXIF = 1024 * 1024


class _Bits:
    """Bits, the least significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def u(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise HeaderError("a JPEG XL header that is cut off")
        value = self._value & ((1 << bits) - 1)
        self._value >>= bits
        return value


def read_jxl(read: ReadAt) -> Picture:
    """From a bare codestream or a container.

    Raises:
        HeaderError: there is no codestream header.
    """
    if read(0, 2) == b"\xff\x0a":
        return _codestream(read(2, 32), CameraData())
    camera, at, stream = CameraData(), 0, b""
    for _ in range(_MOST_BOXES):
        head = read(at, 16)
        if len(head) < 8:  # noqa: PLR2004 - a box header
            break
        size, kind = struct.unpack_from(">I4s", head)
        body = at + 8
        if size == 1 and len(head) == 16:  # noqa: PLR2004 - a large size follows
            size, body = struct.unpack_from(">Q", head, 8)[0], at + 16
        if kind in {b"jxlc", b"jxlp"} and not stream:
            stream = read(body + (4 if kind == b"jxlp" else 0), 34)
        elif kind == b"Exif" and 12 < size <= _LARGEST_EXIF:  # noqa: PLR2004 - the header and the offset
            block = read(body, at + size - body)
            camera = read_exif(block[4 + int.from_bytes(block[:4], "big") :])
        if size < 8:  # noqa: PLR2004 - 0: up to the end
            break
        at += size
    if stream[:2] != b"\xff\x0a":
        raise HeaderError("a JPEG XL file without codestream")
    return _codestream(stream[2:], camera)


def _codestream(data: bytes, camera: CameraData) -> Picture:
    bits = _Bits(data)
    small = bits.u(1)
    height = _side(bits, small=bool(small))
    ratio = bits.u(3)
    width = height * _RATIOS[ratio][0] // _RATIOS[ratio][1] if ratio else _side(bits, small=bool(small))
    orientation, depth = 1, None
    if bits.u(1):
        depth = 8
    elif bits.u(1):
        orientation = bits.u(3) + 1
    return Picture(
        container="jxl",
        codec="jpegxl",
        width=width,
        height=height,
        bit_depth=depth,
        rotation=_TURNS[orientation],
        camera=camera,
    )


def _side(bits: _Bits, *, small: bool) -> int:
    if small:
        return (bits.u(5) + 1) * 8
    return bits.u((9, 13, 18, 30)[bits.u(2)]) + 1
