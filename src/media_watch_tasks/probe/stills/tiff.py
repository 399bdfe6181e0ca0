"""TIFF, and the raw formats that are built on it (DNG, NEF, ARW, CR2, ORF, RW2, PEF, SRW …)."""

from __future__ import annotations

from media_watch_tasks.probe.stills.exif import camera_data
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError, Picture, ReadAt
from media_watch_tasks.probe.stills.tiff_tags import Directory, TiffReader

__all__ = ["read_tiff"]

_WIDTH, _HEIGHT, _DEPTH, _SUBFILE, _SUB_IFDS = 256, 257, 258, 254, 330
_DNG_VERSION, _DNG_CROP = 50706, 50720
_PANASONIC = 0x55
_MOST_SUB_IFDS = 16
_RAW = {"dng", "nef", "nrw", "arw", "sr2", "srf", "cr2", "orf", "rw2", "raw", "pef", "srw", "3fr", "erf", "mef", "gpr",
        "iiq", "mos", "dcr", "kdc"}  # fmt: skip


def read_tiff(read: ReadAt, extension: str) -> Picture:
    """The first page of a TIFF; of a raw file its full picture, which often stands behind a preview.

    Raises:
        HeaderError: no directory can be read, or none names a size.
    """
    reader = TiffReader(read)
    first = reader.directory(reader.first)
    raw = extension in _RAW or _DNG_VERSION in first.values or reader.magic == _PANASONIC
    camera = camera_data(reader, first)
    if reader.magic == _PANASONIC:
        return _panasonic(first, camera)
    best = _full_picture(reader, first) if raw else first
    width, height = best.number(_WIDTH), best.number(_HEIGHT)
    crop = best.numbers(_DNG_CROP)
    if raw and len(crop) == 2 and all(crop):  # noqa: PLR2004 - width and height
        width, height = int(crop[0]), int(crop[1])
    if not width or not height:
        raise HeaderError("a TIFF that names no size")
    return Picture(
        container=extension if extension in _RAW else "tiff",
        codec=None if raw else "tiff",
        width=width,
        height=height,
        bit_depth=best.number(_DEPTH) or None,
        camera=camera,
    )


def _full_picture(reader: TiffReader, first: Directory) -> Directory:
    candidates = [first]
    for offset in first.numbers(_SUB_IFDS)[:_MOST_SUB_IFDS]:
        try:
            candidates.append(reader.directory(int(offset)))
        except HeaderError:
            continue
    full = [each for each in candidates if not each.number(_SUBFILE) & 1] or candidates
    return max(full, key=lambda each: each.number(_WIDTH) * each.number(_HEIGHT))


def _panasonic(first: Directory, camera: CameraData) -> Picture:
    top, left, bottom, right = (first.number(tag) for tag in (4, 5, 6, 7))
    width, height = right - left, bottom - top
    if width <= 0 or height <= 0:
        raise HeaderError("a Panasonic raw file that names no size")
    return Picture(container="rw2", codec=None, width=width, height=height, camera=camera)
