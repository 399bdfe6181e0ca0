"""HEIF and AVIF (ISO/IEC 23008-12): the primary item, its properties, and the Exif item."""

from __future__ import annotations

import struct

import attrs

from media_watch_tasks.probe.colour import colour_fields, hdr_name
from media_watch_tasks.probe.parameter_sets import read_config
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.stills.exif import read_exif, read_xmp
from media_watch_tasks.probe.stills.heif_index import HeifIndex, read_index
from media_watch_tasks.probe.stills.picture import CameraData, HeaderError, Picture

__all__ = ["STILL_BRANDS", "read_heif"]

STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif", b"avio", b"miaf", b"jpeg"}
_CODECS = {b"hvc1": "hevc", b"av01": "av1", b"avc1": "h264", b"jpeg": "mjpeg", b"j2k1": "jpeg2000",
           b"vvc1": "vvc", b"unci": "rawvideo", b"jxl ": "jpegxl"}  # fmt: skip
_LARGEST_EXIF = 1024 * 1024


def read_heif(reader: RangeReader) -> Picture:
    """From the `meta` box.

    Raises:
        HeaderError: there is none, or it names no size for the primary item.
    """
    meta = read_index(reader)
    # A primary item that calls itself the thumbnail of another one: what is meant is that one.
    master = meta.references.get((b"thmb", meta.primary), [])
    if master and master[0] in meta.items:
        meta = attrs.evolve(meta, primary=master[0])
    owned = meta.properties_of(meta.primary)
    first = dict(reversed(owned))
    ispe = first.get(b"ispe", b"")
    if len(ispe) < 12:  # noqa: PLR2004 - version, width, height
        raise HeaderError("the primary item names no size")
    # A grid, an overlay and the like have no codec of their own: that of their first tile speaks for all.
    tile = next((item for item in meta.tiles() if item in meta.items), meta.primary)
    coded = meta.items[tile].kind if tile in meta.items else b""
    shared = dict(meta.properties_of(tile)) | first
    av1 = coded == b"av01"
    colour, transfer = _colour(owned)
    config = read_config(shared)
    stored = struct.unpack_from(">II", ispe, 4)
    shown, rotation = _geometry(first, stored)
    return Picture(
        container="avif" if av1 else "heif",
        codec=_CODECS.get(coded),
        width=stored[0],
        height=stored[1],
        shown=shown,
        bit_depth=_depth(shared) or (config.bit_depth if config else None),
        profile=config.profile if config else None,
        pixel_format=config.pixel_format if config else None,
        rotation=rotation,
        brands=_brands(reader),
        colour=colour,
        hdr=hdr_name(transfer),
        camera=_camera(reader, meta),
    )


def _brands(reader: RangeReader) -> tuple[str, ...]:
    head = reader.at(0, 256)
    size = min(int.from_bytes(head[:4], "big"), len(head))
    names = [head[at : at + 4].decode("latin-1").strip() for at in (8, *range(16, size - 3, 4))]
    return tuple(dict.fromkeys(name for name in names if name))


def _geometry(first: dict[bytes, bytes], full: tuple[int, int]) -> tuple[tuple[int, int], int | None]:
    """(size as it is shown, degrees clockwise): what cropping (clap) and turning (irot) make of the stored picture.

    irot counts quarter turns against the clock. Many decoders of HEIC hand out the picture cropped and turned, those of
    AVIF as it is stored: a description that follows them would tell the same picture in two ways.
    """
    irot = first.get(b"irot", b"")
    rotation = (360 - 90 * (irot[0] & 3)) % 360 if irot else None
    cropped = _clean_aperture(first.get(b"clap")) or full
    return (cropped[1], cropped[0]) if rotation in {90, 270} else cropped, rotation


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


def _camera(reader: RangeReader, meta: HeifIndex) -> CameraData:
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
