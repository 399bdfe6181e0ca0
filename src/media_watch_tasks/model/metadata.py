"""What a prober found in a file. Everything may be unknown: None is never a guess.

Durations are seconds, rates bits per second, sizes pixels or bytes; texts are as they stand in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Self, cast

import attrs

from media_watch_tasks.model.values import Value

__all__ = ["AudioTrack", "Chapter", "Confidence", "GeoPoint", "MediaMetadata", "SubtitleTrack", "VideoTrack"]


def _frozen_mapping(tags: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(tags))


class Confidence(StrEnum):
    """How far the values can be trusted."""

    EXACT = "exact"
    """From the container's own index, or from reading everything."""
    ESTIMATED = "estimated"
    """Duration or bit rate computed from a part of the file."""
    PARTIAL = "partial"
    """Read from a cut-off view: what lies behind the cut is unknown."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class VideoTrack(Value):
    """A video track, or the picture of a still."""

    codec: str | None = None
    codec_tag: str | None = None
    profile: str | None = None
    level: str | None = None
    width: int | None = None
    """Pixels as they are stored, before cropping and turning; so for films and stills of every format."""
    height: int | None = None
    display_width: int | None = None
    """Pixels as they are shown: cropped, square, and turned by `rotation`."""
    display_height: int | None = None
    rotation: int | None = None
    """Degrees clockwise by which the stored picture is turned to be shown: 0, 90, 180 or 270."""
    sample_aspect_ratio: str | None = None
    display_aspect_ratio: str | None = None
    average_frame_rate: float | None = None
    real_frame_rate: float | None = None
    frames: int | None = None
    field_order: str | None = None
    pixel_format: str | None = None
    bit_depth: int | None = None
    bit_rate: int | None = None
    color_range: str | None = None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_matrix: str | None = None
    hdr: str | None = None
    """`HDR10`, `HDR10+`, `HLG`, `Dolby Vision 8.4 level 9` …"""
    language: str | None = None
    duration: float | None = None
    is_default: bool | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AudioTrack(Value):
    """An audio track."""

    codec: str | None = None
    codec_tag: str | None = None
    profile: str | None = None
    channels: int | None = None
    layout: str | None = None
    sample_rate: int | None = None
    bit_depth: int | None = None
    bit_rate: int | None = None
    language: str | None = None
    title: str | None = None
    duration: float | None = None
    is_default: bool | None = None
    is_forced: bool | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SubtitleTrack(Value):
    """A subtitle track."""

    codec: str | None = None
    language: str | None = None
    title: str | None = None
    is_default: bool | None = None
    is_forced: bool | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Chapter(Value):
    """A chapter; times in seconds from the start."""

    start: float
    end: float | None = None
    title: str | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class GeoPoint(Value):
    """WGS 84 degrees, metres above sea level."""

    latitude: float
    longitude: float
    altitude: float | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class MediaMetadata(Value):
    """The description of one media file."""

    container: str | None = None
    brands: tuple[str, ...] = ()
    size: int | None = None
    duration: float | None = None
    bit_rate: int | None = None
    created: str | None = None
    """Creation date, ISO 8601, with the offset where the file names one."""
    title: str | None = None
    comment: str | None = None
    make: str | None = None
    model: str | None = None
    lens: str | None = None
    gps: GeoPoint | None = None
    rating: float | None = None
    timecode: str | None = None
    chapters: tuple[Chapter, ...] = ()
    has_cover: bool | None = None
    video: tuple[VideoTrack, ...] = ()
    audio: tuple[AudioTrack, ...] = ()
    subtitles: tuple[SubtitleTrack, ...] = ()
    tags: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_mapping, hash=False)
    confidence: Confidence = Confidence.EXACT
    method: str | None = None
    """How it was read, for example `overlay`, `range`, `pillow`."""
    bytes_read: int | None = None
    round_trips: int | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    """Why the file could not be described; the other fields hold what was found before."""
    transient: bool = False
    """True where the error lies with the reading, not with the file: asking again later may help."""

    def to_json(self) -> str:
        """A JSON object of all fields that are known."""
        return json.dumps(_plain(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The value that `to_json` wrote. Fields that this release does not know are passed over."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value of a parsed JSON object, as `from_json`."""
        return cls(**_known(cls, data))


_NESTED: dict[str, type[Any]] = {
    "video": VideoTrack,
    "audio": AudioTrack,
    "subtitles": SubtitleTrack,
    "chapters": Chapter,
}


@cache
def _names(cls: Any) -> tuple[str, ...]:  # noqa: ANN401 - an attrs class
    return tuple(field.name for field in attrs.fields(cls))


def _plain(value: Any) -> dict[str, object]:  # noqa: ANN401 - an attrs value
    """The fields that are known. Those of a metadata value hold plain values, other attrs values, or tuples of them."""
    plain: dict[str, object] = {}
    for name in _names(cast("Any", type(value))):
        item = getattr(value, name)
        if item is None or item == ():
            continue
        if name in _NESTED:
            plain[name] = [_plain(each) for each in item]
        elif name == "gps":
            plain[name] = _plain(item)
        elif name == "tags":
            plain |= {name: dict(item)} if item else {}
        else:
            plain[name] = item
    return plain


def _known(cls: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name in _names(cast("Any", cls)):
        if name not in data:
            continue
        value = data[name]
        if name in _NESTED:
            nested = _NESTED[name]
            known[name] = tuple(nested(**_known(nested, item)) for item in value)
        elif name == "gps":
            known[name] = GeoPoint(**_known(GeoPoint, value))
        elif name == "confidence":
            known[name] = Confidence(value)
        else:
            known[name] = tuple(value) if isinstance(value, list) else value
    return known
