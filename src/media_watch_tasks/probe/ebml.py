"""Elements of EBML (RFC 8794), the form of Matroska and WebM files."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["Element", "ElementError", "elements", "read_element"]

_LONGEST_HEADER = 12
_MOST_ELEMENTS = 1_000


class ElementError(ValueError):
    """No element stands there, or its header is cut off."""


@attrs.frozen
class Element:
    """Where an element lies in the file; offsets in bytes."""

    number: int
    """Its id, with the length marker."""
    start: int
    body: int
    end: int | None
    """None where its length was not known when it was written."""


def read_element(reader: RangeReader, offset: int) -> Element:
    """The element at an offset. Nothing but its header is read.

    Raises:
        ElementError: there is none.
    """
    header = reader.at(offset, _LONGEST_HEADER)
    width = _width(header, 0, most=4)
    number = int.from_bytes(header[:width], "big")
    size_width = _width(header, width, most=8)
    value = int.from_bytes(header[width : width + size_width], "big")
    unknown = (1 << 7 * size_width) - 1
    length = value & unknown
    body = offset + width + size_width
    return Element(number, offset, body, None if length == unknown else body + length)


def elements(reader: RangeReader, start: int, end: int) -> Iterator[Element]:
    """The elements from `start` to `end`, in order; one of unknown length is the last.

    Raises:
        ElementError: something else stands among them.
    """
    for _ in range(_MOST_ELEMENTS):
        if start >= end:
            return
        element = read_element(reader, start)
        yield element
        if element.end is None:
            return
        start = element.end


def _width(header: bytes, at: int, *, most: int) -> int:
    """The bytes of a variable-length number: the first set bit tells."""
    width = 9 - header[at].bit_length() if at < len(header) else most + 1
    if width > most or at + width > len(header):
        raise ElementError("no element stands there")
    return width
