"""Describes H.264 and H.265 tracks by their parameter sets, so that no frame of them has to be decoded."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs

from media_watch_tasks.model.metadata import VideoTrack
from media_watch_tasks.probe.parameter_sets import read_extradata
from media_watch_tasks.probe.picture_size import display_size, ratio_text

__all__ = ["UndecidedError", "from_parameter_sets"]


class UndecidedError(Exception):
    """Headers do not say everything of a video track: its decoder has to be asked."""


def from_parameter_sets(track: VideoTrack, extradata: bytes) -> VideoTrack:
    """The track as its decoder would describe it, had it run.

    Raises:
        UndecidedError: the parameter sets are missing, contradict the container, or leave something open.
    """
    if track.codec not in {"h264", "hevc"} or track.pixel_format is not None:
        return track
    config = read_extradata(track.codec, extradata)
    if config is None or (config.width, config.height) != (track.width, track.height) or config.pixel_format is None:
        raise UndecidedError
    if config.pixel_format.startswith("gray"):
        raise UndecidedError  # decoders hand out colour all the same
    changes: dict[str, Any] = {}
    if track.codec == "h264":
        if not config.progressive:
            raise UndecidedError  # the order of the fields shows in the frames
        changes["field_order"] = track.field_order or "progressive"
    if track.sample_aspect_ratio is None and config.aspect is not None:
        aspect = Fraction(*config.aspect)
        shown = display_size(track.width, track.height, aspect=aspect, rotation=None)
        changes |= {"sample_aspect_ratio": ratio_text(aspect), "display_width": shown[0], "display_height": shown[1]}
        changes["display_aspect_ratio"] = ratio_text(Fraction(shown[0], shown[1])) if shown[0] and shown[1] else None
    return config.complete(attrs.evolve(track, **changes))
