"""What the header of a Matroska or WebM file says and FFmpeg keeps to itself: rotation, HDR, large attachments.

Sources: RFC 9559 (the elements), and for Dolby Vision and HDR10+ its registry of block additional mappings.
"""

from __future__ import annotations

import struct
from contextlib import suppress

import attrs

from media_watch_tasks.model.metadata import MediaMetadata, VideoTrack
from media_watch_tasks.probe.colour import hdr_name
from media_watch_tasks.probe.ebml import Element, ElementError, elements, read_element
from media_watch_tasks.probe.parameter_sets import dolby_vision
from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["MatroskaHeader", "MatroskaVideo", "read_header", "with_header"]

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_TRACKS, _TRACK, _TYPE, _VIDEO = 0x1654AE6B, 0xAE, 0x83, 0xE0
_COLOUR, _MASTERING = 0x55B0, 0x55D0
_PROJECTION, _KIND, _YAW, _PITCH, _ROLL = 0x7670, 0x7671, 0x7673, 0x7674, 0x7675
_MAPPING, _MAPPING_TYPE, _MAPPING_DATA = 0x41E4, 0x41E7, 0x41ED
_ATTACHMENTS, _ATTACHED, _MIME = 0x1941A469, 0x61A7, 0x4660
_T35 = 4
"""The block additional mapping of ITU-T T.35 metadata, which is HDR10+ in Matroska."""
_VOID = 0xEC
_LARGE = 32 * 1024
_LARGEST_TRACKS = 1024 * 1024
_MOST_ATTACHMENTS = 8


@attrs.frozen(kw_only=True)
class MatroskaVideo:
    """One video track."""

    rotation: int | None = None
    """Degrees clockwise, None where the file names none, or one that is no quarter turn."""
    mastering: bool = False
    dynamic: bool = False
    dolby: str | None = None


@attrs.define
class MatroskaHeader:
    """What was found."""

    video: list[MatroskaVideo] = attrs.field(factory=list)
    has_cover: bool | None = False
    """None where more attachments stand there than were looked at, and none of those is a picture."""


def read_header(reader: RangeReader) -> MatroskaHeader:
    """Read the video tracks, and hide attachments of more than 32 KiB from FFmpeg, which would read all of them.

    Attachments become a void element, which FFmpeg steps over; only cached header bytes are changed, nothing moves.
    What is damaged says nothing.
    """
    found = MatroskaHeader()
    try:
        segment = read_element(reader, read_element(reader, 0).end or 0)
        if segment.number == _SEGMENT:
            for element in _top_level(reader, segment):
                _look(reader, element, found)
    except (ElementError, struct.error):
        pass
    return found


def with_header(found: MediaMetadata, header: MatroskaHeader) -> MediaMetadata:
    """What FFmpeg found, completed. Where it names other tracks than the header does, it is left as it is."""
    if not header.video or len(header.video) != len(found.video):
        return found
    return attrs.evolve(found, video=tuple(map(_complete, found.video, header.video)))


def _complete(track: VideoTrack, header: MatroskaVideo) -> VideoTrack:
    shown = (track.display_width, track.display_height)
    if header.rotation in {90, 270}:
        shown = (track.display_height, track.display_width)
    hdr = hdr_name(
        track.color_transfer,
        mastering=header.mastering or track.hdr == "HDR10",
        dynamic=header.dynamic or track.hdr == "HDR10+",
        dolby=header.dolby,
    )
    return attrs.evolve(track, rotation=header.rotation, display_width=shown[0], display_height=shown[1], hdr=hdr)


def _top_level(reader: RangeReader, segment: Element) -> list[Element]:
    """Tracks and attachments: what stands before the first cluster, and what the seek head points at behind it."""
    found: dict[int, Element] = {}
    pointed_at: dict[int, int] = {}
    with suppress(ElementError):  # what stands before the damage counts
        for element in elements(reader, segment.body, segment.end or reader.size):
            if element.number == _CLUSTER:
                break
            found.setdefault(element.number, element)
            if element.number == _SEEK_HEAD and element.end is not None:
                pointed_at.update(_seek_head(reader, element))
    for number in (_TRACKS, _ATTACHMENTS):
        place = segment.body + pointed_at.get(number, reader.size)
        if number not in found and place < reader.size:
            element = read_element(reader, place)
            if element.number == number:
                found[number] = element
    return [found[number] for number in (_TRACKS, _ATTACHMENTS) if number in found]


def _seek_head(reader: RangeReader, head: Element) -> dict[int, int]:
    places: dict[int, int] = {}
    for seek in elements(reader, head.body, head.end or head.body):
        if seek.number == _SEEK and seek.end is not None:
            parts = {part.number: _value(reader, part) for part in elements(reader, seek.body, seek.end)}
            number = int.from_bytes(parts.get(_SEEK_ID, b""), "big")
            places.setdefault(number, int.from_bytes(parts.get(_SEEK_POSITION, b"\xff" * 8), "big"))
    return places


def _value(reader: RangeReader, element: Element) -> bytes:
    """The contents of a small element."""
    return reader.at(element.body, min((element.end or element.body) - element.body, 4096))


def _look(reader: RangeReader, element: Element, found: MatroskaHeader) -> None:
    if element.end is None:
        return
    if element.number == _TRACKS and element.end - element.body <= _LARGEST_TRACKS:
        reader.prefetch([(element.body, element.end - element.body)])
        for track in elements(reader, element.body, element.end):
            if track.number == _TRACK and track.end is not None and (video := _track(reader, track)) is not None:
                found.video.append(video)
    elif element.number == _ATTACHMENTS and element.end - element.body > _LARGE:
        found.has_cover = _cover_among(reader, element)
        _hide(reader, element)


def _track(reader: RangeReader, track: Element) -> MatroskaVideo | None:
    video, kind, mappings = None, 0, []
    for part in elements(reader, track.body, track.end or track.body):
        if part.number == _TYPE:
            kind = int.from_bytes(_value(reader, part), "big")
        elif part.number == _VIDEO:
            video = part
        elif part.number == _MAPPING:
            mappings.append({each.number: _value(reader, each) for each in _children(reader, part)})
    if kind != 1:
        return None
    parts = {part.number: part for part in _children(reader, video)} if video is not None else {}
    types = {int.from_bytes(mapping.get(_MAPPING_TYPE, b""), "big"): mapping for mapping in mappings}
    boxes = {number.to_bytes(4, "big"): mapping.get(_MAPPING_DATA, b"") for number, mapping in types.items()}
    return MatroskaVideo(
        rotation=_rotation(reader, parts[_PROJECTION]) if _PROJECTION in parts else None,
        mastering=_COLOUR in parts and any(part.number == _MASTERING for part in _children(reader, parts[_COLOUR])),
        dynamic=_T35 in types,
        dolby=dolby_vision(boxes),
    )


def _children(reader: RangeReader, element: Element) -> list[Element]:
    return list(elements(reader, element.body, element.end or element.body))


def _rotation(reader: RangeReader, projection: Element) -> int | None:
    """From the roll of a plain picture, which turns it against the clock; other projections are no rotation."""
    parts = {part.number: _value(reader, part) for part in _children(reader, projection)}
    if any(parts.get(_KIND, b"")) or _float(parts.get(_YAW)) or _float(parts.get(_PITCH)):
        return None
    degrees = -_float(parts.get(_ROLL))
    nearest = round(degrees / 90) * 90
    return nearest % 360 if abs(degrees - nearest) < 1 else None


def _float(data: bytes | None) -> float:
    return float(struct.unpack(">d" if len(data) == 8 else ">f", data)[0]) if data else 0.0  # noqa: PLR2004 - EBML knows two widths


def _cover_among(reader: RangeReader, attachments: Element) -> bool | None:
    """True if one of the first files is a picture, which FFmpeg takes for a cover."""
    files = 0
    for file in elements(reader, attachments.body, attachments.end or attachments.body):
        if file.number != _ATTACHED:
            continue
        files += 1
        if files > _MOST_ATTACHMENTS:
            return None
        for part in _children(reader, file):
            if part.number == _MIME and _value(reader, part).startswith(b"image/"):
                return True
    return False


def _hide(reader: RangeReader, element: Element) -> None:
    """Turn the header of an element into that of a void one that ends at the same place."""
    header = element.body - element.start
    width = min(header - 1, 8)
    length = (element.end or element.body) - element.start - 1 - width
    if length < (1 << 7 * width) - 1:
        size = (length | 1 << 7 * width).to_bytes(width, "big")
        reader.overwrite(element.start, bytes([_VOID]) + size)
