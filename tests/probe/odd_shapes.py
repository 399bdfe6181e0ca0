"""Films and sounds of odd shapes, made of noise, so that they are longer than what a prober reads first."""

from __future__ import annotations

import array
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import av
from av.video.frame import VideoFrame

__all__ = ["HDR10", "SHAPES", "Shape", "make", "noise"]

_DRAW = random.Random(20_261_121)
_SAMPLES = array.array("f", [_DRAW.uniform(-0.3, 0.3) for _ in range(8_192)]).tobytes()
_BYTES = _DRAW.randbytes(1 << 16)


def _nothing(stream: Any) -> None:
    del stream


@attrs.frozen(kw_only=True)
class Shape:
    """How a file is made."""

    video: str | None = None
    audio: str | None = None
    form: str | None = None
    options: dict[str, str] = attrs.field(factory=dict)
    codec: dict[str, str] = attrs.field(factory=dict)
    seconds: float = 2.0
    size: tuple[int, int] = (160, 120)
    rate: int = 25
    pixels: str = "yuv420p"
    sound_rate: int = 48_000
    layout: str = "stereo"
    starts: tuple[float, float] = (0.0, 0.0)
    """Seconds at which picture and sound begin."""
    uneven: bool = False
    """Frames last one or three ticks."""
    sounds: int = 1
    tags: dict[str, str] = attrs.field(factory=dict)
    tune: Callable[[Any], None] = _nothing
    """Called with the video stream before it is opened."""


@cache
def _planes(size: tuple[int, int], pixels: str, number: int) -> list[bytes]:
    del number
    return [_DRAW.randbytes(plane.buffer_size) for plane in VideoFrame(*size, pixels).planes]


def noise(size: tuple[int, int], pixels: str, number: int) -> VideoFrame:
    """A frame of noise, one of three."""
    frame = VideoFrame(*size, pixels)
    for plane, data in zip(frame.planes, _planes(size, pixels, number % 3), strict=True):
        plane.update(data)
    return frame


def make(path: Path, shape: Shape) -> Path:
    """Write the file."""
    with av.open(str(path), "w", format=shape.form, options=shape.options) as container:
        container.metadata.update(shape.tags)
        picture: Any = None
        if shape.video is not None:
            picture = container.add_stream(shape.video, rate=shape.rate, options=shape.codec)
            picture.width, picture.height = shape.size
            picture.pix_fmt = shape.pixels
            shape.tune(picture)
        sounds: list[Any] = []
        for _ in range(shape.sounds if shape.audio is not None else 0):
            sounds.append(container.add_stream(shape.audio or "", rate=shape.sound_rate))
            sounds[-1].layout = shape.layout
        for stream in [*([picture] if picture is not None else []), *sounds]:
            if not stream.codec_context.is_open:
                stream.codec_context.open()
        frames = list(_frames(shape, picture)) if picture is not None else []
        for sound in sounds:
            frames.extend(_blocks(shape, sound))
        for _, stream, frame in sorted(frames, key=lambda each: each[0]):
            container.mux(stream.encode(frame))
        for stream in [*([picture] if picture is not None else []), *sounds]:
            container.mux(stream.encode())
    return path


def _frames(shape: Shape, stream: Any) -> Iterator[tuple[float, Any, Any]]:
    at = round(shape.starts[0] * shape.rate)
    for number in range(max(round(shape.seconds * shape.rate), 1)):
        frame = noise(shape.size, shape.pixels, number)
        frame.pts, frame.time_base = at, Fraction(1, shape.rate)
        yield at / shape.rate, stream, frame
        at += 3 if shape.uneven and number % 4 == 0 else 1


def _blocks(shape: Shape, stream: Any) -> Iterator[tuple[float, Any, Any]]:
    total, done = round(shape.seconds * shape.sound_rate), 0
    start = round(shape.starts[1] * shape.sound_rate)
    while done < total:
        amount = min(stream.codec_context.frame_size or 1024, total - done)
        block = av.AudioFrame(format=stream.format.name, layout=shape.layout, samples=amount)
        source = _SAMPLES if stream.format.name.startswith("flt") else _BYTES
        for plane in block.planes:
            plane.update((source * (plane.buffer_size // len(source) + 1))[: plane.buffer_size])
        block.sample_rate, block.pts, block.time_base = shape.sound_rate, start + done, Fraction(1, shape.sound_rate)
        yield float(block.pts / shape.sound_rate), stream, block
        done += amount


def _turned(degrees: int) -> Callable[[Any], None]:
    return lambda stream: stream.set_display_rotation(degrees)


def _stretched(aspect: str) -> Callable[[Any], None]:
    def tune(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)

    return tune


def _pq(stream: Any) -> None:
    context = stream.codec_context
    context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9


_QUICK = {"preset": "ultrafast", "g": "25", "threads": "1"}
_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"}
_MASTER = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
HDR10 = Shape(
    video="libx265",
    pixels="yuv420p10le",
    seconds=0.4,
    tune=_pq,
    codec={
        "preset": "ultrafast",
        "x265-params": "log-level=none:pools=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:"
        + _MASTER,
    },
)


def _h264(**more: Any) -> Shape:
    return Shape(**{"video": "libx264", "audio": "aac", "codec": _QUICK} | more)


def _mp4(flags: str, **more: Any) -> Shape:
    return _h264(options={"movflags": flags}, **more)


_INTERLACED = {**_QUICK, "x264-params": "interlaced=1:tff=1"}
_VP9 = {"deadline": "realtime", "cpu-used": "8"}
SHAPES: dict[str, Shape] = {
    "samples in the index, then fragments.mp4": _mp4("frag_keyframe"),
    "fragments without random access index.mp4": _mp4("frag_keyframe+empty_moov+skip_trailer"),
    "a fragment for each frame.mp4": _mp4("frag_every_frame+empty_moov"),
    "a segment index for each fragment.mp4": _mp4("dash+frag_keyframe"),
    "a segment index of all.mp4": _mp4("frag_keyframe+empty_moov+global_sidx"),
    "a segment index behind samples.mp4": _mp4("frag_keyframe+global_sidx"),
    "fragments for each track.mp4": _mp4("frag_keyframe+empty_moov+separate_moof"),
    "the index late.mp4": _mp4("frag_keyframe+delay_moov"),
    "fragments that became a plain film.mp4": _mp4("hybrid_fragmented"),
    "cmaf.mp4": _mp4("cmaf+frag_keyframe"),
    "negative offsets.mp4": _mp4("negative_cts_offsets", codec={"preset": "medium", "bf": "3", "threads": "1"}),
    "negative offsets in fragments.mp4": _mp4("negative_cts_offsets+frag_keyframe+empty_moov"),
    "the picture starts late.mp4": _h264(starts=(1.5, 0.0)),
    "the sound starts late.mp4": _h264(starts=(0.0, 1.5)),
    "both start late, no edit list.mp4": _h264(options={"use_editlist": "0"}, starts=(0.5, 0.5)),
    "uneven frames.mp4": _h264(uneven=True),
    "one frame.mp4": _h264(audio=None, seconds=0.04),
    "four sounds.mp4": _h264(sounds=4),
    "timecode.mov": Shape(video="prores_ks", pixels="yuv422p10le", audio="pcm_s24le", tags={"timecode": "01:02:03:04"}),
    "motion jpeg.mov": Shape(video="mjpeg", pixels="yuvj420p", audio="pcm_s16le"),
    "smooth streaming.ismv": _h264(form="ismv"),
    "turned.mp4": _h264(tune=_turned(90)),
    "turned.mkv": _h264(tune=_turned(-90)),
    "stretched.mp4": _h264(tune=_stretched("64/45")),
    "stretched.mkv": _h264(tune=_stretched("64/45")),
    "stretched.ts": _h264(tune=_stretched("64/45")),
    "interlaced.mp4": _h264(codec=_INTERLACED, size=(160, 128)),
    "interlaced.mkv": _h264(codec=_INTERLACED, size=(160, 128)),
    "interlaced.ts": _h264(codec=_INTERLACED, size=(160, 128)),
    "cues in front.mkv": _h264(options={"cues_to_front": "1"}),
    "live.mkv": _h264(options={"live": "1"}),
    "small clusters.mkv": _h264(options={"cluster_size_limit": "20000"}),
    "starts late.mkv": _h264(starts=(1.0, 1.0)),
    "uneven frames.mkv": _h264(uneven=True),
    "hevc.mkv": Shape(video="libx265", audio="eac3", codec=_HEVC),
    "vp9.webm": Shape(video="libvpx-vp9", audio="libopus", codec=_VP9),
    "motion jpeg.mkv": Shape(video="mjpeg", pixels="yuvj422p", audio="pcm_s16le"),
    "motion jpeg.avi": Shape(video="mjpeg", pixels="yuvj420p", audio="pcm_s16le"),
    "h264.avi": _h264(audio="ac3"),
    "packets of 192 bytes.m2ts": _h264(options={"mpegts_m2ts_mode": "1"}),
    "the clock turns over.ts": _h264(options={"mpegts_copyts": "1"}, starts=(95_442.0, 95_442.0), seconds=4),
    "latm.ts": Shape(audio="aac", options={"mpegts_flags": "latm"}, seconds=10),
    "a constant rate.ts": _h264(options={"muxrate": "4000000"}),
    "a dvd.vob": Shape(video="mpeg2video", audio="ac3", form="vob"),
    "no length in front.flv": _h264(options={"flvflags": "no_duration_filesize"}),
    "h264.asf": _h264(audio="libmp3lame"),
    "h264.mxf": _h264(audio="pcm_s24le"),
    "film.nut": _h264(),
    "sixty-four bits.wav": Shape(audio="pcm_s16le", options={"rf64": "always"}),
    "broadcast.wav": Shape(audio="pcm_s24le", options={"write_bext": "1"}, tags={"comment": "x" * 200}),
    "sixty-four bits.w64": Shape(audio="pcm_s16le"),
    "sound.aiff": Shape(audio="pcm_s16be"),
    "sound.caf": Shape(audio="alac"),
    "sound.au": Shape(audio="pcm_s16be"),
    "sound.flac": Shape(audio="flac"),
    "sound.tta": Shape(audio="tta"),
    "sound.wv": Shape(audio="wavpack"),
    "sound.opus": Shape(audio="libopus", seconds=10),
    "flac.oga": Shape(audio="flac"),
    "changing rate.mp3": Shape(audio="libmp3lame", codec={"q": "4", "flags": "+qscale"}, seconds=10),
    "no count of frames.mp3": Shape(audio="libmp3lame", options={"write_xing": "0"}, seconds=10),
    "frames.aac": Shape(audio="aac", seconds=10),
    "frames.ac3": Shape(audio="ac3", seconds=10),
}
