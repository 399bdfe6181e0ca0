"""The index of a HEIF or AVIF file: the `meta` box with its items, their properties, places and references."""

from __future__ import annotations

import struct

import attrs

from media_watch_tasks.probe.boxes import Box, BrokenBoxError, children, payloads
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.stills.picture import HeaderError

__all__ = ["HeifIndex", "HeifItem", "read_index"]

_LARGEST_META = 4 * 1024 * 1024


@attrs.frozen
class HeifItem:
    """An entry of `iinf`."""

    kind: bytes
    content_type: bytes


@attrs.frozen
class HeifIndex:
    """What the `meta` box holds."""

    primary: int
    items: dict[int, HeifItem]
    properties: list[tuple[bytes, bytes]]
    owned: dict[int, list[int]]
    places: dict[int, tuple[int, int, int]]
    """item -> (construction method, offset, length)"""
    references: dict[tuple[bytes, int], list[int]]
    data: bytes
    """Contents of idat."""

    def properties_of(self, item: int) -> list[tuple[bytes, bytes]]:
        """(kind, contents) of the properties that an item owns, in their order."""
        numbers = self.owned.get(item, [])
        return [self.properties[number - 1] for number in numbers if 0 < number <= len(self.properties)]

    def tiles(self) -> list[int]:
        """The items that the primary item is put together from."""
        return self.references.get((b"dimg", self.primary), [])


def read_index(reader: RangeReader) -> HeifIndex:
    """From the `meta` box.

    Raises:
        HeaderError: there is none, or it is damaged.
    """
    try:
        meta = _find_meta(reader)
        return _parse(reader.at(meta.body, meta.end - meta.body))
    except (BrokenBoxError, struct.error, IndexError) as error:
        raise HeaderError(f"a damaged HEIF index: {error}") from error


def _find_meta(reader: RangeReader) -> Box:
    for box in children(reader, 0, reader.size):
        if box.kind == b"meta":
            if box.end > reader.size or box.size > _LARGEST_META:
                raise HeaderError("the meta box is cut off or too large to be one")
            return box
    raise HeaderError("there is no meta box")


def _parse(body: bytes) -> HeifIndex:
    boxes = payloads(body, skip=4)
    properties, owned = _properties(boxes.get(b"iprp", b""))
    pitm = boxes.get(b"pitm", b"\0" * 6)
    return HeifIndex(
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


def _items(iinf: bytes) -> dict[int, HeifItem]:
    items: dict[int, HeifItem] = {}
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
        items[item] = HeifItem(kind4, texts[1] if kind4 == b"mime" and len(texts) > 1 else b"")
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
