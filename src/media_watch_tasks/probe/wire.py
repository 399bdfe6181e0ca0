"""Frames between the prober and its worker processes: a byte of kind, a length, the payload. JSON and raw bytes only.

Both ends take the other one's frames for what they are: input. Nothing is unpickled, every length has a limit.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Sequence
from enum import Enum
from typing import Any

__all__ = ["Channel", "Frame", "WireError", "dump", "pack_pieces", "parse", "unpack_pieces"]

_HEADER = struct.Struct(">cI")
_COUNT = struct.Struct(">I")
_AT_ONCE = 64 * 1024
_LARGEST_FRAME = 80 * 1024 * 1024


class Frame(Enum):
    """The kinds of frames."""

    READY = b"S"
    """Worker: it has started."""
    JOB = b"J"
    """Prober: a file to describe. JSON, and a file descriptor where `descriptor` is true."""
    PIECES = b"D"
    """Prober: bytes that were asked for, or that come with a job."""
    FAILED = b"E"
    """Prober: the source raised; nothing more can be read."""
    READ = b"R"
    """Worker: asks for ranges. JSON: [[offset, length], …]."""
    ANSWER = b"A"
    """Worker: the description. JSON of `MediaMetadata`, or with `read_failed`."""


class WireError(Exception):
    """The other end is gone, silent for too long (`timed_out`), or speaks nonsense."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        """Take what happened and whether it was a time-out."""
        super().__init__(message)
        self.timed_out = timed_out


class Channel:
    """Frames over a connected Unix socket. One thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = b""
        """Bytes of the next frame that came with the last one."""

    def send(self, kind: Frame, payload: bytes, *, descriptor: int | None = None) -> None:
        """Send a frame, and with it an open file descriptor.

        Raises:
            WireError: the other end is gone.
        """
        header = _HEADER.pack(kind.value, len(payload))
        try:
            if descriptor is not None:
                frame = header + payload
                sent = socket.send_fds(self._socket, [frame], [descriptor])
                self._socket.sendall(frame[sent:])
            else:
                self._socket.sendall(header + payload)
        except OSError as error:
            raise WireError(f"the other end is gone: {error.strerror}") from error

    def receive(self, *, timeout: float | None = None) -> tuple[Frame, bytes]:
        """The next frame, within `timeout` seconds.

        Raises:
            WireError: it did not come, or is none.
        """
        kind, payload, _ = self._receive(timeout, descriptors=False)
        return kind, payload

    def receive_with_descriptor(self) -> tuple[Frame, bytes, int | None]:
        """The next frame and the file descriptor that came with it; it waits as long as it takes.

        Raises:
            WireError: the other end is gone.
        """
        return self._receive(None, descriptors=True)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _receive(self, timeout: float | None, *, descriptors: bool) -> tuple[Frame, bytes, int | None]:
        end = None if timeout is None else time.monotonic() + timeout
        received: list[int] = []
        try:
            if descriptors and not self._received:
                self._received, received, _, _ = socket.recv_fds(self._socket, _AT_ONCE, 1)
                if not self._received:
                    raise WireError("the other end is gone")
            code, length = _HEADER.unpack(self._exactly(_HEADER.size, end))
            if length > _LARGEST_FRAME:
                raise WireError(f"a frame of {length} bytes")
            return Frame(code), self._exactly(length, end), received[0] if received else None
        except TimeoutError as error:
            raise WireError("no answer in time", timed_out=True) from error
        except (OSError, ValueError) as error:
            raise WireError(f"the other end is gone: {error}") from error

    def _exactly(self, length: int, end: float | None) -> bytes:
        """So many bytes; what comes with them is kept for the next call."""
        pieces = bytearray(self._received)
        while len(pieces) < length:
            if end is not None:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
            piece = self._socket.recv(min(max(length - len(pieces), _AT_ONCE), 1 << 20))
            if not piece:
                raise WireError("the other end is gone")
            pieces += piece
        self._received = bytes(pieces[length:])
        return bytes(pieces[:length])


def pack_pieces(pieces: Sequence[bytes]) -> bytes:
    """Several byte strings as one payload: their number, their lengths, the bytes."""
    lengths = b"".join(_COUNT.pack(len(piece)) for piece in pieces)
    return b"".join((_COUNT.pack(len(pieces)), lengths, *pieces))


def unpack_pieces(payload: bytes) -> list[bytes]:
    """What `pack_pieces` packed."""
    (count,) = _COUNT.unpack_from(payload)
    at, pieces = 4 + 4 * count, []
    for (length,) in _COUNT.iter_unpack(payload[4:at]):
        pieces.append(payload[at : at + length])
        at += length
    return pieces


def dump(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """JSON as bytes; lone surrogates of names survive."""
    return json.dumps(value).encode("ascii")


def parse(payload: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value of a payload.

    Raises:
        WireError: it is none.
    """
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame that is no JSON") from error
