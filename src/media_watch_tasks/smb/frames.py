"""Frames over a socket: each is preceded by its length in 4 bytes, big-endian (MS-SMB2 2.1).

Whatever a server announces, no frame is larger than what was asked for, and none takes longer than the time limit.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from struct import Struct

from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.errors import SourceOfflineError
from media_watch_tasks.smb.sealing import TAG
from media_watch_tasks.smb.wire import HEADER, ProtocolViolation

__all__ = ["LARGEST_REPLY", "ChannelLost", "FrameSocket"]

LARGEST_REPLY = 1 << 20
"""No request asks for more bytes than this in one reply."""
_LARGEST_FRAME = LARGEST_REPLY + 384 * 1024
_LENGTH = Struct(">I")
_TIMEVAL = Struct("ll")
_SPARE_BUFFERS = 40
_KEEP_ALIVE_IDLE, _KEEP_ALIVE_EVERY, _KEEP_ALIVE_TRIES = 60, 10, 3
_POOLED_FROM = 64 * 1024
_PATIENCE = 4
"""How many time limits one frame may take."""


class ChannelLost(SourceOfflineError):  # noqa: N818 - the name says the finding
    """The connection ended under an exchange; the same request may work on a new one."""


class FrameSocket:
    """Sends and receives frames. One thread at a time sends, one receives."""

    def __init__(self, sock: socket.socket, *, timeout_ns: int, clock: Clock) -> None:
        self._sock = sock
        self._timeout_ns = timeout_ns
        self._clock = clock
        self._lock = threading.Lock()
        self._spare: list[bytearray] = []
        self._prepare()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        """The socket's descriptor, for polling."""
        return self._sock.fileno()

    def readable(self, timeout: float) -> bool:
        """Wait until something has come, at most `timeout` seconds."""
        return bool(self._poll.poll(timeout * 1_000))

    def send(self, frame: bytes) -> None:
        """Send one frame. Raises `OSError`."""
        self._sock.sendall(_LENGTH.pack(len(frame)) + frame)

    def receive(self) -> tuple[bytearray, int]:
        """One frame: a buffer that begins with it and has room for a `TAG` behind it, and its length.

        Raises `ChannelLost`, `ProtocolViolation`, `OSError`.
        """
        head = bytearray(4)
        limit = self._clock.monotonic_ns() + _PATIENCE * self._timeout_ns
        self._fill(memoryview(head), limit)
        length = _LENGTH.unpack(head)[0]
        if not HEADER.size <= length <= _LARGEST_FRAME:
            raise ProtocolViolation(f"the server announces a frame of {length} bytes")
        # The room behind the frame is for the authentication tag, which the cipher wants to find there.
        buffer = self._buffer(length + TAG)
        self._fill(memoryview(buffer)[:length], limit)
        return buffer, length

    def take_back(self, buffers: list[bytearray]) -> None:
        """Keep buffers whose contents are no longer needed."""
        with self._lock:
            for buffer in buffers:
                if len(buffer) >= _POOLED_FROM and len(self._spare) < _SPARE_BUFFERS:
                    self._spare.append(buffer)

    def shut_down(self) -> None:
        """End it. A thread that waits for a frame wakes; the descriptor stays until `close`."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the descriptor, when nobody can be polling it."""
        self._sock.close()

    def _fill(self, view: memoryview, limit: int) -> None:
        while view:
            try:
                got = self._sock.recv_into(view, len(view), socket.MSG_WAITALL)
            except BlockingIOError:
                raise ChannelLost("the server stopped in the middle of a frame") from None
            if not got:
                raise ChannelLost("the server closed the connection")
            view = view[got:]
            if view and self._clock.monotonic_ns() > limit:
                raise ChannelLost("the server takes too long for one frame")

    def _buffer(self, length: int) -> bytearray:
        if length < _POOLED_FROM:
            return bytearray(length)
        with self._lock:
            # One that does not fit is given up: so there are never more buffers than were once in use together.
            spare = self._spare.pop() if self._spare else b""
        return spare if isinstance(spare, bytearray) and length <= len(spare) <= 2 * length else bytearray(length)

    def _prepare(self) -> None:
        sock = self._sock
        # Blocking, with limits kept by the kernel: only so does one call bring a whole frame.
        sock.settimeout(None)
        seconds, rest = divmod(self._timeout_ns, NANOSECONDS)
        limit = _TIMEVAL.pack(seconds, rest // 1_000)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, limit)
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_IDLE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEP_ALIVE_EVERY)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEP_ALIVE_TRIES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._timeout_ns // 1_000_000)
