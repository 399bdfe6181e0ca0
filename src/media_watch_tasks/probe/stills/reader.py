"""Tells the format of a still by its first bytes and calls its header reader."""

from __future__ import annotations

import struct
from collections.abc import Callable

from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.stills.camera_raw import read_cr3, read_raf
from media_watch_tasks.probe.stills.gif import read_gif
from media_watch_tasks.probe.stills.heif import STILL_BRANDS, read_heif
from media_watch_tasks.probe.stills.jpeg import read_jpeg
from media_watch_tasks.probe.stills.jxl import read_jxl
from media_watch_tasks.probe.stills.picture import HeaderError, Picture, to_metadata
from media_watch_tasks.probe.stills.plain import read_bmp, read_jp2, read_psd
from media_watch_tasks.probe.stills.png import read_png
from media_watch_tasks.probe.stills.tiff import read_tiff
from media_watch_tasks.probe.stills.webp import read_webp

__all__ = ["describe_still", "still_format"]

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"8BPS", "psd"),
    (b"FUJIFILMCCD-RAW ", "raf"),
    *((magic, "tiff") for magic in _TIFF),
)
_READERS: dict[str, Callable[[RangeReader, str], Picture]] = {
    "jpeg": lambda reader, _: read_jpeg(reader.at),
    "png": lambda reader, _: read_png(reader.at),
    "gif": lambda reader, _: read_gif(reader.at, reader.size),
    "webp": lambda reader, _: read_webp(reader.at),
    "tiff": lambda reader, extension: read_tiff(reader.at, extension),
    "heif": lambda reader, _: read_heif(reader),
    "cr3": lambda reader, _: read_cr3(reader),
    "jxl": lambda reader, _: read_jxl(reader.at),
    "jp2": lambda reader, _: read_jp2(reader.at),
    "bmp": lambda reader, _: read_bmp(reader.at),
    "psd": lambda reader, _: read_psd(reader.at),
    "raf": lambda reader, _: read_raf(reader.at),
}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}


def still_format(head: bytes) -> str | None:
    """The format of a still by its first 32 bytes, None for anything else."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if head[4:8] == b"ftyp":
        if head[8:12] == b"crx ":
            return "cr3"
        return "heif" if head[8:12] in STILL_BRANDS else None
    return None


def describe_still(reader: RangeReader, kind: str, extension: str) -> MediaMetadata:
    """The description of a still of this format.

    Raises:
        HeaderError: its header cannot be read.
    """
    try:
        picture = _READERS[kind](reader, extension)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise HeaderError(f"a damaged {kind} header: {error}") from error
    if picture.width <= 0 or picture.height <= 0:
        raise HeaderError(f"a {kind} header that names no size")
    return to_metadata(picture, method="header")
