"""GIF 89a: the canvas, and by walking the blocks the frames of an animation."""

from __future__ import annotations

import struct

from media_watch_tasks.probe.stills.picture import HeaderError, Picture, ReadAt

__all__ = ["read_gif"]

_LARGEST = 16 * 1024 * 1024
_EXTENSION, _IMAGE, _TRAILER, _CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_LEAST_DELAY, _USUAL_DELAY = 2, 10
_AHEAD = 64 * 1024


def read_gif(read: ReadAt, size: int) -> Picture:
    """Read the canvas; the frames are counted in files of up to 16 MiB, because nothing but a walk finds them.

    Raises:
        HeaderError: the header is cut off.
    """
    head = read(0, 13)
    if len(head) < 13:  # noqa: PLR2004 - signature and logical screen descriptor
        raise HeaderError("a GIF header that is cut off")
    width, height, flags = struct.unpack_from("<HHB", head, 6)
    frames, ticks, whole = _walk(read, 13 + _table(flags), size) if size <= _LARGEST else (0, 0, False)
    warnings = () if whole else ("the frames were not counted to the end",)
    moves = whole and frames > 1
    return Picture(
        container="gif",
        codec="gif",
        width=width,
        height=height,
        bit_depth=8,
        frames=frames if whole else None,
        duration=ticks / 100 if moves else None,
        warnings=warnings,
    )


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _walk(read: ReadAt, start: int, size: int) -> tuple[int, int, bool]:
    """(frames, hundredths of a second, whether the end was reached)."""
    at, frames, ticks, delay = start, 0, 0, _USUAL_DELAY
    while at < size:
        block = read(at, 10)
        if not block or block[0] == _TRAILER:
            return frames, ticks, bool(block)
        if block[0] == _EXTENSION and len(block) > 6:  # noqa: PLR2004 - up to the delay of a control block
            if block[1] == _CONTROL:
                delay = int.from_bytes(block[4:6], "little")
                delay = delay if delay >= _LEAST_DELAY else _USUAL_DELAY
            at = _after_blocks(read, at + 2)
        elif block[0] == _IMAGE and len(block) == 10:  # noqa: PLR2004 - an image descriptor
            frames += 1
            ticks += delay
            delay = _USUAL_DELAY
            at = _after_blocks(read, at + 11 + _table(block[9]))
        else:
            return frames, ticks, False
    # Many encoders forget the trailer: players show all frames all the same.
    return frames, ticks, at == size


def _after_blocks(read: ReadAt, at: int) -> int:
    """The place behind a chain of sub-blocks."""
    data, start = read(at, _AHEAD), at
    while True:
        if at - start >= len(data):
            data, start = read(at, _AHEAD), at
            if not data:
                return at
        length = data[at - start]
        at += 1 + length
        if length == 0:
            return at
