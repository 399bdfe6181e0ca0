"""Reads the fields of an open PyAV container."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import attrs

from media_watch_tasks.model.metadata import AudioTrack, Chapter, MediaMetadata, SubtitleTrack, VideoTrack
from media_watch_tasks.probe.colour import FIELD_ORDERS, MATRICES, PRIMARIES, RANGES, TRANSFERS, hdr_name
from media_watch_tasks.probe.picture_size import display_size, ratio_text
from media_watch_tasks.probe.tags import common_tags, tidy
from media_watch_tasks.probe.undecoded import from_parameter_sets

__all__ = ["describe"]

_DEFAULT, _FORCED, _ATTACHED = 1, 1 << 6, 1 << 10
_MICROSECONDS = 1_000_000
_MOST_STREAMS = 256
_PCM_DEPTH = re.compile(r"pcm_[suf](\d+)")
_CONTAINER_NAMES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "mov": "mp4", "matroska,webm": "matroska"}
_USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""What FFmpeg's decoders make of a number of channels without a layout."""
_AAC_PROFILES = {1: "Main", 2: "LC", 3: "SSR", 4: "LTP", 5: "HE-AAC", 29: "HE-AACv2"}
_LEVEL_TENTHS = {"h264": 10, "hevc": 30}


def describe(container: Any, *, decoded: bool) -> MediaMetadata:  # noqa: ANN401 - av.InputContainer, which only one module may name
    """All fields that FFmpeg knows after opening. Nothing is read from the file here.

    Args:
        container: the open file.
        decoded: take what FFmpeg says for all that can be known; otherwise parameter sets complete it.

    Raises:
        UndecidedError: they do not.
    """
    video: list[VideoTrack] = []
    audio: list[AudioTrack] = []
    subtitles: list[SubtitleTrack] = []
    tags = tidy(container.metadata)
    timecode = tags.get("timecode")
    cover = False
    for stream in list(container.streams)[:_MOST_STREAMS]:
        flags = int(stream.disposition)
        timecode = timecode or stream.metadata.get("timecode")
        if stream.type == "video" and flags & _ATTACHED:
            cover = True
        elif stream.type == "video":
            track = _video(stream, flags)
            video.append(track if decoded else _undecoded(track, stream))
        elif stream.type == "audio":
            audio.append(_audio(stream, flags))
        elif stream.type == "subtitle":
            subtitles.append(
                SubtitleTrack(
                    codec=_codec_name(stream),
                    language=_language(stream.metadata),
                    title=stream.metadata.get("title"),
                    is_default=bool(flags & _DEFAULT),
                    is_forced=bool(flags & _FORCED),
                )
            )
    name = container.format.name
    fields: dict[str, Any] = common_tags(tags)
    return MediaMetadata(
        container=_CONTAINER_NAMES.get(name, name),
        brands=_brands(tags),
        duration=_positive(container.duration / _MICROSECONDS if container.duration else None),
        timecode=timecode,
        chapters=tuple(_chapter(chapter) for chapter in container.chapters()[:10_000]),
        has_cover=cover,
        video=tuple(video),
        audio=tuple(audio),
        subtitles=tuple(subtitles),
        tags=tags,
        **fields,
    )


def _video(stream: Any, flags: int) -> VideoTrack:  # noqa: ANN401 - av.VideoStream
    context = stream.codec_context
    codec = _codec_name(stream)
    common: dict[str, Any] = {
        "codec": codec,
        "language": _language(stream.metadata),
        "duration": _seconds(stream),
        "is_default": bool(flags & _DEFAULT),
        "frames": stream.frames or None,
    }
    if context is None:
        return VideoTrack(**common)
    width, height = context.width or None, context.height or None
    aspect = stream.sample_aspect_ratio
    shown = display_size(width, height, aspect=aspect, rotation=None)
    transfer = TRANSFERS.get(int(context.color_trc))
    pixel_format = context.pix_fmt
    return VideoTrack(
        **common,
        codec_tag=_tag(context),
        profile=context.profile,
        level=_level(codec, context.level),
        width=width,
        height=height,
        display_width=shown[0],
        display_height=shown[1],
        sample_aspect_ratio=ratio_text(aspect),
        display_aspect_ratio=ratio_text(Fraction(shown[0], shown[1]) if shown[0] and shown[1] else None),
        average_frame_rate=_rate(stream.average_rate),
        real_frame_rate=_rate(stream.base_rate),
        field_order=FIELD_ORDERS.get(int(context.field_order)),
        pixel_format=pixel_format,
        bit_depth=max((part.bits for part in context.format.components), default=None) if pixel_format else None,
        bit_rate=context.bit_rate or None,
        color_range=RANGES.get(int(context.color_range)),
        color_primaries=PRIMARIES.get(int(context.color_primaries)),
        color_transfer=transfer,
        color_matrix=MATRICES.get(int(context.colorspace)),
        hdr=hdr_name(transfer),
    )


def _undecoded(track: VideoTrack, stream: Any) -> VideoTrack:  # noqa: ANN401 - av.VideoStream
    found = from_parameter_sets(track, (stream.codec_context and stream.codec_context.extradata) or b"")
    if found is track:
        return track
    # Where no packet was decoded FFmpeg takes the time base for a rate.
    ticks = 1 / stream.time_base if stream.time_base else None
    return attrs.evolve(
        found,
        real_frame_rate=None if stream.base_rate == ticks else found.real_frame_rate,
        hdr=hdr_name(found.color_transfer),
    )


def _audio(stream: Any, flags: int) -> AudioTrack:  # noqa: ANN401 - av.AudioStream
    context = stream.codec_context
    codec = _codec_name(stream)
    common: dict[str, Any] = {
        "codec": codec,
        "language": _language(stream.metadata),
        "title": stream.metadata.get("title"),
        "duration": _seconds(stream),
        "is_default": bool(flags & _DEFAULT),
        "is_forced": bool(flags & _FORCED),
    }
    if context is None:
        return AudioTrack(**common)
    layout = context.layout
    # PyAV 18 shares the map of a custom layout between the layout and the codec context, and both free it: the layout
    # must outlive everything, so its reference count is never given back.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    channels = layout.nb_channels or None
    depth = _audio_depth(codec, context.extradata)
    rate = context.sample_rate or None
    return AudioTrack(
        **common,
        codec_tag=_tag(context),
        profile=context.profile or _aac_profile(codec, context.extradata),
        channels=channels,
        layout=_USUAL_LAYOUTS.get(layout.name, layout.name) if channels else None,
        sample_rate=rate,
        bit_depth=depth,
        bit_rate=context.bit_rate or _pcm_rate(codec, channels, rate, depth),
    )


def _aac_profile(codec: str | None, extradata: bytes | None) -> str | None:
    """The audio object type in front of an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), by FFmpeg's names."""
    return _AAC_PROFILES.get(extradata[0] >> 3) if codec == "aac" and extradata else None


def _codec_name(stream: Any) -> str | None:  # noqa: ANN401 - av.Stream
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else None


def _pcm_rate(codec: str | None, channels: int | None, rate: int | None, depth: int | None) -> int | None:
    if codec is None or not codec.startswith("pcm_") or not channels or not rate or not depth:
        return None
    return channels * rate * depth


def _audio_depth(codec: str | None, extradata: bytes | None) -> int | None:
    if codec is None:
        return None
    if found := _PCM_DEPTH.match(codec):
        return int(found[1])
    data = extradata or b""
    if codec == "flac" and len(data) >= 34:  # noqa: PLR2004 - RFC 9639, 8.2: the length of STREAMINFO
        return ((data[12] & 1) << 4 | data[13] >> 4) + 1
    if codec == "alac" and len(data) >= 36:  # noqa: PLR2004 - a 12-byte box header, then ALACSpecificConfig
        return data[17] or None
    return None


def _level(codec: str | None, level: int) -> str | None:
    if level <= 0 or codec is None:
        return None
    if tenths := _LEVEL_TENTHS.get(codec):
        return f"{level / tenths:.1f}"
    return f"{2 + (level >> 2)}.{level & 3}" if codec == "av1" else str(level)


def _language(tags: Mapping[str, str]) -> str | None:
    language = tags.get("language")
    return language if language not in {None, "", "und", "unk"} else None


def _tag(context: Any) -> str | None:  # noqa: ANN401 - av.CodecContext
    try:
        text = context.codec_tag.strip("\0 ")
    except UnicodeDecodeError:  # PyAV takes every tag for ASCII; in MPEG-TS it is a number
        return None
    return text if text and text.isprintable() else None


def _seconds(stream: Any) -> float | None:  # noqa: ANN401 - av.Stream
    # In Matroska no track has a duration: what stands there is a copy of that of the file, or of a part that was read.
    if stream.duration is None or stream.time_base is None or "matroska" in stream.container.format.name:
        return None
    return _positive(float(stream.duration * stream.time_base))


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _rate(rate: Fraction | None) -> float | None:
    return round(float(rate), 6) if rate else None


def _brands(tags: Mapping[str, str]) -> tuple[str, ...]:
    major, compatible = tags.get("major_brand"), tags.get("compatible_brands", "")
    names = [major] if major else []
    names.extend(compatible[at : at + 4] for at in range(0, len(compatible), 4))
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _chapter(chapter: Mapping[str, Any]) -> Chapter:
    unit = float(chapter["time_base"] or 0)
    return Chapter(
        start=chapter["start"] * unit, end=chapter["end"] * unit, title=chapter["metadata"].get("title") or None
    )
