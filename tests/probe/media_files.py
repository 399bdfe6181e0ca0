"""Makes media files for tests and benchmarks: with PyAV, and by moving the boxes of files that exist."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import VideoFrame

__all__ = ["encode", "encode_silence", "inflate", "long_recording", "top_level"]


def encode(
    path: Path,
    *,
    seconds: float = 2.0,
    size: tuple[int, int] = (64, 48),
    video: str | None = "mpeg4",
    audio: str | None = "aac",
    rate: int = 25,
    options: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> Path:
    """A short film with a black picture and silence."""
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(tags or {})
        if video is not None:
            picture: Any = container.add_stream(video, rate=rate)
            picture.width, picture.height = size
            picture.pix_fmt = pixel_format
        if audio is not None:
            sound: Any = container.add_stream(audio, rate=48_000)
            sound.layout = "stereo"
        if video is not None:
            for number in range(round(seconds * rate)):
                frame = VideoFrame(*size, format=pixel_format)
                for plane in frame.planes:
                    plane.update(bytes([number % 255]) * plane.buffer_size)
                frame.pts = number
                frame.time_base = Fraction(1, rate)
                container.mux(picture.encode(frame))
            container.mux(picture.encode())
        if audio is not None:
            encode_silence(container, sound, seconds=seconds)
    return path


def encode_silence(container: Any, sound: Any, *, seconds: float) -> None:
    """Silence on an audio stream of an output container."""
    if not sound.codec_context.is_open:
        sound.codec_context.open()
    total, done = round(seconds * sound.rate), 0
    while done < total:
        amount = min(sound.codec_context.frame_size or 1024, total - done)
        block = av.AudioFrame(format=sound.format.name, layout=sound.layout.name, samples=amount)
        for plane in block.planes:
            plane.update(bytes(plane.buffer_size))
        block.sample_rate, block.pts, block.time_base = sound.rate, done, Fraction(1, sound.rate)
        container.mux(sound.encode(block))
        done += amount
    container.mux(sound.encode())


def long_recording(path: Path, *, hours: float, template: Path, options: dict[str, str] | None = None) -> Path:
    """A recording of many hours whose packets are those of a short film, over and over: an index of real length."""
    with av.open(str(template)) as source:
        streams: list[Any] = [stream for stream in source.streams if stream.type in {"video", "audio"}]
        packets: dict[int, list[tuple[bytes, bool]]] = {stream.index: [] for stream in streams}
        for packet in source.demux(streams):
            if packet.size and packet.pts is not None:
                packets[packet.stream.index].append((bytes(packet), packet.is_keyframe))
        with av.open(str(path), "w", options=options or {}) as target:
            tracks: list[tuple[Any, list[tuple[bytes, bool]], Fraction]] = []
            for stream in streams:
                step = 1 / Fraction(stream.average_rate) if stream.type == "video" else Fraction(1024, stream.rate)
                tracks.append((target.add_stream_from_template(stream), packets[stream.index], step))
            _mux_all(target, tracks, seconds=Fraction(hours) * 3600)
    return path


def _mux_all(
    target: Any,
    tracks: list[tuple[Any, list[tuple[bytes, bool]], Fraction]],
    *,
    seconds: Fraction,
) -> None:
    for second in range(int(seconds)):
        for stream, samples, step in tracks:
            base = Fraction(1, 90_000) if stream.type == "video" else Fraction(1, stream.rate)
            first, last = -int(-Fraction(second) // step), -int(-Fraction(second + 1) // step)
            for number in range(first, last):
                data, key = samples[number % len(samples)]
                packet = av.Packet(data)
                packet.stream = stream
                packet.time_base = base
                packet.pts = packet.dts = int(number * step / base)
                packet.duration = int(step / base)
                packet.is_keyframe = key
                target.mux(packet)


def top_level(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the boxes of a file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, kind = struct.unpack_from(">I4s", head)
            if length == 1:
                length = struct.unpack_from(">Q", head, 8)[0]
            length = length or size - at
            if length < 8 or at + length > size:
                return
            yield kind, at, at + length
            at += length


def inflate(source: Path, target: Path, *, size: int, index_last: bool) -> bool:
    """Make an mp4 or mov file large by a sparse `free` box; False where the file does not lend itself to that.

    The media data keeps its place, so that every offset in the index stays right. An index that stands in front stays
    there unless it shall come last; one behind the media data always comes last, behind the free box.
    """
    boxes = list(top_level(source))
    kinds = [kind for kind, _, _ in boxes]
    if kinds.count(b"moov") != 1 or b"mdat" not in kinds or b"moof" in kinds or boxes[-1][2] != source.stat().st_size:
        return False
    data = source.read_bytes()
    start, end = next((start, end) for kind, start, end in boxes if kind == b"moov")
    if end - start < 8:
        return False
    moov = data[start:end]
    if index_last or kinds.index(b"moov") > kinds.index(b"mdat"):
        body = data[:start] + struct.pack(">I4s", end - start, b"free") + bytes(end - start - 8) + data[end:]
        behind = moov
    else:
        body, behind = data, b""
    free = max(size - len(body) - len(behind), 16)
    with target.open("wb") as file:
        file.write(body)
        file.write(struct.pack(">I4sQ", 1, b"free", free))
        file.seek(len(body) + free)
        file.write(behind)
        file.truncate(len(body) + free + len(behind))
    os.utime(target, (1_700_000_000, 1_700_000_000))
    return True
