"""HDR metadata that stands in the frames alone: mastering display and HDR10+ in the first frame of a track.

Sources: ITU-T H.265, 7.3.5 and D.2 (supplemental enhancement information), AV1 bitstream specification, 5.8 (metadata
OBU), and SMPTE ST 2094-40 in ITU-T T.35 user data for HDR10+.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import attrs

from media_watch_tasks.probe.bits import without_emulation

__all__ = ["MOST_BYTES", "FrameHdr", "frame_hdr", "may_tell"]

MOST_BYTES = 16 * 1024
"""No more of a frame is looked at: metadata stands before the picture."""
_PREFIX_SEI, _FIRST_NON_PICTURE = 39, 32
_SEI_T35, _SEI_MASTERING = 4, 137
_OBU_METADATA, _OBU_PICTURE = 5, {3, 4, 6, 7}
_AV1_MASTERING, _AV1_T35 = 2, 4
_HDR10_PLUS = bytes.fromhex("b5003c000104")
"""Country (United States), provider (Samsung), its code for ST 2094-40, application 4."""
_MOST_UNITS = 64
_HVCC_ARRAYS = 22


@attrs.frozen
class FrameHdr:
    """What the metadata of a frame holds."""

    mastering: bool = False
    """SMPTE ST 2086 mastering display: HDR10."""
    dynamic: bool = False
    """SMPTE ST 2094-40: HDR10+."""

    def __or__(self, other: FrameHdr) -> FrameHdr:
        """What either holds."""
        return FrameHdr(self.mastering or other.mastering, self.dynamic or other.dynamic)


def may_tell(codec: str | None, transfer: str | None) -> bool:
    """True if a look at the first frame may tell more: PQ in H.265 or AV1."""
    return transfer == "smpte2084" and codec in {"hevc", "av1"}


def frame_hdr(codec: str | None, config: bytes, frame: bytes) -> FrameHdr:
    """The HDR metadata of a track.

    Args:
        codec: `hevc` or `av1`.
        config: what FFmpeg hands to a decoder: the contents of hvcC or av1C, or units with start codes.
        frame: the start of the first frame.
    """
    if codec == "av1":
        return _av1(config[4:] if config[:1] == b"\x81" else b"") | _av1(frame)
    if config[:1] != b"\1" or len(config) <= _HVCC_ARRAYS:
        return _hevc(chain(_annex_b(config), _annex_b(frame)))
    return _hevc(chain(_hvcc_units(config), _with_lengths(frame, (config[_HVCC_ARRAYS - 1] & 3) + 1)))


def _hevc(units: Iterable[bytes]) -> FrameHdr:
    mastering = dynamic = False
    for unit in islice(units, _MOST_UNITS):
        kind = unit[0] >> 1 & 0x3F if unit else 0
        if kind < _FIRST_NON_PICTURE:
            break
        if kind == _PREFIX_SEI:
            for message, body in _messages(without_emulation(unit[2:])):
                mastering = mastering or message == _SEI_MASTERING
                dynamic = dynamic or (message == _SEI_T35 and body.startswith(_HDR10_PLUS))
    return FrameHdr(mastering, dynamic)


def _av1(data: bytes) -> FrameHdr:
    """Of the units of a temporal unit, each of which names its size."""
    mastering = dynamic = False
    at = 0
    for _ in range(_MOST_UNITS):
        if at >= len(data) or not data[at] & 2:
            break
        kind, header = data[at] >> 3 & 15, 2 if data[at] & 4 else 1
        size, body = _leb128(data, at + header)
        if kind in _OBU_PICTURE:
            break
        if kind == _OBU_METADATA:
            message, start = _leb128(data, body)
            mastering = mastering or message == _AV1_MASTERING
            dynamic = dynamic or (message == _AV1_T35 and data[start : body + size].startswith(_HDR10_PLUS))
        at = body + size
    return FrameHdr(mastering, dynamic)


def _hvcc_units(config: bytes) -> Iterator[bytes]:
    """The units of an hvcC box (ISO/IEC 14496-15, 8.3.2.1.2)."""
    at = _HVCC_ARRAYS + 1
    for _ in range(config[_HVCC_ARRAYS]):
        count = int.from_bytes(config[at + 1 : at + 3], "big")
        at += 3
        for _ in range(min(count, _MOST_UNITS)):
            length = int.from_bytes(config[at : at + 2], "big")
            if length:
                yield config[at + 2 : at + 2 + length]
            at += 2 + length


def _annex_b(data: bytes) -> Iterator[bytes]:
    yield from (unit for unit in data.split(b"\0\0\1")[1:] if unit)


def _with_lengths(data: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at + length_size < len(data):
        length = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        yield data[at : at + length]
        at += max(length, 1)


def _messages(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, contents) of the messages of an SEI unit; both numbers are sums of bytes up to one below 255."""
    at = 0
    while at + 2 < len(payload):
        numbers = []
        for _ in range(2):
            value = 0
            while at < len(payload) and payload[at] == 0xFF:  # noqa: PLR2004 - it goes on
                value, at = value + 0xFF, at + 1
            numbers.append(value + (payload[at] if at < len(payload) else 0))
            at += 1
        yield numbers[0], payload[at : at + numbers[1]]
        at += numbers[1]


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends)."""
    value = 0
    for shift in range(0, 56, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            break
    return value, at
