"""Describes an mp4 or mov file from its index without the sample tables."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import attrs

from media_watch_tasks.model.metadata import Confidence, MediaMetadata, VideoTrack
from media_watch_tasks.probe.boxes import BrokenBoxError, pack
from media_watch_tasks.probe.colour import hdr_name
from media_watch_tasks.probe.containers import ReadableFile, UnreadableError, describe_file
from media_watch_tasks.probe.fragments import FragmentsEnd, fragmented_duration
from media_watch_tasks.probe.movie import Layout, Track, find_layout, read_movie
from media_watch_tasks.probe.movie_checks import Index, OverlayError, check, longest
from media_watch_tasks.probe.movie_hdr import movie_hdr
from media_watch_tasks.probe.movie_samples import read_chapters, read_timecode
from media_watch_tasks.probe.picture_size import display_size, ratio_text
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.track_fields import TrackFields, movie_duration, track_fields
from media_watch_tasks.probe.truncation import TRUNCATED, lacks_media

__all__ = ["describe_index", "read_index", "refine"]

_UNBORNE = "the fragments that were found do not bear the duration out"


def read_index(reader: RangeReader) -> Index | None:
    """The index, or None where there is none that can be walked."""
    try:
        layout = find_layout(reader)
        if layout.moov is None:
            return None
        movie = read_movie(reader, layout.moov)
    except (BrokenBoxError, ValueError, IndexError):
        return None
    tracks = [(track, fields) for track in movie.tracks if (fields := _fields(track)) is not None]
    return Index(layout, movie, tracks)


def describe_index(reader: RangeReader, index: Index, name: str) -> MediaMetadata:
    """The whole description.

    Raises:
        OverlayError: something is missing or contradicts itself.
    """
    if len(index.tracks) < len(index.movie.tracks) or not index.tracks:
        raise OverlayError("a track header is missing")
    ftyp = index.layout.ftyp
    start = reader.at(ftyp.start, ftyp.size) if ftyp is not None and ftyp.size < 4096 else b""  # noqa: PLR2004 - a list of brands
    file = io.BytesIO(start + index.movie.rebuilt + pack(b"mdat", b""))
    try:
        found = describe_file(ReadableFile(file, name), format_name="mov", decode=False)
    except UnreadableError as error:
        raise OverlayError(str(error)) from error
    found = refine(reader, index, found, alone=True)
    check(index, found)
    return found


def refine(reader: RangeReader, index: Index, found: MediaMetadata, *, alone: bool = False) -> MediaMetadata:
    """What FFmpeg found, completed by the fields that it keeps to itself or needs packets for.

    `alone`: it was shown the index without samples. For the frame rate it then takes the time base.
    """
    visual = [each for each in index.tracks if each[1].handler == b"vide"]
    video = found.video
    if len(visual) == len(video):
        video = tuple(
            _video(reader, index.layout, each, track, alone=alone) for track, each in zip(video, visual, strict=True)
        )
    changes: dict[str, Any] = {"video": video, "has_cover": found.has_cover or index.movie.has_cover}
    if alone:
        changes["method"] = "overlay"
    if found.timecode is None:
        changes["timecode"] = read_timecode(reader, index.tracks)
    if not found.chapters:
        changes["chapters"] = read_chapters(reader, index.movie, index.tracks)
    warnings = found.warnings + tuple(f"a large {kind} box was not read" for kind in index.movie.left_out)
    confidence = found.confidence
    changes["duration"], doubt = _duration(reader, index, found)
    if doubt is not None:
        confidence = Confidence.PARTIAL if doubt == TRUNCATED else Confidence.ESTIMATED
        warnings += (doubt,)
    elif index.layout.cut_off or _lacks_media(reader, index):
        confidence = Confidence.PARTIAL
        warnings += (TRUNCATED,)
    return attrs.evolve(found, **changes, warnings=warnings, confidence=confidence)


def _lacks_media(reader: RangeReader, index: Index) -> bool:
    moov = index.layout.moov
    return moov is not None and not index.movie.fragmented and lacks_media(reader, moov, index.tracks)


def _duration(reader: RangeReader, index: Index, found: MediaMetadata) -> tuple[float | None, str | None]:
    """Seconds, and why they are doubtful where they are."""
    named = movie_duration(index.movie)
    moov = index.layout.moov
    if not index.movie.fragmented or moov is None:
        return (named if named is not None else longest(index, found.duration)), None
    last = FragmentsEnd(exist=False)
    if index.layout.first_moof is not None or moov.end < reader.size:
        last = fragmented_duration(reader, index.layout, index.movie, [fields for _, fields in index.tracks])
    if not last.exist:
        # An init segment holds no media: what its header says of the time is said of other files.
        return named, None if named is None or any(fields.samples for _, fields in index.tracks) else _UNBORNE
    if last.cut_off:
        return last.seconds, TRUNCATED
    # A header that names a duration means the samples in the index alone, or the whole of which this is a segment.
    known = max((each for each in (named, last.seconds) if each is not None), default=None)
    if known is None or (last.exact and last.seconds is not None and known <= last.seconds * 1.01 + 0.1):
        return known, None
    return known, _UNBORNE


def _fields(track: Track) -> TrackFields | None:
    try:
        return track_fields(track)
    except (ValueError, IndexError, KeyError):
        return None


def _video(
    reader: RangeReader, layout: Layout, boxes: tuple[Track, TrackFields], track: VideoTrack, *, alone: bool
) -> VideoTrack:
    fields = boxes[1]
    config = fields.config
    colour = config.colour if config is not None else {}
    aspect = _aspect(track, fields)
    stored = display_size(track.width, track.height, aspect=aspect, rotation=None)
    shown = display_size(track.width, track.height, aspect=aspect, rotation=fields.rotation)
    transfer = track.color_transfer or colour.get("color_transfer")
    seen = movie_hdr(reader, layout, boxes, track, transfer)
    changes: dict[str, Any] = {
        "rotation": fields.rotation,
        "display_width": shown[0],
        "display_height": shown[1],
        "sample_aspect_ratio": ratio_text(aspect) or track.sample_aspect_ratio,
        "display_aspect_ratio": ratio_text(Fraction(stored[0], stored[1]) if stored[0] and stored[1] else None),
        "average_frame_rate": track.average_frame_rate or fields.constant_rate or fields.frame_rate,
        "real_frame_rate": (None if alone else track.real_frame_rate) or fields.constant_rate,
        "frames": track.frames or fields.samples or None,
        "field_order": track.field_order or fields.field_order,
        "hdr": hdr_name(transfer, mastering=seen.mastering, dynamic=seen.dynamic, dolby=fields.dolby),
    }
    completed = attrs.evolve(track, **changes)
    return completed if config is None else config.complete(completed)


def _aspect(track: VideoTrack, fields: TrackFields) -> Fraction | None:
    pasp = fields.boxes.get(b"pasp", b"")
    across, down = int.from_bytes(pasp[:4], "big"), int.from_bytes(pasp[4:8], "big")
    if not across or not down:
        if track.sample_aspect_ratio:
            across, down = (int(part) for part in track.sample_aspect_ratio.split(":"))
        elif fields.config is not None and fields.config.aspect is not None:
            across, down = fields.config.aspect
    return Fraction(across, down) if across and down else None
