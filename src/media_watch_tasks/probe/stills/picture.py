"""What a header reader hands back, and how it becomes a `MediaMetadata`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from media_watch_tasks.model.metadata import GeoPoint, MediaMetadata, VideoTrack

__all__ = ["CameraData", "HeaderError", "Picture", "ReadAt", "to_metadata"]

ReadAt = Callable[[int, int], bytes]
"""`read(offset, length)`: the bytes there, fewer at the end."""

_TURNS = {1: 0, 2: 0, 3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
_SIDEWAYS = {5, 6, 7, 8}


class HeaderError(Exception):
    """The header is damaged, cut off, or of a kind that is not known; the text says what."""


@attrs.frozen(kw_only=True)
class CameraData:
    """What Exif and XMP say."""

    orientation: int | None = None
    """1 to 8, TIFF tag 274."""
    created: str | None = None
    make: str | None = None
    model: str | None = None
    lens: str | None = None
    title: str | None = None
    comment: str | None = None
    rating: float | None = None
    gps: GeoPoint | None = None
    width: int | None = None
    height: int | None = None
    """The size that Exif names (tags 40962 and 40963); the header of the picture knows better."""


@attrs.frozen(kw_only=True)
class Picture:
    """The picture of a still, or the canvas of an animation."""

    container: str
    codec: str | None
    width: int
    height: int
    """Pixels as they are stored, before cropping and rotation."""
    shown: tuple[int, int] | None = None
    """Width and height as they are shown, where more than the rotation makes the difference."""
    bit_depth: int | None = None
    profile: str | None = None
    pixel_format: str | None = None
    rotation: int | None = None
    """Degrees clockwise, where the container itself turns the picture; otherwise Exif decides."""
    frames: int | None = None
    duration: float | None = None
    """Seconds, of an animation."""
    brands: tuple[str, ...] = ()
    colour: dict[str, Any] = attrs.field(factory=dict)
    """The four colour fields of `VideoTrack`."""
    hdr: str | None = None
    camera: CameraData = attrs.field(factory=CameraData)
    warnings: tuple[str, ...] = ()


def to_metadata(picture: Picture, *, method: str) -> MediaMetadata:
    """The description of the file."""
    camera = picture.camera
    rotation, sideways = picture.rotation, picture.rotation in {90, 270}
    if rotation is None and camera.orientation in _TURNS:
        rotation, sideways = _TURNS[camera.orientation], camera.orientation in _SIDEWAYS
    turned = (picture.height, picture.width) if sideways else (picture.width, picture.height)
    shown = picture.shown or turned
    frame_rate = picture.frames / picture.duration if picture.frames and picture.duration else None
    track: dict[str, Any] = {
        "codec": picture.codec,
        "profile": picture.profile,
        "width": picture.width,
        "height": picture.height,
        "display_width": shown[0],
        "display_height": shown[1],
        "rotation": rotation,
        "bit_depth": picture.bit_depth,
        "pixel_format": picture.pixel_format,
        "frames": picture.frames,
        "duration": picture.duration,
        "average_frame_rate": round(frame_rate, 6) if frame_rate else None,
        "hdr": picture.hdr,
    }
    return MediaMetadata(
        container=picture.container,
        brands=picture.brands,
        duration=picture.duration,
        created=camera.created,
        title=camera.title,
        comment=camera.comment,
        make=camera.make,
        model=camera.model,
        lens=camera.lens,
        gps=camera.gps,
        rating=camera.rating,
        video=(VideoTrack(**track, **picture.colour),),
        method=method,
        warnings=picture.warnings,
    )
