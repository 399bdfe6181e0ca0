"""JPEG: the frame header (ITU-T T.81, B.2.2), Exif and XMP in the application segments."""

from __future__ import annotations

from media_watch_tasks.probe.stills.exif import read_exif, read_xmp
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError, Picture, ReadAt

__all__ = ["read_jpeg"]

_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MOST_SEGMENTS = 1_000


def read_jpeg(read: ReadAt) -> Picture:
    """Walk the segments up to the frame header.

    Raises:
        HeaderError: there is none.
    """
    camera, xmp, at = CameraData(), b"", 2
    for _ in range(_MOST_SEGMENTS):
        head = read(at, 4)
        if len(head) < 4 or head[0] != 0xFF:  # noqa: PLR2004 - a marker and a length
            raise HeaderError("a JPEG without frame header")
        marker = head[1]
        if marker == 0xFF or marker in _NO_LENGTH:  # noqa: PLR2004 - fill bytes
            at += 1 if marker == 0xFF else 2  # noqa: PLR2004 - as above
            continue
        length = int.from_bytes(head[2:4], "big")
        if marker in {_SCAN, _END}:
            break
        if marker in _FRAMES:
            return _frame(read(at + 4, 6), read_xmp(xmp, camera), marker)
        if marker == _APP1:
            body = read(at + 4, length - 2)
            if body.startswith(b"Exif\0") and camera == CameraData():
                camera = read_exif(body)
            elif body.startswith(_XMP) and not xmp:
                xmp = body
        at += 2 + max(length, 2)
    raise HeaderError("a JPEG without frame header")


def _frame(body: bytes, camera: CameraData, marker: int) -> Picture:
    if len(body) < 6:  # noqa: PLR2004 - precision, height, width, components
        raise HeaderError("a JPEG frame header that is cut off")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    profile = {0xC0: "Baseline", 0xC1: "Sequential", 0xC2: "Progressive", 0xC3: "Lossless"}.get(marker)
    return Picture(
        container="jpeg", codec="mjpeg", width=width, height=height, bit_depth=body[0], profile=profile, camera=camera
    )
