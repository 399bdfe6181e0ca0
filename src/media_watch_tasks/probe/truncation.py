"""Tells a file that was cut off, or is still being written, by what its headers say of its length.

Parsers take such a file for whole: the duration in its header is that of the film that was meant. Each look costs a few
bytes that the first round trip has read already.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import islice

from media_watch_tasks.probe.boxes import Box, BrokenBoxError, children
from media_watch_tasks.probe.ebml import ElementError, read_element
from media_watch_tasks.probe.movie import Track, table_count
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.track_fields import TrackFields
from media_watch_tasks.probe.truncation_audio import SOUND_LOOKS

__all__ = ["TRUNCATED", "boxes_cut_off", "is_cut_off", "lacks_media"]

TRUNCATED = "the file is shorter than its headers say: it was cut off, or is still being written"

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d010201")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_LARGEST_ASF_HEADER = 32 * 1024
_UNKNOWN_32 = 0xFFFFFFFF
_MOST_BOXES = 32
_FLV_TAGS = {8, 9, 18}


def is_cut_off(reader: RangeReader) -> bool:
    """True where the headers of a file name more than it holds; a format that names nothing is never cut off."""
    head = reader.at(0, 64)
    look = next((look for magic, look in _LOOKS if head.startswith(magic)), None)
    try:
        return look is not None and look(reader)
    except (struct.error, ElementError):
        return False  # what is damaged here says nothing; the parser judges the file


def boxes_cut_off(reader: RangeReader) -> bool:
    """True where the last box at the top level of an mp4 or mov file ends behind the file."""
    last = None
    try:
        for last in islice(children(reader, 0, reader.size), _MOST_BOXES):  # noqa: B007 - the last one counts
            pass
    except BrokenBoxError:
        return False
    return last is not None and last.end > reader.size and last.kind in {b"moov", b"moof", b"mdat"}


def lacks_media(reader: RangeReader, moov: Box, tracks: Sequence[tuple[Track, TrackFields]]) -> bool:
    """True where the index of an mp4 or mov file names samples for which the file has no room."""
    least = 0
    for track, fields in tracks:
        if fields.handler in {b"vide", b"soun"}:
            least += _least_bytes(reader, track, summed=moov.size * 3 > reader.size)
            if _last_chunk(reader, track) >= reader.size:
                return True
    return least > reader.size - moov.size


def _least_bytes(reader: RangeReader, track: Track, *, summed: bool) -> int:
    """At least so many bytes the samples of a track take: a byte each, where no common size is named nor all summed."""
    count, box = table_count(track, b"stsz"), track.tables.get(b"stsz")
    common = int.from_bytes(track.heads.get(b"stsz", b"")[4:8], "big")
    if box is not None and summed and not common and reader.holds(box.body + 12, 4 * count):
        sizes = reader.at(box.body + 12, 4 * count)
        return sum(struct.unpack(f">{len(sizes) // 4}I", sizes[: len(sizes) // 4 * 4]))
    return count * max(common, 1)


def _last_chunk(reader: RangeReader, track: Track) -> int:
    """Where the last chunk of a track starts, if that is cached; 0 otherwise."""
    for kind, width in ((b"stco", 4), (b"co64", 8)):
        count, box = table_count(track, kind), track.tables.get(kind)
        if box is not None and count:
            at = box.body + 8 + (count - 1) * width
            return int.from_bytes(reader.at(at, width), "big") if reader.holds(at, width) else 0
    return 0


def _chunk(reader: RangeReader) -> bool:
    """RIFF or FORM: the first chunk holds all, or as much as a 32-bit number can say."""
    head = reader.at(0, 8)
    length = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
    # Many writers count the eight bytes before the length too: so few that are missing prove nothing.
    return length > reader.size and length != _UNKNOWN_32


def _sun_audio(reader: RangeReader) -> bool:
    start, length = struct.unpack(">II", reader.at(4, 8))
    return bool(length != _UNKNOWN_32 and start + length > reader.size)


def _matroska(reader: RangeReader) -> bool:
    header = read_element(reader, 0)
    segment = read_element(reader, header.end or 0)
    return header.number == _EBML and segment.number == _SEGMENT and (segment.end or 0) > reader.size


def _flv(reader: RangeReader) -> bool:
    """The last four bytes are the length of the last tag: there, a tag of just that length must stand.

    A file that ends between two tags may still name its size in its metadata, as a number of AMF 0.
    """
    head = reader.at(0, 4096)
    at = head.find(b"\0\x08filesize\0") + 11
    if at > 11 and len(head) >= at + 8 and struct.unpack_from(">d", head, at)[0] > reader.size:  # noqa: PLR2004 - not found: 10
        return True
    length = int.from_bytes(reader.at(reader.size - 4, 4), "big")
    start = reader.size - 4 - length
    if length < 11 or start < 9:  # noqa: PLR2004 - the header of a tag, and that of the file
        return True
    if not reader.holds(start, 4):
        return False
    tag = reader.at(start, 4)
    return tag[0] & 0x1F not in _FLV_TAGS or int.from_bytes(tag[1:4], "big") + 11 != length


def _mxf(reader: RangeReader) -> bool:
    """The header partition names the place of the footer (SMPTE ST 377-1, 7.1); 0: not known when it was written."""
    head = reader.at(0, 64)
    skip = 17 + (head[16] & 0x7F if head[16] & 0x80 else 0)
    footer = struct.unpack_from(">Q", head, skip + 24)[0]
    return bool(footer >= reader.size)


def _asf(reader: RangeReader) -> bool:
    """The file properties object names the size, unless it was broadcast (Advanced Systems Format, 3.2)."""
    head = reader.at(0, min(_LARGEST_ASF_HEADER, reader.size))
    at = head.find(_ASF_FILE)
    if at < 0:
        return False
    length, flags = struct.unpack_from("<Q", head, at + 40)[0], struct.unpack_from("<I", head, at + 88)[0]
    return not flags & 1 and bool(length > reader.size)


_LOOKS: tuple[tuple[bytes, Callable[[RangeReader], bool]], ...] = (
    (b"RIFF", _chunk),
    (b"FORM", _chunk),
    (b".snd", _sun_audio),
    (b"\x1aE\xdf\xa3", _matroska),
    (b"FLV", _flv),
    (_MXF_PARTITION, _mxf),
    (_ASF_HEADER, _asf),
    *SOUND_LOOKS,
)
