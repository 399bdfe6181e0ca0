"""VideoConfig: what the codec configuration of a video track says."""

from __future__ import annotations

from typing import Any

import attrs

from media_watch_tasks.model.metadata import VideoTrack

__all__ = ["VideoConfig", "pixel_format"]

_CHROMA = {0: "gray", 1: "yuv420p", 2: "yuv422p", 3: "yuv444p"}
_FULL_RANGE = {"yuv420p": "yuvj420p", "yuv422p": "yuvj422p", "yuv444p": "yuvj444p"}
"""FFmpeg's own names of full-range YUV of eight bits."""
_EIGHT = 8


@attrs.frozen(kw_only=True)
class VideoConfig:
    """What is known; None what is not."""

    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    bit_depth: int | None = None
    profile: str | None = None
    level: str | None = None
    aspect: tuple[int, int] | None = None
    colour: dict[str, str | None] = attrs.field(factory=dict)
    progressive: bool = False
    """Whether every frame is coded as a whole; only H.264 says so here."""

    def complete(self, track: VideoTrack) -> VideoTrack:
        """The track with everything that it leaves open and this knows; the picture size is not touched."""
        names = ("pixel_format", "bit_depth", "profile", "level")
        known: dict[str, Any] = {name: getattr(self, name) for name in names} | self.colour
        if self.pixel_format in _FULL_RANGE and known.get("color_range") == "pc":
            known["pixel_format"] = _FULL_RANGE[self.pixel_format]
        missing = {name: value for name, value in known.items() if getattr(track, name) is None}
        return attrs.evolve(track, **missing)


def pixel_format(chroma: int, depth: int) -> str | None:
    """FFmpeg's name of planar YUV with `chroma_format_idc` (H.264, 6.2) and a number of bits."""
    base = _CHROMA.get(chroma)
    if base is None or depth == _EIGHT:
        return base
    return f"{base}{depth}le"
