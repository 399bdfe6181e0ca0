"""Directories of TIFF 6.0 and BigTIFF, the form of Exif data and of most raw files too."""

from __future__ import annotations

import struct
from typing import Any

import attrs

from media_watch_tasks.probe.stills.picture import HeaderError, ReadAt

__all__ = ["Directory", "TiffReader"]

_FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d",
            13: "I", 16: "Q", 17: "q", 18: "Q"}  # fmt: skip
_MAGIC, _BIG_MAGIC = 42, 43
_OTHER_MAGICS = {0x55, 0x4F52, 0x5352}
"""Panasonic RW2, Olympus ORF."""
_MOST_ENTRIES, _MOST_VALUES = 1_000, 4_096
_ASCII, _UNDEFINED = 2, 7
_RATIONALS = {5, 10}


@attrs.frozen
class Directory:
    """One image file directory: tag -> values, and where the next one stands (0: nowhere)."""

    values: dict[int, tuple[Any, ...] | bytes]
    following: int

    def number(self, tag: int, default: int = 0) -> int:
        """The first whole number of a tag."""
        value = self.values.get(tag)
        first = value[0] if value else default
        return int(first) if isinstance(first, int) else default

    def numbers(self, tag: int) -> tuple[Any, ...]:
        """All numbers of a tag."""
        value = self.values.get(tag, ())
        return tuple(value)

    def text(self, tag: int) -> str | None:
        """The text of a tag, without what stands behind its first NUL."""
        value = self.values.get(tag)
        if not isinstance(value, bytes):
            return None
        text = value.split(b"\0")[0].decode("utf-8", "replace").strip()
        return text or None


class TiffReader:
    """Reads directories at their offsets.

    Raises (at construction):
        HeaderError: it is no TIFF.
    """

    def __init__(self, read: ReadAt) -> None:
        self._read = read
        head = read(0, 16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:  # noqa: PLR2004 - the header of classic TIFF
            raise HeaderError("no TIFF header")
        self._order = order
        self.magic: int = struct.unpack_from(order + "H", head, 2)[0]
        self._big = self.magic == _BIG_MAGIC
        if self.magic not in {_MAGIC, _BIG_MAGIC} | _OTHER_MAGICS:
            raise HeaderError("no TIFF header")
        if self._big and len(head) < 16:  # noqa: PLR2004 - the header of BigTIFF
            raise HeaderError("a BigTIFF header that is cut off")
        self.first: int = struct.unpack_from(order + ("Q" if self._big else "I"), head, 8 if self._big else 4)[0]

    def directory(self, offset: int) -> Directory:
        """The directory at an offset. Values that cannot be read are left out.

        Raises:
            HeaderError: no directory can stand there.
        """
        count_format, entry_size, count_size = ("Q", 20, 8) if self._big else ("H", 12, 2)
        head = self._read(offset, count_size)
        if offset < 8 or len(head) < count_size:  # noqa: PLR2004 - the header stands there
            raise HeaderError(f"there is no directory at {offset}")
        count: int = struct.unpack(self._order + count_format, head)[0]
        if not 0 < count <= _MOST_ENTRIES:
            raise HeaderError(f"a directory of {count} entries")
        link_size = 8 if self._big else 4
        body = self._read(offset + count_size, count * entry_size + link_size)
        values: dict[int, tuple[Any, ...] | bytes] = {}
        for at in range(0, min(count * entry_size, len(body) - entry_size + 1), entry_size):
            tag, kind = struct.unpack_from(self._order + "HH", body, at)
            value = self._value(body, at, kind)
            if value is not None:
                values[tag] = value
        link = body[count * entry_size :]
        following = struct.unpack(self._order + ("Q" if self._big else "I"), link)[0] if len(link) == link_size else 0
        return Directory(values, following)

    def _value(self, body: bytes, at: int, kind: int) -> tuple[Any, ...] | bytes | None:
        code = _FORMATS.get(kind)
        if code is None:
            return None
        count: int = struct.unpack_from(self._order + ("Q" if self._big else "I"), body, at + 4)[0]
        inline, place = (8, at + 12) if self._big else (4, at + 8)
        length = count * struct.calcsize("=" + code)
        if count > _MOST_VALUES:
            return None
        if length <= inline:
            data = body[place : place + length]
        else:
            data = self._read(struct.unpack_from(self._order + ("Q" if self._big else "I"), body, place)[0], length)
        if len(data) < length:
            return None
        if kind in {_ASCII, _UNDEFINED}:
            return data
        numbers = struct.unpack(self._order + code * count, data)
        if kind in _RATIONALS:
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            return tuple(top / bottom if bottom else 0.0 for top, bottom in pairs)
        return numbers
