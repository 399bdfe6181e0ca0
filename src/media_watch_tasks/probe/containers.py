"""Opens a file with PyAV: only allowed formats, no protocol, no second file."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NoReturn

from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe.extraction import describe
from media_watch_tasks.probe.formats import open_options, safe_name
from media_watch_tasks.probe.undecoded import UndecidedError

__all__ = ["ReadableFile", "UnreadableError", "describe_file", "last_timestamps", "pyav"]

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
            return describe(container, decoded=decoded or options is _NO_DECODERS)
    except (av.error.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise UnreadableError(_reason(error)) from error


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
