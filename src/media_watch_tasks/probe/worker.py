"""The worker process: `python -m media_watch_tasks.probe.worker`, its standard input a socket to the prober.

It describes one file at a time. A file comes as an open descriptor, which it reads itself, or as ranges, which it asks
the prober for; it opens nothing on its own (see `sandbox`).
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.errors import TransientError
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe.analysis import analyse
from media_watch_tasks.probe.containers import pyav
from media_watch_tasks.probe.sandbox import lock_down
from media_watch_tasks.probe.settings import AnalysisSettings, settings_from
from media_watch_tasks.probe.sources import BytesSource, read_descriptor
from media_watch_tasks.probe.wire import Channel, Frame, WireError, dump, parse, unpack_pieces

__all__ = ["main"]

_GRACE = 5


class _RemoteSource(ByteSource):
    """Asks the prober for every range, several at once in one frame."""

    def __init__(self, channel: Channel, size: int) -> None:
        self._channel = channel
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        self._channel.send(Frame.READ, dump(list(ranges)))
        kind, payload = self._channel.receive()
        if kind is Frame.PIECES:
            return unpack_pieces(payload)
        raise TransientError("the prober could not read")


class _DescriptorSource(ByteSource):
    """Reads a descriptor that the prober opened."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        return read_descriptor(self._descriptor, offset, length)


def main() -> None:
    """Serve until the prober closes its end."""
    connection = socket.socket(fileno=0)
    channel = Channel(connection)
    _warm_up(pillow=sys.argv[2] == "pillow")
    lock_down(memory=int(sys.argv[1]))
    # What is there now stays: the garbage collector need not look at it again and again.
    gc.freeze()
    channel.send(Frame.READY, b"")
    settings = settings_from(parse(sys.argv[3].encode()))
    try:
        while True:
            _serve(channel, settings)
    except WireError:
        pass
    # Objects of PyAV that must never be freed are freed at a regular exit (see `extraction`).
    os._exit(0)


def _serve(channel: Channel, settings: AnalysisSettings) -> None:
    kind, payload, descriptor = channel.receive_with_descriptor()
    if kind is not Frame.JOB:
        raise WireError(f"a {kind.name} frame where a job was expected")
    try:
        job = parse(payload)
        # Should the prober die meanwhile, nobody is left to end a probe that hangs.
        signal.alarm(int(job["timeout"]) * 2 + _GRACE)
        channel.send(Frame.ANSWER, _describe(channel, settings, job, descriptor))
        signal.alarm(0)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _describe(channel: Channel, settings: AnalysisSettings, job: dict[str, Any], descriptor: int | None) -> bytes:
    size = int(job["size"])
    source = _RemoteSource(channel, size) if descriptor is None else _DescriptorSource(descriptor, size)
    prefetched: list[tuple[int, bytes]] = []
    if job["prefetched"]:
        _, payload = channel.receive()
        prefetched = list(zip(job["prefetched"], unpack_pieces(payload), strict=True))
    try:
        found = analyse(source, name=job["name"], settings=settings, prefetched=prefetched)
    except TransientError as error:
        return dump({"read_failed": str(error)})
    except MemoryError:
        found = MediaMetadata(error="it asks for more memory than a probe may use", size=size)
    return found.to_json().encode("utf-8", "surrogatepass")


def _load_all() -> None:
    """Import every module of PyAV: some are imported late, when no file can be opened any more."""
    package = pyav()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith((".__main__", ".datasets")):
            importlib.import_module(module.name)


def _warm_up(*, pillow: bool) -> None:
    """Describe a short WAV and a tiny BMP once: whatever a probe imports late is imported now."""
    samples = bytes(2_000)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(samples)) + samples
    wave = struct.pack("<4sI", b"RIFF", len(body)) + body
    bitmap = struct.pack("<2sIIIIiiHH", b"BM", 62, 0, 54, 40, 2, 2, 1, 24).ljust(62, b"\0")
    for name, data in (("a.wav", wave), ("a.bmp", bitmap), ("a.txt", b"text"), ("a.bin", b"\0" * 64)):
        analyse(BytesSource(data), name=name, settings=AnalysisSettings())
    for encoding in ("utf-16", "latin-1", "ascii", "utf-8", "idna"):
        "a".encode(encoding)
    _load_all()
    if pillow:
        from media_watch_tasks.probe import _pillow  # noqa: PLC0415 - it is an extra

        _pillow.load()


if __name__ == "__main__":
    main()
