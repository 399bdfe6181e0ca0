"""Describes one file: header reader, index overlay or FFmpeg on the range reader, whichever fits, in this order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import attrs

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.model.metadata import Confidence, MediaMetadata
from media_watch_tasks.probe.containers import ReadableFile, UnreadableError, describe_file, last_timestamps
from media_watch_tasks.probe.covers import hide_large_covers
from media_watch_tasks.probe.formats import BIT_RATE_TIMED, analysis_limits, is_iso_media
from media_watch_tasks.probe.matroska import MatroskaHeader, read_header, with_header
from media_watch_tasks.probe.movie_checks import Index, OverlayError
from media_watch_tasks.probe.mp3_header import Mp3Header, mp3_header
from media_watch_tasks.probe.overlay import describe_index, read_index, refine
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.settings import AnalysisSettings, wants_tail
from media_watch_tasks.probe.stills import HeaderError, describe_still, still_format
from media_watch_tasks.probe.truncation import TRUNCATED, boxes_cut_off, is_cut_off

__all__ = ["analyse"]

_log = logging.getLogger(__name__)

_HEAD = 64
_SLOWEST = 1_000
_LEAST_MP3_RATE = 7_500
"""Bits a second; no frame has less than 8,000 (ISO/IEC 11172-3, 2.4.2.3)."""
_FROM_BIT_RATE = "the duration follows from size and bit rate"
_FROM_TIMESTAMPS = {"mpegts", "mpeg"}


def analyse(
    source: ByteSource,
    *,
    name: str,
    settings: AnalysisSettings,
    prefetched: Sequence[tuple[int, bytes]] = (),
) -> MediaMetadata:
    """Describe the file. A file that cannot be described gives a value with `error`.

    `prefetched` holds (offset, bytes) that have been read from the source already.

    Raises:
        Exception: whatever the byte source raised.
    """
    reader = RangeReader(source, settings.policy)
    if reader.size == 0:
        return MediaMetadata(size=0, error="the file is empty", bytes_read=0, round_trips=0)
    for offset, data in prefetched:
        reader.add(offset, data)
    reader.open_ends(tail=wants_tail(name))
    try:
        found = _describe(reader, name, settings)
    except Exception as error:  # noqa: BLE001 - the one place that turns whatever a parser raises into a value
        # A parser met bytes that nobody thought of: that costs this file its description, and nothing else.
        _log.exception("a probe failed unexpectedly", extra={"file": name})
        found = MediaMetadata(error=f"the parser failed: {type(error).__name__}: {error}")
    if reader.failure is not None:
        raise reader.failure
    found = _finish(found, reader)
    if reader.size <= settings.whole_file and _wants_more(found):
        found = _read_whole(source, name, found, settings)
    return found


def _describe(reader: RangeReader, name: str, settings: AnalysisSettings) -> MediaMetadata:
    head = reader.at(0, _HEAD)
    still = still_format(head)
    try:
        if still is not None:
            return describe_still(reader, still, _extension(name))
        if is_iso_media(head):
            return _iso(reader, name, overlay=settings.overlay)
        return _plain(reader, name)
    except (UnreadableError, HeaderError) as error:
        if settings.pillow and (still is not None or not wants_tail(name)):
            from media_watch_tasks.probe import _pillow  # noqa: PLC0415 - it is an extra

            found = _pillow.describe(reader)
            if found is not None:
                return found
        return MediaMetadata(error=str(error), method="header" if still else "range")


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _iso(reader: RangeReader, name: str, *, overlay: bool) -> MediaMetadata:
    index = read_index(reader)
    if index is not None and overlay:
        try:
            return describe_index(reader, index, name)
        except OverlayError:
            pass
    found = _plain(reader, name)
    if index is None and boxes_cut_off(reader):
        return attrs.evolve(found, confidence=Confidence.PARTIAL, warnings=(TRUNCATED,))
    if index is None or found.container not in {"mp4", "mov"} or not (found.video or found.audio or found.subtitles):
        return found
    return _with_index(reader, index, found)


def _with_index(reader: RangeReader, index: Index, found: MediaMetadata) -> MediaMetadata:
    """FFmpeg's own reading wins; the index adds rotation, HDR and the like, and the duration of fragmented files."""
    refined = refine(reader, index, found)
    if found.duration is None or (index.movie.fragmented and refined.duration is not None):
        return refined
    if not index.movie.fragmented:
        return attrs.evolve(refined, duration=found.duration)
    warnings = (*refined.warnings, "the duration is that of the fragments that were read")
    return attrs.evolve(refined, duration=found.duration, confidence=Confidence.ESTIMATED, warnings=warnings)


def _plain(reader: RangeReader, name: str) -> MediaMetadata:
    head = reader.at(0, _HEAD)
    hidden = hide_large_covers(reader)
    header = read_header(reader) if head.startswith(b"\x1aE\xdf\xa3") else MatroskaHeader()
    reader.seek(0)
    found = describe_file(ReadableFile(reader, name), limits=analysis_limits(head))
    found = with_header(found, header)
    found = attrs.evolve(found, method="range", has_cover=found.has_cover or hidden or header.has_cover)
    confidence, doubt = _judge(reader, found)
    return found if doubt is None else attrs.evolve(found, confidence=confidence, warnings=(doubt,))


def _judge(reader: RangeReader, found: MediaMetadata) -> tuple[Confidence, str | None]:
    """How far FFmpeg's duration can be trusted, and why no further: it takes what a header says for what there is."""
    if is_cut_off(reader):
        return Confidence.PARTIAL, TRUNCATED
    if found.duration is None:
        return Confidence.EXACT, None
    if found.container == "mp3" and (header := mp3_header(reader)) is not None:
        return _judge_mp3(reader, header, found.duration)
    if found.container in BIT_RATE_TIMED or (found.container == "avi" and not _avi_frames(reader)):
        return Confidence.ESTIMATED, _FROM_BIT_RATE
    if found.container in _FROM_TIMESTAMPS and reader.size / found.duration < _SLOWEST:
        return Confidence.ESTIMATED, "the time stamps jump: the duration is doubtful"
    return Confidence.EXACT, None


def _judge_mp3(reader: RangeReader, header: Mp3Header, duration: float) -> tuple[Confidence, str | None]:
    if header.length > reader.size - header.start:
        return Confidence.PARTIAL, TRUNCATED
    agree = abs(header.seconds - duration) <= max(0.1, 0.01 * duration)
    if agree and reader.size * 8 >= _LEAST_MP3_RATE * duration:
        return Confidence.EXACT, None
    return Confidence.ESTIMATED, _FROM_BIT_RATE


def _avi_frames(reader: RangeReader) -> int:
    """The number of frames in the main header of an AVI file, 0 where the writer never came back to fill it in."""
    head = reader.at(0, 52)
    return int.from_bytes(head[48:52], "little") if head[24:28] == b"avih" else 0


def _wants_more(found: MediaMetadata) -> bool:
    timed = bool(found.video or found.audio) and found.error is None
    return timed and (found.duration is None or found.confidence is not Confidence.EXACT)


def _read_whole(source: ByteSource, name: str, found: MediaMetadata, settings: AnalysisSettings) -> MediaMetadata:
    """Find the duration by reading every packet, the last step and the only one that reads the whole file."""
    policy = attrs.evolve(settings.policy, budget=2 * settings.whole_file, read_ahead=4 * settings.policy.read_ahead)
    reader = RangeReader(source, policy)
    try:
        duration = last_timestamps(ReadableFile(reader, name))
    except UnreadableError as error:
        return attrs.evolve(found, warnings=(*found.warnings, f"it cannot be read to its end: {error}"))
    if reader.failure is not None:
        raise reader.failure
    whole = duration is not None and not reader.exhausted and not reader.short
    changes: dict[str, Any] = {"duration": duration, "bit_rate": None, "method": "whole"} if whole else {}
    if whole:
        changes["confidence"] = Confidence.EXACT
        changes["warnings"] = ()
    return attrs.evolve(
        _finish(attrs.evolve(found, **changes), reader),
        bytes_read=(found.bytes_read or 0) + reader.bytes_read,
        round_trips=(found.round_trips or 0) + reader.round_trips,
    )


def _finish(found: MediaMetadata, reader: RangeReader) -> MediaMetadata:
    changes: dict[str, Any] = {
        "size": reader.size,
        "bytes_read": reader.bytes_read,
        "round_trips": reader.round_trips,
    }
    if found.duration and found.bit_rate is None and found.method != "header" and (found.video or found.audio):
        changes["bit_rate"] = round(reader.size * 8 / found.duration)
    if reader.exhausted or reader.short:
        changes["confidence"] = Confidence.PARTIAL
        why = "the byte budget is used up" if reader.exhausted else "the source ended before its size"
        changes["warnings"] = (*found.warnings, f"{why}: what lies further on is unknown")
    return attrs.evolve(found, **changes)
