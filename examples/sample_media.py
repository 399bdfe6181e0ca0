"""Makes small real media files, so that the examples need none of yours."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import av
import av.video.frame


def make_clip(path: Path, *, frames: int = 25, shade: int = 128) -> Path:
    """Write an MP4 of 160 x 120 pixels at 25 frames a second; another shade makes another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(frames):
            frame = av.video.frame.VideoFrame(160, 120, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([(shade + number) % 256]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def record_slowly(path: Path, *, seconds: float = 3.0) -> None:
    """Write a clip as a camera does: bit by bit."""
    unfinished = make_clip(path.with_name("." + path.name), frames=200)
    whole = unfinished.read_bytes()
    unfinished.unlink()
    with path.open("wb") as file:
        for start in range(0, len(whole), len(whole) // 4 + 1):
            file.write(whole[start : start + len(whole) // 4 + 1])
            file.flush()
            time.sleep(seconds / 4)


def arrive(source: Path) -> None:
    """New files in a watched folder: a new one, a duplicate of it, a changed old one, and one that still grows."""
    make_clip(source / "2026" / "holiday.mp4", shade=60)
    shutil.copy(source / "2026" / "holiday.mp4", source / "copy of holiday.mp4")
    make_clip(source / "old.mp4", frames=50, shade=90)
    record_slowly(source / "camera.mp4")
