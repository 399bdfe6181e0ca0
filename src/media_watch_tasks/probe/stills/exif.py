"""Exif 3.0 and XMP: date, camera, place."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from media_watch_tasks.model.metadata import GeoPoint
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError
from media_watch_tasks.probe.stills.tiff_tags import Directory, TiffReader
from media_watch_tasks.probe.tags import iso_date

__all__ = ["camera_data", "read_exif", "read_xmp"]

_EXIF_IFD, _GPS_IFD, _RATING = 0x8769, 0x8825, 0x4746
_DATES = ((0x9003, 0x9011, 0x9291), (0x9004, 0x9012, 0x9292), (0x0132, 0x9010, 0x9290))
"""Date, offset and fraction of the original, the digitised and the changed picture."""
_NO_COMMENT = re.compile(r"^[\s\0]*$")
_XMP_RATING = re.compile(rb"xmp:Rating(?:>|\s*=\s*[\"'])\s*(-?\d+(?:\.\d+)?)")
_XMP_DATE = re.compile(
    rb"(?:exif:DateTimeOriginal|photoshop:DateCreated|xmp:CreateDate)(?:>|\s*=\s*[\"'])([^\"'<]{10,40})"
)


def read_exif(data: bytes) -> CameraData:
    """From the bytes of an Exif block (a TIFF file in itself). A broken one says nothing."""
    if data[:6] == b"Exif\0\0":
        data = data[6:]
    try:
        reader = TiffReader(lambda offset, length: data[offset : offset + length])
        return camera_data(reader, reader.directory(reader.first))
    except HeaderError:
        return CameraData()


def camera_data(reader: TiffReader, first: Directory, *, more: Iterable[Directory] = ()) -> CameraData:
    """From the first directory and those that it points at."""
    found = [first, *more]
    gps: GeoPoint | None = None
    for tag in (_EXIF_IFD, _GPS_IFD):
        offset = first.number(tag)
        if not offset:
            continue
        try:
            directory = reader.directory(offset)
        except HeaderError:
            continue
        if tag == _GPS_IFD:
            gps = _place(directory)
        else:
            found.append(directory)
    return _fields(found, gps)


def _fields(found: list[Directory], gps: GeoPoint | None) -> CameraData:
    merged = Directory({tag: value for directory in reversed(found) for tag, value in directory.values.items()}, 0)
    orientation = merged.number(0x0112)
    return CameraData(
        orientation=orientation if 1 <= orientation <= 8 else None,  # noqa: PLR2004 - TIFF knows eight
        created=_date(merged),
        make=merged.text(0x010F),
        model=merged.text(0x0110),
        lens=merged.text(0xA434),
        title=merged.text(0x010E),
        comment=_comment(merged.values.get(0x9286)),
        rating=float(merged.number(_RATING)) if _RATING in merged.values else None,
        gps=gps,
        width=merged.number(0xA002) or None,
        height=merged.number(0xA003) or None,
    )


def _date(merged: Directory) -> str | None:
    for date, offset, fraction in _DATES:
        text = merged.text(date)
        if text is None:
            continue
        digits = merged.text(fraction) or ""
        zone = merged.text(offset) or ""
        plain = iso_date(text)
        full = iso_date(f"{text}{'.' + digits if digits.isdigit() else ''}{zone}")
        if full or plain:
            return full or plain
    return None


def _comment(value: object) -> str | None:
    if not isinstance(value, bytes) or len(value) <= 8:  # noqa: PLR2004 - the name of the character code
        return None
    encoding = "utf-16" if value[:7] == b"UNICODE" else "utf-8"
    text = value[8:].decode(encoding, "replace").strip("\0 ")
    return None if _NO_COMMENT.match(text) else text[:2_000]


def _place(directory: Directory) -> GeoPoint | None:
    latitude = _angle(directory, 2, negative="S", reference=1)
    longitude = _angle(directory, 4, negative="W", reference=3)
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:  # noqa: PLR2004 - the globe
        return None
    altitude = directory.numbers(6)
    height = float(altitude[0]) if altitude else None
    if height is not None and directory.number(5) == 1:
        height = -height
    return GeoPoint(latitude=latitude, longitude=longitude, altitude=height)


def _angle(directory: Directory, tag: int, *, reference: int, negative: str) -> float | None:
    parts = directory.numbers(tag)
    side = directory.text(reference)
    if len(parts) < 3 or side is None:  # noqa: PLR2004 - degrees, minutes, seconds
        return None
    degrees = float(parts[0] + parts[1] / 60 + parts[2] / 3600)
    return -degrees if side.upper().startswith(negative) else degrees


def read_xmp(data: bytes, camera: CameraData) -> CameraData:
    """What XMP adds to Exif: the rating, and the date where Exif has none."""
    rating = _XMP_RATING.search(data)
    if rating is not None and camera.rating is None:
        camera = attrs.evolve(camera, rating=float(rating[1]))
    date = _XMP_DATE.search(data)
    if date is not None and camera.created is None:
        camera = attrs.evolve(camera, created=iso_date(date[1].decode("ascii", "replace")))
    return camera
