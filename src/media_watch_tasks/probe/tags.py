"""Turns the tags that cameras and editors write into dates, places and names. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from media_watch_tasks.model.metadata import GeoPoint

__all__ = ["common_tags", "first_text", "iso_date", "parse_iso6709", "tidy"]

_LONGEST_VALUE = 2_000
_MOST_TAGS = 100
_NO_DATE = re.compile(r"(0000|1904-01-01T00:00:00|1970-01-01T00:00:00)")
_DATE = re.compile(
    r"(?P<year>\d{4})[-:/](?P<month>\d\d)[-:/](?P<day>\d\d)[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    r"(?P<fraction>\.\d+)?\s*(?P<zone>Z|[+-]\d\d:?\d\d)?$"
)
_ISO6709 = re.compile(r"([+-]\d{2,6}(?:\.\d+)?)([+-]\d{3,7}(?:\.\d+)?)([+-]\d+(?:\.\d+)?)?")
_WIDTH_OF_DEGREES = {"latitude": 2, "longitude": 3}

_CREATED = ("com.apple.quicktime.creationdate", "creation_time", "date_recorded", "date-recorded", "date")
_PLACE = ("com.apple.quicktime.location.iso6709", "location", "location-eng")
_MAKE = ("com.apple.quicktime.make", "make", "com.android.manufacturer", "manufacturer")
_MODEL = ("com.apple.quicktime.model", "model", "com.android.model", "device_model")
_LENS = ("com.apple.quicktime.camera.lens_model", "lens_model", "lensmodel")


def tidy(tags: Mapping[str, str]) -> dict[str, str]:
    """At most 100 tags, each cut to 2,000 characters, without control characters at the ends."""
    kept: dict[str, str] = {}
    for name, value in tags.items():
        text = value.strip(" \0\r\n\t")
        if text and len(kept) < _MOST_TAGS:
            kept[name.strip(" \0")[:200]] = text[:_LONGEST_VALUE]
    return kept


def first_text(tags: Mapping[str, str], names: Iterable[str]) -> str | None:
    """The value of the first of these names (lower case) that has one."""
    for name in names:
        if value := tags.get(name):
            return value
    return None


def iso_date(text: str | None) -> str | None:
    """ISO 8601 of a date and time of day in one of the usual spellings; None for anything else, and for "not set".

    The offset is kept where the text has one, and nothing is added where it has none.
    """
    found = _DATE.match(text.strip()) if text else None
    if found is None:
        return None
    part = found.groupdict()
    zone = part["zone"] or ""
    if zone not in {"", "Z"} and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    date = f"{part['year']}-{part['month']}-{part['day']}T{part['hour']}:{part['minute']}:{part['second'] or '00'}"
    fraction = (part["fraction"] or "").rstrip("0").rstrip(".")
    if _NO_DATE.match(date):
        return None
    try:
        datetime.fromisoformat(date + (zone.replace("Z", "+00:00")))
    except ValueError:
        return None
    return f"{date}{fraction}{zone}"


def parse_iso6709(text: str | None) -> GeoPoint | None:
    """A point as ISO 6709 writes it (`+37.3318-122.0312+010.000/`), in degrees, minutes or seconds."""
    found = _ISO6709.match(text.strip()) if text else None
    if found is None:
        return None
    latitude = _degrees(found[1], _WIDTH_OF_DEGREES["latitude"])
    longitude = _degrees(found[2], _WIDTH_OF_DEGREES["longitude"])
    if abs(latitude) > 90 or abs(longitude) > 180 or latitude == longitude == 0:  # noqa: PLR2004 - the globe
        return None
    return GeoPoint(latitude=latitude, longitude=longitude, altitude=float(found[3]) if found[3] else None)


def _degrees(text: str, width: int) -> float:
    sign = -1 if text[0] == "-" else 1
    whole, _, fraction = text[1:].partition(".")
    seconds = 0.0
    if len(whole) <= width:
        return sign * float(text[1:])
    if len(whole) <= width + 2:
        minutes = float(f"{whole[width:]}.{fraction or 0}")
    else:
        minutes, seconds = float(whole[width : width + 2]), float(f"{whole[width + 2 :]}.{fraction or 0}")
    return sign * (float(whole[:width]) + minutes / 60 + seconds / 3600)


def common_tags(tags: Mapping[str, str]) -> dict[str, object]:
    """The fields of `MediaMetadata` that tags of the container hold."""
    lower = {name.lower(): value for name, value in tags.items()}
    return {
        "created": _created(lower),
        "title": first_text(lower, ("title",)),
        "comment": first_text(lower, ("comment",)),
        "make": first_text(lower, _MAKE),
        "model": first_text(lower, _MODEL),
        "lens": first_text(lower, _LENS),
        "gps": parse_iso6709(first_text(lower, _PLACE)),
        "rating": _number(first_text(lower, ("com.apple.quicktime.rating.user",))),
    }


def _created(tags: Mapping[str, str]) -> str | None:
    for name in _CREATED:
        if date := iso_date(tags.get(name)):
            return date
    day, time = tags.get("origination_date"), tags.get("origination_time")  # Broadcast Wave
    return iso_date(f"{day} {time}") if day and time else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
