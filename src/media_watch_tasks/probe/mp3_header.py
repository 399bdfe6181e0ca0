"""What the first frame of an MP3 file says of the whole: the number of its frames and bytes (Xing, Info and VBRI)."""

from __future__ import annotations

import attrs

from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["Mp3Header", "mp3_header"]

_SEARCHED = 2_048
_FIRST_FRAME = 4_096
_FRAMES, _BYTES = 1, 2
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""MPEG version bits -> rates; 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5."""
_LAYER_3 = 1
_SAMPLES = {3: 1_152, 2: 576, 0: 576}


@attrs.frozen
class Mp3Header:
    """The counts of an information frame; 0 where it does not say."""

    seconds: float
    length: int
    """Bytes of all frames."""
    start: int
    """Where the first frame stands."""


def mp3_header(reader: RangeReader) -> Mp3Header | None:
    """The information frame, None where there is none."""
    head = reader.at(0, 10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:  # noqa: PLR2004 - the header of an ID3v2 tag
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    data = reader.at(start, _FIRST_FRAME)
    at = next((at for at in range(min(len(data), _SEARCHED) - 4) if _rate(data[at : at + 4])), None)
    if at is None:
        return None
    frame, version = data[at:], data[at + 1] >> 3 & 3
    frames, length = _counts(frame)
    if not frames and not length:
        return None
    return Mp3Header(frames * _SAMPLES[version] / _rate(frame), length, start + at)


def _rate(header: bytes) -> int:
    """The sampling rate in a frame header of layer III, 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0 or header[1] >> 1 & 3 != _LAYER_3:  # noqa: PLR2004 - 11 set bits
        return 0
    rates, index = _RATES.get(header[1] >> 3 & 3, ()), header[2] >> 2 & 3
    return rates[index] if index < len(rates) and header[2] >> 4 not in {0, 15} else 0


def _counts(frame: bytes) -> tuple[int, int]:
    """Of all frames: their number, and their length in bytes."""
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark, 0, 200)
        if at >= 0:
            flags, at = int.from_bytes(frame[at + 4 : at + 8], "big"), at + 8
            frames = int.from_bytes(frame[at : at + 4], "big") if flags & _FRAMES else 0
            at += 4 if flags & _FRAMES else 0
            return frames, int.from_bytes(frame[at : at + 4], "big") if flags & _BYTES else 0
    at = 36
    if frame[at : at + 4] == b"VBRI":
        return int.from_bytes(frame[at + 14 : at + 18], "big"), int.from_bytes(frame[at + 10 : at + 14], "big")
    return 0, 0
