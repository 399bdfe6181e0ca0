"""Opens a file with PyAV: only allowed formats, no protocol, no second file."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NoReturn

import attrs

from media_watch_tasks.model.metadata import MediaMetadata, VideoTrack
from media_watch_tasks.probe.colour import hdr_name
from media_watch_tasks.probe.extraction import describe
from media_watch_tasks.probe.formats import open_options, safe_name
from media_watch_tasks.probe.frame_hdr import MOST_BYTES, FrameHdr, frame_hdr, may_tell
from media_watch_tasks.probe.undecoded import UndecidedError

__all__ = ["ReadableFile", "UnreadableError", "describe_file", "last_timestamps", "pyav"]

_ATTACHED = 1 << 10
_BUFFER = 32 * 1024
_OPTIONS = open_options()
_NO_DECODERS = {**_OPTIONS, "codec_whitelist": "none"}
_COSTLY = {"h264", "hevc"}
"""Decoders that FFmpeg runs for tens of milliseconds to learn what the parameter sets say."""
_REASONS = {
    errno.EINVAL: "it is no media format that a probe opens",  # what FFmpeg answers to a format that is not allowed
    errno.ENOMEM: "it asks for more memory than a probe may use",
    0x41444E49: "it is damaged, or no media file",  # AVERROR_INVALIDDATA, "INDA"
    0x20464F45: "it holds no track that can be described",  # AVERROR_EOF, "EOF "
}


class UnreadableError(Exception):
    """FFmpeg cannot make sense of the file; the text says why."""


@cache
def pyav() -> Any:  # noqa: ANN401 - the module, whose name no public module may say
    """PyAV, loaded when it is first needed.

    Raises:
        MissingDependencyError: it is not installed.
    """
    from media_watch_tasks.probe._av import av  # noqa: PLC0415 - it is an extra

    return av


class ReadableFile:
    """What PyAV needs of a file: read, seek, tell, and a name that carries the extension alone."""

    def __init__(self, file: object, name: str) -> None:
        self.name = safe_name(name)
        self.read = file.read  # type: ignore[attr-defined] # any binary file, PyAV asks for no more
        self.seek = file.seek  # type: ignore[attr-defined] # as above
        self.tell = file.tell  # type: ignore[attr-defined] # as above


def describe_file(
    file: ReadableFile,
    *,
    format_name: str | None = None,
    decode: bool = True,
    limits: Mapping[str, str] = MappingProxyType({}),
) -> MediaMetadata:
    """What FFmpeg says of the file. Without `decode` no decoder is opened: only what the container says is found.

    With it, H.264 and H.265 are described by their parameter sets; their decoders run only where those do not say all.
    `limits` are options that end FFmpeg's analysis early.

    Raises:
        UnreadableError: it is no format that is allowed, or it is damaged.
    """
    if not decode:
        return _describe(file, _NO_DECODERS, format_name=format_name)
    try:
        return _describe(file, {**_light_options(), **limits}, format_name=format_name)
    except UndecidedError:
        file.seek(0)
        return _describe(file, {**_OPTIONS, **limits}, format_name=format_name, decoded=True)


def _describe(
    file: ReadableFile, options: dict[str, str], *, format_name: str | None, decoded: bool = False
) -> MediaMetadata:
    av = pyav()
    try:
        with av.open(
            file,
            mode="r",
            format=format_name,
            options=options,
            metadata_errors="replace",
            buffer_size=_BUFFER,
            io_open=_refuse,
        ) as container:
            found = describe(container, decoded=decoded or options is _NO_DECODERS)
            return found if options is _NO_DECODERS else _with_frame_hdr(container, found)
    except (av.error.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise UnreadableError(_reason(error)) from error


def _with_frame_hdr(container: Any, found: MediaMetadata) -> MediaMetadata:  # noqa: ANN401 - av.InputContainer
    """Tracks of PQ get what the first frame says, which FFmpeg has read already."""
    if not any(may_tell(track.codec, track.color_transfer) for track in found.video):
        return found
    streams = [stream for stream in container.streams.video if not int(stream.disposition) & _ATTACHED]
    video: list[VideoTrack] = []
    for track, stream in zip(found.video, streams, strict=False):
        seen = _first_frame(container, stream, track) if may_tell(track.codec, track.color_transfer) else FrameHdr()
        hdr = hdr_name(track.color_transfer, mastering=seen.mastering, dynamic=seen.dynamic)
        video.append(attrs.evolve(track, hdr=hdr))
    return attrs.evolve(found, video=tuple(video))


def _first_frame(container: Any, stream: Any, track: VideoTrack) -> FrameHdr:  # noqa: ANN401 - as above
    config = stream.codec_context.extradata or b""
    try:
        packet = next(each for each in container.demux(stream) if each.size)
    except (StopIteration, pyav().error.FFmpegError):
        return frame_hdr(track.codec, config, b"")
    return frame_hdr(track.codec, config, bytes(packet)[:MOST_BYTES])


@cache
def _light_options() -> dict[str, str]:
    cheap = sorted(name for name in pyav().codecs_available if name not in _COSTLY)
    return {**_OPTIONS, "codec_whitelist": ",".join(cheap)}


def last_timestamps(file: ReadableFile) -> float | None:
    """Seconds from the first to the end of the last packet, by reading every packet of the file.

    Raises:
        UnreadableError: as `describe_file`.
    """
    first: float | None = None
    last = 0.0
    av = pyav()
    try:
        with av.open(file, mode="r", options=_OPTIONS, metadata_errors="replace", io_open=_refuse) as container:
            for packet in container.demux():
                if packet.pts is None or packet.time_base is None or packet.stream.type not in {"video", "audio"}:
                    continue
                start = float(packet.pts * packet.time_base)
                first = start if first is None else min(first, start)
                last = max(last, start + float((packet.duration or 0) * packet.time_base))
    except (av.error.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise UnreadableError(_reason(error)) from error
    return last - first if first is not None and last > first else None


def _refuse(url: str, flags: int, options: object) -> NoReturn:
    del url, flags, options
    raise PermissionError("a probe opens no second file")


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it asks for more memory than a probe may use"
    number: int = getattr(error, "errno", None) or 0
    return _REASONS.get(number) or str(getattr(error, "strerror", None) or error or type(error).__name__)
