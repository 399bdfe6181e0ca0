"""Pictures whose size stands at a fixed place: BMP, PSD, JPEG 2000."""

from __future__ import annotations

import struct

from media_watch_tasks.probe.stills.picture import HeaderError, Picture, ReadAt

__all__ = ["read_bmp", "read_jp2", "read_psd"]

_OS2_HEADER = 12


def read_bmp(read: ReadAt) -> Picture:
    """A Windows or OS/2 bitmap; a negative height only says that the top row comes first.

    Raises:
        HeaderError: the header is cut off.
    """
    head = read(0, 30)
    if len(head) < 30:  # noqa: PLR2004 - up to the number of bits
        raise HeaderError("a BMP header that is cut off")
    old = int.from_bytes(head[14:18], "little") == _OS2_HEADER
    width, height = struct.unpack_from("<HH" if old else "<ii", head, 18)
    if width <= 0 or not height:
        raise HeaderError("a BMP of no size")
    return Picture(container="bmp", codec="bmp", width=width, height=abs(height))


def read_psd(read: ReadAt) -> Picture:
    """Photoshop, PSD and PSB.

    Raises:
        HeaderError: the header is cut off.
    """
    head = read(0, 26)
    if len(head) < 26:  # noqa: PLR2004 - the file header section
        raise HeaderError("a PSD header that is cut off")
    height, width, depth = struct.unpack_from(">IIH", head, 14)
    return Picture(container="psd", codec="psd", width=width, height=height, bit_depth=depth)


def read_jp2(read: ReadAt) -> Picture:
    """JPEG 2000: the SIZ segment of the codestream, which stands within the first kilobytes.

    Raises:
        HeaderError: it does not.
    """
    head = read(0, 16_384)
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(head) < at + 24:
        raise HeaderError("a JPEG 2000 file without codestream header")
    right, bottom, left, top = struct.unpack_from(">4I", head, at + 8)
    return Picture(container="jp2", codec="jpeg2000", width=right - left, height=bottom - top)
