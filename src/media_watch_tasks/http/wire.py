"""Wire: one connection of HTTP/1.1. A request is written and its answer heard, an early one while it is written.

What httpx2 does for a request besides takes half a millisecond of Python; what cannot wait for a whole answer, or wants
a proxy, is left to it.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import time

from media_watch_tasks.http.heard import GarbledError, Head, Heard, is_interim, parse_head, without_interim
from media_watch_tasks.http.outgoing import LateError, LostError, Outgoing, StallError

__all__ = ["Wire", "is_readable"]

_SLICE = 0.25
"""Seconds after which a wait looks whether it is still wanted."""
_CONTINUE_SECONDS = 1.0
_READ = 16 << 10
_LONGEST_HEAD, _LONGEST_LINE = 100 << 10, 8 << 10
_LARGEST_BODY = 1 << 20
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")


class _BrokenError(Exception):
    """The connection broke while something was written."""

    def __init__(self, reason: OSError) -> None:
        super().__init__()
        self.reason = reason


class Wire:
    """A connection that stays open; one thread uses it at a time.

    Args:
        sock: connected, over TLS or not.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        sock.settimeout(_SLICE)
        self._have = b""
        self._ended = False
        self._due = 0.0
        self.reusable = False
        """The last answer came to its end, and the next request may follow."""
        self.idle_since = 0.0
        """Of `time.monotonic()`; kept for whoever holds it."""

    @property
    def is_over(self) -> bool:
        """Nothing was asked, and something is there: the other side has closed it, or is about to."""
        return self._look()

    def close(self) -> None:
        """Close it. May be called again."""
        self._sock.close()

    def exchange(self, request: Outgoing, first: bytes | memoryview) -> Heard:
        """Send a request, and hear the answer; it may come before everything was sent.

        Args:
            request: what is sent.
            first: the first piece of the body, taken from `pieces` already, where it does not ask first.

        Raises:
            StallError, LateError, LostError, GarbledError: there is none. The connection is of no use any more.
            anything that the body or `wanted` raises.
        """
        self.reusable = False
        broken = None
        try:
            all_sent = self._send(request, first)
        except _BrokenError as error:
            broken, all_sent = error.reason, False  # it may have said why, and closed the connection
        self._due = time.monotonic() + request.answer_seconds
        try:
            head = self._final_head(request)
            body, truncated = self._body(request, head)
        except LostError as lost:
            if broken is not None:
                raise LostError(broken.strerror or type(broken).__name__, sending=True) from broken
            raise LostError(str(lost), sending=not all_sent) from lost.__cause__
        self.reusable = all_sent and not truncated and head.keeps and not self._have and not self._ended
        return Heard(head.status, head.headers, body, truncated=truncated, all_sent=all_sent)

    # ---- sending

    def _send(self, request: Outgoing, first: bytes | memoryview) -> bool:
        """False: an answer, or the end, came before everything was sent. Raises `_BrokenError`."""
        left = self._left(request.length, first, request)
        if request.ask_first:
            if not self._write(request.head, request) or (self._hears(request) and not self._continued()):
                return False
        elif not self._write_first(request, first):
            return False
        for piece in request.pieces:
            left = self._left(left, piece, request)
            if self._answered() or not self._write(piece, request):
                return False
        self._left(-left, b"", request)
        return True

    @staticmethod
    def _left(left: int, piece: bytes | memoryview, request: Outgoing) -> int:
        # More would be taken for the next request, less would be waited for.
        if len(piece) > left:
            raise ValueError(f"a body has other than the {request.length} bytes that it announced")
        return left - len(piece)

    def _write_first(self, request: Outgoing, first: bytes | memoryview) -> bool:
        """Head and first piece at once."""
        if self._is_tls or not first or not hasattr(self._sock, "sendmsg"):  # POSIX has it
            return self._write(request.head, request) and self._write(first, request)
        request.wanted()
        try:
            sent = self._sock.sendmsg((request.head, first))
        except TimeoutError:
            sent = 0
        except OSError as error:
            raise _BrokenError(error) from error
        rest = request.head[sent:]
        if rest and not self._write(rest, request):
            return False
        return self._write(memoryview(first)[max(0, sent - len(request.head)) :], request)

    def _write(self, data: bytes | memoryview, request: Outgoing) -> bool:
        left = memoryview(data)
        moved = time.monotonic()
        while left:
            request.wanted()
            try:
                left = left[self._sock.send(left) :]
            except TimeoutError:
                if time.monotonic() - moved >= request.stall_seconds:
                    raise StallError("the other side takes nothing") from None
            except OSError as error:
                raise _BrokenError(error) from error
            else:
                moved = time.monotonic()
            if left and self._answered():
                return False
        return True

    def _hears(self, request: Outgoing) -> bool:
        """True if an answer has begun within a second. There are servers that never say `100 Continue`."""
        until = time.monotonic() + _CONTINUE_SECONDS
        while is_interim(self._have) and not self._have.endswith(b"\r\n\r\n") and not self._ended:
            try:
                came = self._receive(request)
            except LostError:
                self._ended = came = True
            if not came and time.monotonic() >= until:
                return False
        return True

    def _continued(self) -> bool:
        self._have = without_interim(self._have)
        return is_interim(self._have) and not self._ended

    def _answered(self) -> bool:
        """True if a final answer has begun, or the connection has ended."""
        if self._look():
            self._have = without_interim(self._have)
        return self._ended or not is_interim(self._have)

    def _look(self) -> bool:
        """True if something is there; it is taken. Over TLS a connection may be readable with nothing to be read."""
        if not is_readable(self._sock):
            return False
        try:
            if self._is_tls:
                self._sock.settimeout(0)
            data = self._sock.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            data = b""
        finally:
            if self._is_tls:
                self._sock.settimeout(_SLICE)
        self._have += data
        self._ended = not data
        return True

    # ---- hearing

    def _receive(self, request: Outgoing) -> bool:
        """Wait for a quarter of a second for more; False if nothing came."""
        request.wanted()
        try:
            data = self._sock.recv(_READ)
        except TimeoutError:
            return False
        except OSError as error:
            raise LostError(error.strerror or type(error).__name__, sending=False) from error
        self._have += data
        self._ended = not data
        return True

    def _more(self, request: Outgoing) -> bool:
        """Wait for more of the answer; False at the end of the connection."""
        while not self._ended:
            came = self._receive(request)
            if came and not self._ended and time.monotonic() < self._due:
                return True
            if time.monotonic() >= self._due:
                raise LateError("no whole answer in time")
        return False

    def _final_head(self, request: Outgoing) -> Head:
        while True:
            found = parse_head(self._have)
            if found is not None:
                head, self._have = found
                if not head.interim:
                    return head
                if head.status == 101:  # noqa: PLR2004 - Switching Protocols, which nobody asked for
                    raise GarbledError("it is another protocol from here on")
            elif len(self._have) > _LONGEST_HEAD:
                raise GarbledError("its head has no end")
            elif not self._more(request):
                raise LostError("the connection ended without an answer", sending=False)

    def _body(self, request: Outgoing, head: Head) -> tuple[bytes, bool]:
        """(the body, whether there is more of it than is kept)."""
        if request.is_head:
            return b"", False
        length = head.length
        if length != 0 and head.chunked:
            return self._chunks(request)
        if length is None:
            while len(self._have) <= _LARGEST_BODY and self._more(request):
                pass
            data, self._have = self._have[:_LARGEST_BODY], b""
            self._ended = True  # where its end is, nothing says
            return data, len(data) == _LARGEST_BODY
        return self._take(request, min(length, _LARGEST_BODY)), length > _LARGEST_BODY

    def _chunks(self, request: Outgoing) -> tuple[bytes, bool]:
        parts, room = [], _LARGEST_BODY
        while size := self._chunk_size(request):
            parts.append(self._take(request, min(size, room)))
            room -= size
            if room < 0:
                return b"".join(parts), True
            if self._line(request):
                raise GarbledError("a piece of its body is longer than it says")
        while self._line(request):
            pass  # trailers
        return b"".join(parts), False

    def _chunk_size(self, request: Outgoing) -> int:
        found = _CHUNK_SIZE.fullmatch(self._line(request))
        if found is None:
            raise GarbledError("a piece of its body does not say how long it is")
        return int(found[1], 16)

    def _line(self, request: Outgoing) -> bytes:
        while (end := self._have.find(b"\n")) < 0:
            if len(self._have) > _LONGEST_LINE:
                raise GarbledError("a line has no end")
            if not self._more(request):
                raise LostError("the connection ended within the answer", sending=False)
        line, self._have = self._have[:end], self._have[end + 1 :]
        return line.rstrip(b"\r")

    def _take(self, request: Outgoing, count: int) -> bytes:
        while len(self._have) < count:
            if not self._more(request):
                raise LostError("the connection ended within the answer", sending=False)
        data, self._have = self._have[:count], self._have[count:]
        return data


def is_readable(sock: socket.socket) -> bool:
    """True if something, or the end, is there to be read, without a wait."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    if not hasattr(select, "poll"):  # not a POSIX system
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
