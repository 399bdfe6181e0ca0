"""Reads the index of an mp4 or mov file without its sample tables, and rebuilds it small for FFmpeg.

The sample tables of a long recording fill tens of megabytes, and FFmpeg reads all of them, though no field of the
description depends on a single sample. Here only the headers of the tables are read; everything else of the `moov`
box (track headers, sample descriptions, tags) goes into a `moov` of a few kilobytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs

from media_watch_tasks.probe.boxes import Box, BrokenBoxError, children, pack
from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["Layout", "Movie", "Track", "find_layout", "read_movie", "table_count", "table_fits"]

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"udta", b"meta", b"ilst"}
_TABLES = {b"stts", b"ctts", b"stss", b"stsz", b"stz2", b"stsc", b"stco", b"co64", b"sbgp", b"sgpd", b"sdtp", b"saiz",
           b"saio", b"senc", b"stsh", b"subs", b"cslg", b"stps", b"stdp", b"padb"}  # fmt: skip
_KEPT_PER_TRACK = {b"tkhd", b"mdhd", b"hdlr", b"stsd", b"elst", b"tref", b"dref"}
_LARGE_LEAF = 32 * 1024
_LARGEST_DESCRIPTION = 1024 * 1024
_SMALL_INDEX = 160 * 1024
_TAIL = 32 * 1024
_HEADER = 8
_OF_THE_FILM = {b"moov", b"moof", b"mdat"}
_AFTER_INDEX = {b"free", b"skip", b"udta", b"uuid", b"meta", b"wide"}
_DEEPEST = 10
_TABLE_HEADER = 24
_ENTRY_SIZES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4}


@attrs.define
class Track:
    """One `trak` box: its small boxes whole, its tables by place."""

    boxes: dict[bytes, bytes] = attrs.field(factory=dict)
    """Kind -> contents of tkhd, mdhd, hdlr, stsd, elst, tref."""
    tables: dict[bytes, Box] = attrs.field(factory=dict)
    heads: dict[bytes, bytes] = attrs.field(factory=dict)
    """Kind -> the first 16 bytes of the table's contents."""


@attrs.define
class Movie:
    """The index, without its tables."""

    rebuilt: bytes = b""
    """A `moov` box without sample tables and without large pictures."""
    tracks: list[Track] = attrs.field(factory=list)
    mvhd: bytes = b""
    mehd: bytes = b""
    trex: list[bytes] = attrs.field(factory=list)
    fragmented: bool = False
    has_cover: bool = False
    left_out: list[str] = attrs.field(factory=list)
    """Kinds of large boxes that were not read."""


@attrs.define
class Layout:
    """What stands at the top level of the file."""

    ftyp: Box | None = None
    moov: Box | None = None
    first_moof: Box | None = None
    sidx: list[Box] = attrs.field(factory=list)
    mfra: Box | None = None
    cut_off: bool = False
    """True where a box ends behind the end of the file: the file is not whole."""


def find_layout(reader: RangeReader) -> Layout:
    """Walk the top level until the index and, where there are some, the first fragment are found.

    Raises:
        BrokenBoxError: the boxes do not fit.
    """
    layout = Layout()
    boxes = _top_level(reader)
    while (box := _next(boxes, layout)) is not None:
        _note(layout, box, reader.size)
        if layout.first_moof is not None or (box.kind == b"mdat" and layout.moov is not None):
            break
        if layout.moov is None and not reader.holds(box.end, _HEADER):
            layout.moov = _index_in_tail(reader, box.end)
            if layout.moov is not None:
                break
            if box.end < reader.size <= box.end + _SMALL_INDEX:
                reader.prefetch([(box.end, reader.size - box.end)])
    if layout.moov is None:
        raise BrokenBoxError("there is no moov box")
    if layout.moov.end > reader.size:
        raise BrokenBoxError("the moov box is cut off")
    return layout


def _next(boxes: Iterator[Box], layout: Layout) -> Box | None:
    """The next box; None at the end, and at whatever stands behind the index without being a box."""
    try:
        return next(boxes, None)
    except BrokenBoxError:
        if layout.moov is None:
            raise
        return None


def _note(layout: Layout, box: Box, size: int) -> None:
    layout.cut_off = layout.cut_off or (box.end > size and box.kind in _OF_THE_FILM)
    if box.kind == b"ftyp" and layout.ftyp is None:
        layout.ftyp = box
    elif box.kind == b"moov" and layout.moov is None:
        layout.moov = box
    elif box.kind == b"sidx":
        layout.sidx.append(box)
    elif box.kind == b"moof":
        layout.first_moof = box


def _index_in_tail(reader: RangeReader, after: int) -> Box | None:
    """The last `moov` box, if the cached end of the file holds it whole and boxes lead from it to the end of the file.

    This spares the walk across the media data, which costs a round trip for every box that ends far from both ends.
    """
    start = max(reader.size - _TAIL, after)
    if start >= reader.size or not reader.holds(start, reader.size - start):
        return None
    data = reader.at(start, reader.size - start)
    at = data.rfind(b"moov")
    while at >= 4:  # noqa: PLR2004 - the size stands before the four characters
        try:
            boxes = list(children(reader, start + at - 4, reader.size))
        except BrokenBoxError:
            boxes = []
        if boxes and boxes[-1].end == reader.size and {box.kind for box in boxes[1:]} <= _AFTER_INDEX:
            return boxes[0]
        at = data.rfind(b"moov", 0, at)
    return None


def _top_level(reader: RangeReader) -> Iterator[Box]:
    for box in children(reader, 0, reader.size):
        if not all(32 <= byte < 127 for byte in box.kind):  # noqa: PLR2004 - printable ASCII
            raise BrokenBoxError(f"no box stands at {box.start}")
        yield box


def read_movie(reader: RangeReader, moov: Box) -> Movie:
    """Read the index.

    Raises:
        BrokenBoxError: the boxes do not fit, nest too deep, or a sample description is too large to be one.
    """
    if moov.size <= _SMALL_INDEX:
        reader.prefetch([(moov.start, moov.size)])
    movie = Movie()
    movie.rebuilt = pack(b"moov", _rebuild(reader, moov, movie, depth=0))
    return movie


def _rebuild(reader: RangeReader, parent: Box, movie: Movie, *, depth: int) -> bytes:
    if depth > _DEEPEST:
        raise BrokenBoxError("boxes nest too deep")
    pieces: list[bytes] = []
    start = parent.body
    if parent.kind == b"meta":
        # ISO's meta box has a version before its contents, QuickTime's has none.
        prefix = b"" if reader.at(start + 4, 4) == b"hdlr" else reader.at(start, 4)
        pieces.append(prefix)
        start += len(prefix)
    for box in children(reader, start, parent.end):
        if box.end > parent.end:
            if parent.kind in {b"udta", b"meta", b"ilst"}:
                break  # old QuickTime ends a udta box with four zero bytes
            raise BrokenBoxError(f"a {_text(box.kind)} box ends outside its {_text(parent.kind)} box")
        piece = _piece(reader, box, movie, depth=depth)
        if piece:
            pieces.append(piece)
    return b"".join(pieces)


def _piece(reader: RangeReader, box: Box, movie: Movie, *, depth: int) -> bytes:
    kind = box.kind
    if kind == b"trak":
        movie.tracks.append(Track())
    elif kind == b"mvex":
        movie.fragmented = True
    if kind in _CONTAINERS:
        return pack(kind, _rebuild(reader, box, movie, depth=depth + 1))
    if kind in _TABLES and movie.tracks:
        track = movie.tracks[-1]
        track.tables[kind] = box
        track.heads[kind] = reader.at(box.body, min(_TABLE_HEADER, box.end - box.body))
        return b""
    movie.has_cover = movie.has_cover or kind == b"covr"
    return b"" if kind in {b"free", b"skip", b"wide"} else _leaf(reader, box, movie, depth=depth)


def _leaf(reader: RangeReader, box: Box, movie: Movie, *, depth: int) -> bytes:
    kind = box.kind
    if box.size > (_LARGEST_DESCRIPTION if kind == b"stsd" else _LARGE_LEAF):
        if kind == b"stsd":
            raise BrokenBoxError("a sample description of more than a megabyte")
        if kind != b"covr":
            movie.left_out.append(_text(kind))
        return b""
    body = reader.at(box.body, box.end - box.body)
    if len(body) < box.end - box.body:
        raise BrokenBoxError(f"a {_text(kind)} box cannot be read")
    _keep(movie, kind, body, depth=depth)
    return pack(kind, body)


def _keep(movie: Movie, kind: bytes, body: bytes, *, depth: int) -> None:
    if kind == b"mvhd":
        movie.mvhd = body
    elif kind == b"mehd":
        movie.mehd = body
    elif kind == b"trex":
        movie.trex.append(body)
    elif kind in _KEPT_PER_TRACK and movie.tracks and depth > 0:
        movie.tracks[-1].boxes.setdefault(kind, body)


def _text(kind: bytes) -> str:
    return kind.decode("latin-1")


def table_count(track: Track, kind: bytes) -> int:
    """The number of entries that a table's header names; 0 where there is none."""
    head = track.heads.get(kind, b"")
    at = 8 if kind == b"stsz" else 4
    return int(struct.unpack_from(">I", head, at)[0]) if len(head) >= at + 4 else 0


def table_fits(track: Track, kind: bytes) -> bool:
    """True if the table has room for as many entries as its header names."""
    box, count = track.tables[kind], table_count(track, kind)
    if kind == b"stsz":
        common = any(track.heads[kind][4:8])
        return common or 12 + 4 * count <= box.end - box.body
    return 8 + _ENTRY_SIZES.get(kind, 0) * count <= box.end - box.body if kind in _ENTRY_SIZES else True
