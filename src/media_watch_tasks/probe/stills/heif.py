"""HEIF and AVIF (ISO/IEC 23008-12): the primary item, its properties, and the Exif item. CR3 too, by its own boxes."""

from __future__ import annotations

import struct

import attrs

from media_watch_tasks.probe.boxes import Box, BrokenBoxError, children, payloads
from media_watch_tasks.probe.colour import colour_fields, hdr_name
from media_watch_tasks.probe.parameter_sets import read_config
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.stills.exif import read_exif, read_xmp
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError, Picture

__all__ = ["STILL_BRANDS", "read_heif"]

STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif", b"avio", b"miaf", b"jpeg"}
_CODECS = {b"hvc1": "hevc", b"av01": "av1", b"avc1": "h264", b"jpeg": "mjpeg", b"grid": None, b"j2k1": "jpeg2000",
           b"vvc1": "vvc", b"unci": "rawvideo", b"jxl ": "jpegxl"}  # fmt: skip
_LARGEST_META = 4 * 1024 * 1024
_LARGEST_EXIF = 1024 * 1024


@attrs.frozen
class _Item:
    kind: bytes
    content_type: bytes


@attrs.frozen
class _Meta:
    primary: int
    items: dict[int, _Item]
    properties: list[tuple[bytes, bytes]]
    owned: dict[int, list[int]]
    places: dict[int, tuple[int, int, int]]
    """item -> (construction method, offset, length)"""
    references: dict[tuple[bytes, int], list[int]]
    data: bytes
    """Contents of idat."""


def read_heif(reader: RangeReader) -> Picture:
    """From the `meta` box.

    Raises:
        HeaderError: there is none, or it names no size for the primary item.
    """
    try:
        meta_box = _find_meta(reader)
        meta = _parse(reader.at(meta_box.body, meta_box.end - meta_box.body))
    except (BrokenBoxError, struct.error, IndexError) as error:
        raise HeaderError(f"a damaged HEIF index: {error}") from error
    # A primary item that calls itself the thumbnail of another one: what is meant is that one.
    master = meta.references.get((b"thmb", meta.primary), [])
    if master and master[0] in meta.items:
        meta = attrs.evolve(meta, primary=master[0])
    owned = _properties_of(meta, meta.primary)
    first = dict(reversed(owned))
    ispe = first.get(b"ispe", b"")
    if len(ispe) < 12:  # noqa: PLR2004 - version, width, height
        raise HeaderError("the primary item names no size")
    # Encoders pad small and odd pictures and cut them by the clean aperture, as a cropping window does in a film.
    size = _clean_aperture(first.get(b"clap")) or struct.unpack_from(">II", ispe, 4)
    kind = meta.items.get(meta.primary, _Item(b"", b"")).kind
    tile = _tile(meta) if kind == b"grid" else kind
    shared = first if kind != b"grid" else dict(_properties_of_tile(meta)) | first
    colour, transfer = _colour(owned)
    config = read_config(shared)
    brands = _brands(reader)
    return Picture(
        container="avif" if b"av01" in {kind, tile} else "heif",
        codec=_CODECS.get(tile),
        width=size[0],
        height=size[1],
        bit_depth=_depth(shared) or (config.bit_depth if config else None),
        profile=config.profile if config else None,
        pixel_format=config.pixel_format if config else None,
        rotation=_rotation(first.get(b"irot")),
        brands=brands,
        colour=colour,
        hdr=hdr_name(transfer),
        camera=_camera(reader, meta),
    )


def _find_meta(reader: RangeReader) -> Box:
    for box in children(reader, 0, reader.size):
        if box.kind == b"meta":
            if box.end > reader.size or box.size > _LARGEST_META:
                raise HeaderError("the meta box is cut off or too large to be one")
            return box
    raise HeaderError("there is no meta box")


def _brands(reader: RangeReader) -> tuple[str, ...]:
    head = reader.at(0, 256)
    size = min(int.from_bytes(head[:4], "big"), len(head))
    names = [head[at : at + 4].decode("latin-1").strip() for at in (8, *range(16, size - 3, 4))]
    return tuple(dict.fromkeys(name for name in names if name))


def _parse(body: bytes) -> _Meta:
    boxes = payloads(body, skip=4)
    properties, owned = _properties(boxes.get(b"iprp", b""))
    pitm = boxes.get(b"pitm", b"\0" * 6)
    return _Meta(
        primary=int.from_bytes(pitm[4:8] if pitm[0] else pitm[4:6], "big"),
        items=_items(boxes.get(b"iinf", b"")),
        properties=properties,
        owned=owned,
        places=_places(boxes.get(b"iloc", b"")),
        references=_references(boxes.get(b"iref", b"")),
        data=boxes.get(b"idat", b""),
    )


def _list(data: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):  # noqa: PLR2004 - a box header
            break
        found.append((kind, data[at + 8 : at + size]))
        at += size
    return found


def _properties(iprp: bytes) -> tuple[list[tuple[bytes, bytes]], dict[int, list[int]]]:
    properties: list[tuple[bytes, bytes]] = []
    owned: dict[int, list[int]] = {}
    for kind, body in _list(iprp):
        if kind == b"ipco":
            properties = _list(body)
        elif kind == b"ipma":
            wide_item, wide_property = body[0] > 0, body[3] & 1
            count, at = struct.unpack_from(">I", body, 4)[0], 8
            for _ in range(count):
                item = struct.unpack_from(">I" if wide_item else ">H", body, at)[0]
                at += 4 if wide_item else 2
                amount = body[at]
                at += 1
                for _ in range(amount):
                    number = struct.unpack_from(">H", body, at)[0] & 0x7FFF if wide_property else body[at] & 0x7F
                    at += 2 if wide_property else 1
                    owned.setdefault(item, []).append(number)
    return properties, owned


def _items(iinf: bytes) -> dict[int, _Item]:
    items: dict[int, _Item] = {}
    if not iinf:
        return items
    for kind, body in _list(iinf[6 if iinf[0] == 0 else 8 :]):
        if kind != b"infe" or body[0] < 2:  # noqa: PLR2004 - older versions name no type
            continue
        wide = body[0] == 3  # noqa: PLR2004 - the version with 32-bit item ids
        at = 8 if wide else 6
        item = int.from_bytes(body[4:at], "big")
        kind4 = body[at + 2 : at + 6]
        texts = body[at + 6 :].split(b"\0")
        items[item] = _Item(kind4, texts[1] if kind4 == b"mime" and len(texts) > 1 else b"")
    return items


def _places(iloc: bytes) -> dict[int, tuple[int, int, int]]:
    places: dict[int, tuple[int, int, int]] = {}
    if not iloc:
        return places
    version = iloc[0]
    offset_size, length_size, base_size, index_size = iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15
    count_size = id_size = 4 if version == 2 else 2  # noqa: PLR2004 - the version with 32-bit item ids
    at = 6 + count_size
    for _ in range(int.from_bytes(iloc[6:at], "big")):
        item = int.from_bytes(iloc[at : at + id_size], "big")
        at += id_size
        method = 0
        if version:
            method = iloc[at + 1] & 15
            at += 2
        at += 2
        base = int.from_bytes(iloc[at : at + base_size], "big")
        at += base_size
        extents = int.from_bytes(iloc[at : at + 2], "big")
        at += 2
        for number in range(extents):
            at += index_size if version else 0
            offset = int.from_bytes(iloc[at : at + offset_size], "big")
            length = int.from_bytes(iloc[at + offset_size : at + offset_size + length_size], "big")
            at += offset_size + length_size
            if number == 0:
                places[item] = (method, base + offset, length)
    return places


def _references(iref: bytes) -> dict[tuple[bytes, int], list[int]]:
    found: dict[tuple[bytes, int], list[int]] = {}
    if not iref:
        return found
    width = 4 if iref[0] else 2
    for kind, body in _list(iref[4:]):
        source = int.from_bytes(body[:width], "big")
        count = int.from_bytes(body[width : width + 2], "big")
        targets = [
            int.from_bytes(body[at : at + width], "big") for at in range(width + 2, width + 2 + count * width, width)
        ]
        found.setdefault((kind, source), []).extend(targets)
    return found


def _tile(meta: _Meta) -> bytes:
    tiles = meta.references.get((b"dimg", meta.primary), [])
    return meta.items[tiles[0]].kind if tiles and tiles[0] in meta.items else b""


def _properties_of_tile(meta: _Meta) -> list[tuple[bytes, bytes]]:
    tiles = meta.references.get((b"dimg", meta.primary), [])
    return _properties_of(meta, tiles[0]) if tiles else []


def _properties_of(meta: _Meta, item: int) -> list[tuple[bytes, bytes]]:
    numbers = meta.owned.get(item, [])
    return [meta.properties[number - 1] for number in numbers if 0 < number <= len(meta.properties)]


def _rotation(irot: bytes | None) -> int | None:
    """The irot property counts quarter turns against the clock."""
    return None if irot is None else (360 - 90 * (irot[0] & 3)) % 360 if irot else None


def _clean_aperture(clap: bytes | None) -> tuple[int, int] | None:
    if clap is None or len(clap) < 16:  # noqa: PLR2004 - two fractions
        return None
    across, across_by, down, down_by = struct.unpack_from(">4I", clap)
    return (across // across_by, down // down_by) if across_by and down_by and across and down else None


def _depth(properties: dict[bytes, bytes]) -> int | None:
    pixi = properties.get(b"pixi", b"")
    return max(pixi[5 : 5 + pixi[4]], default=None) if len(pixi) > 5 else None  # noqa: PLR2004 - the number of channels


def _colour(owned: list[tuple[bytes, bytes]]) -> tuple[dict[str, str | None], str | None]:
    for kind, body in owned:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 11:  # noqa: PLR2004 - three code points and a flag
            colour = colour_fields(*struct.unpack_from(">3H", body, 4), full_range=bool(body[10] & 0x80))
            return colour, colour["color_transfer"]
    return {}, None


def _camera(reader: RangeReader, meta: _Meta) -> CameraData:
    wanted: list[tuple[bytes, tuple[int, int, int]]] = []
    for number, item in meta.items.items():
        is_xmp = item.kind == b"mime" and item.content_type == b"application/rdf+xml"
        place = meta.places.get(number)
        if place is not None and place[2] <= _LARGEST_EXIF and (item.kind == b"Exif" or is_xmp):
            wanted.append((item.kind, place))
    reader.prefetch([(offset, length) for _, (method, offset, length) in wanted if method == 0])
    camera, xmp = CameraData(), b""
    for kind, (method, offset, length) in wanted:
        block = reader.at(offset, length) if method == 0 else meta.data[offset : offset + length]
        if kind == b"mime":
            xmp = block
        elif camera == CameraData():
            camera = read_exif(block[4 + int.from_bytes(block[:4], "big") :])
    # The container turns the picture itself: Exif's orientation only repeats what irot says.
    return attrs.evolve(read_xmp(xmp, camera), orientation=None)
