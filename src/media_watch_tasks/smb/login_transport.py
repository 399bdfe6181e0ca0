"""The socket of a connection while smbprotocol logs in over it: with a limit to the size of a frame and to the wait."""

from __future__ import annotations

import socket
import struct
from typing import Any

from media_watch_tasks.clock import NANOSECONDS, Clock

__all__ = ["LoginTransport"]

_LARGEST_FRAME = 1 << 20
_PATIENCE = 8
"""How many time limits the whole login may take, whatever the server sends meanwhile."""


class LoginTransport:
    """What smbprotocol calls a transport. It takes one frame from the socket for each `allow_one`."""

    def __init__(self, host: str, port: int, timeout: float, clock: Clock) -> None:
        self._address = (host, port)
        self._timeout = timeout
        self._clock = clock
        self._limit_ns = 0
        self._allowed = 0
        self.sock: socket.socket | None = None
        self.connected = False

    def connect(self) -> None:
        """Connect; from here on the time counts."""
        self._limit_ns = self._clock.monotonic_ns() + int(_PATIENCE * self._timeout * NANOSECONDS)
        self.sock = socket.create_connection(self._address, timeout=self._timeout)
        self.connected = True

    def close(self) -> None:
        """Close the socket."""
        self.connected = False
        if self.sock is not None:
            self.sock.close()

    def send(self, message: Any) -> None:  # noqa: ANN401 - smbprotocol is untyped
        """Send bytes, or an encrypted message, which comes as a structure of smbprotocol's."""
        if self.sock is None:
            raise ConnectionError("not connected")
        data: bytes = message if isinstance(message, bytes) else message.pack()
        self.sock.sendall(struct.pack(">L", len(data)) + data)

    def allow_one(self) -> None:
        """The next `recv` reads one frame."""
        self._allowed = 1

    def recv(self, _timeout: float) -> bytes:
        """One frame; nothing where none was allowed. Raises `ConnectionError` and what the socket raises."""
        # An empty answer ends smbprotocol's receive loop: one call of that loop takes one frame.
        if not self._allowed:
            return b""
        self._allowed = 0
        length = int.from_bytes(self._exactly(4), "big")
        if not 0 < length <= _LARGEST_FRAME:
            raise ConnectionError(f"the server announces a frame of {length} bytes during the login")
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length and self.sock is not None:
            piece = self.sock.recv(length - len(data))
            if self._clock.monotonic_ns() > self._limit_ns:
                raise ConnectionError("the server takes too long for the login")
            if not piece:
                raise ConnectionError("the server closed the connection")
            data += piece
        return bytes(data)
