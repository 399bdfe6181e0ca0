"""Raw files that are no TIFF: Canon CR3 (boxes) and Fujifilm RAF."""

from __future__ import annotations

import struct

import attrs

from media_watch_tasks.probe.boxes import BrokenBoxError, children, payloads
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.stills.exif import read_exif
from media_watch_tasks.probe.stills.jpeg import read_jpeg
from media_watch_tasks.probe.stills.picture import HeaderError, Picture, ReadAt
from media_watch_tasks.probe.stills.tiff_tags import TiffReader

__all__ = ["read_cr3", "read_raf"]

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_RAF_FULL, _RAF_CROPPED = 0x0100, 0x0111
_LARGEST_INDEX = 256 * 1024


def read_cr3(reader: RangeReader) -> Picture:
    """Canon's box in `moov` holds four small TIFF files: CMT1 names size and camera, CMT2 the exposure, CMT4 the place.

    Raises:
        HeaderError: it is missing or damaged.
    """
    try:
        moov = next(box for box in children(reader, 0, reader.size) if box.kind == b"moov")
        canon = next(box for box in children(reader, moov.body, moov.end) if box.kind == b"uuid")
    except (BrokenBoxError, StopIteration) as error:
        raise HeaderError("a CR3 without Canon's box") from error
    body = reader.at(canon.body, min(canon.end - canon.body, _LARGEST_INDEX))
    blocks = payloads(body, skip=16)
    if not body.startswith(_CANON) or b"CMT1" not in blocks:
        raise HeaderError("a CR3 without Canon's box")
    first = blocks[b"CMT1"]
    tiff = TiffReader(lambda offset, length: first[offset : offset + length])
    directory = tiff.directory(tiff.first)
    width, height = directory.number(256), directory.number(257)
    if not width or not height:
        raise HeaderError("a CR3 that names no size")
    camera, exposure = read_exif(first), read_exif(blocks.get(b"CMT2", b""))
    camera = attrs.evolve(camera, created=exposure.created or camera.created, lens=exposure.lens)
    return Picture(container="cr3", codec=None, width=width, height=height, brands=("crx",), camera=camera)


def read_raf(read: ReadAt) -> Picture:
    """The header names the place of a JPEG preview (with Exif) and of a table with the size.

    Raises:
        HeaderError: neither can be read.
    """
    head = read(84, 24)
    if len(head) < 24:  # noqa: PLR2004 - three pairs of offset and length
        raise HeaderError("a RAF header that is cut off")
    preview, _, table = struct.unpack_from(">III", head)
    picture = read_jpeg(lambda offset, length: read(preview + offset, length))
    sizes: dict[int, tuple[int, int]] = {}
    count, at = int.from_bytes(read(table, 4), "big"), table + 4
    for _ in range(min(count, 256)):
        entry = read(at, 8)
        if len(entry) < 8:  # noqa: PLR2004 - tag, length, two numbers
            break
        tag, length, first, second = struct.unpack(">4H", entry)
        sizes[tag] = (second, first)
        at += 4 + length
    width, height = sizes.get(_RAF_CROPPED) or sizes.get(_RAF_FULL) or (picture.width, picture.height)
    return attrs.evolve(picture, container="raf", codec=None, profile=None, width=width, height=height, bit_depth=None)
