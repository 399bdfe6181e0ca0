"""Wires: the connections to one server that stay open, for all threads."""

from __future__ import annotations

import collections
import socket
import ssl
import time
import weakref

import attrs

from media_watch_tasks.http.heard import Heard
from media_watch_tasks.http.outgoing import Outgoing, WireError
from media_watch_tasks.http.wire import Wire

__all__ = ["ConnectError", "TlsError", "Wires"]


class ConnectError(WireError):
    """No connection could be made."""

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late
        """Not in time."""


class TlsError(ConnectError):
    """There is a server, and TLS with it fails: its certificate, or what it speaks."""


@attrs.define(eq=False)
class Wires:
    """Connections to one server; thread-safe.

    Args:
        host: its name or address.
        port: its port.
        context: None for plain HTTP.
        most: connections that are kept open.
        idle_seconds: after which one that is not in use is not used again; None: as long as it stands.
    """

    host: str
    port: int
    context: ssl.SSLContext | None = attrs.field(kw_only=True)
    most: int = attrs.field(kw_only=True)
    idle_seconds: float | None = attrs.field(kw_only=True, default=None)
    _idle: collections.deque[Wire] = attrs.field(init=False, factory=collections.deque)

    def __attrs_post_init__(self) -> None:
        weakref.finalize(self, _close_all, self._idle)  # an uploader that is forgotten leaves nothing open

    def exchange(self, request: Outgoing, *, connect_seconds: float) -> Heard:
        """Send a request over a connection that stands, or over a new one, and hear the answer.

        The first piece of the body is asked for before a connection is taken: one that waits for it may end meanwhile.

        Args:
            request: what is sent.
            connect_seconds: until a connection stands, and again until TLS does.

        Raises:
            ConnectError: no connection could be made.
            whatever `Wire.exchange` raises.
        """
        first = b"" if request.ask_first else next(request.pieces, b"")
        wire = self._take(connect_seconds)
        try:
            heard = wire.exchange(request, first)
        except BaseException:
            wire.close()
            raise
        if wire.reusable and len(self._idle) < self.most:
            wire.idle_since = time.monotonic()
            self._idle.append(wire)
        else:
            wire.close()
        return heard

    def close(self) -> None:
        """Close the connections that are not in use."""
        _close_all(self._idle)

    def _take(self, connect_seconds: float) -> Wire:
        oldest = -1.0 if self.idle_seconds is None else time.monotonic() - self.idle_seconds
        while self._idle:
            try:
                wire = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if wire.idle_since >= oldest and not wire.is_over:
                return wire
            wire.close()
        return self._connected(connect_seconds)

    def _connected(self, seconds: float) -> Wire:
        try:
            sock = socket.create_connection((self.host, self.port), seconds)
        except TimeoutError as error:
            raise ConnectError("no connection in time", late=True) from error
        except OSError as error:
            raise ConnectError(str(error)) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_hostname=self.host)
        except TimeoutError as error:
            sock.close()
            raise TlsError("TLS did not stand in time", late=True) from error
        except OSError as error:
            sock.close()
            raise TlsError(str(error)) from error
        return Wire(sock)


def _close_all(idle: collections.deque[Wire]) -> None:
    while idle:
        idle.pop().close()
