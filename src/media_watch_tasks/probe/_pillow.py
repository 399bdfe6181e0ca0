"""The one place where Pillow is used: for stills whose header no reader here knows, where it is installed."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any, cast

from media_watch_tasks.errors import MissingDependencyError
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.stills.exif import read_exif
from media_watch_tasks.probe.stills.picture import Picture, to_metadata

try:
    from PIL import Image
except ImportError as error:
    raise MissingDependencyError("Reading stills through Pillow", package="pillow", extra="photo") from error

pillow_heif: Any = None
with contextlib.suppress(ImportError):
    import pillow_heif

__all__ = ["describe", "load"]

_FORMATS = ["AVIF", "BMP", "DDS", "DIB", "GIF", "HEIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM",
            "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"]  # fmt: skip


def load() -> None:
    """Bring in all of Pillow's readers: a worker process opens no file later."""
    Image.init()
    if pillow_heif is not None:
        pillow_heif.register_heif_opener()


def describe(reader: RangeReader) -> MediaMetadata | None:
    """What Pillow says of a still, None where it knows nothing. No pixel is decoded."""
    load()
    reader.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a size that looks like a bomb is a size all the same
            with Image.open(cast("Any", reader), formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
                width, height = image.size
                kind = (image.format or "image").lower()
                exif = image.info.get("exif")
    except Exception:  # noqa: BLE001 - a third-party parser of hostile bytes: whatever it raises, it knows nothing
        return None
    camera = read_exif(exif) if isinstance(exif, bytes) else None
    picture = Picture(container=kind, codec=kind, width=width, height=height)
    if camera is not None:
        picture = Picture(container=kind, codec=kind, width=width, height=height, camera=camera)
    return to_metadata(picture, method="pillow")
