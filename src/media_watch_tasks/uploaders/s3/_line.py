"""Line: requests over connections that stay open, to one server, without what a general client does besides."""

from __future__ import annotations

import collections
import io
import select
import socket
import ssl
import weakref
from collections.abc import Iterable, Mapping
from typing import BinaryIO

import attrs

from media_watch_tasks.uploaders.s3._boto3 import exceptions

__all__ = ["Line", "LineAnswer", "SendingFailed"]

_CONTINUE, _CONTINUE_SECONDS = 100, 1.0
_LONGEST_LINE, _MOST_HEADERS, _LONGEST_BODY = 65_536, 200, 1 << 20
_EMPTY_STATUSES = frozenset({204, 304})


@attrs.frozen
class LineAnswer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes


class SendingFailed(Exception):  # noqa: N818 - what happened
    """The connection ended before everything was sent: the server may have said why, which got lost with it."""


class _Garbled(Exception):  # noqa: N818 - what came
    """No answer of HTTP/1.1."""


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader = self._reader()

    def readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(seconds * 1_000))

    def hears(self, seconds: float) -> bool:
        """True if an answer has begun by then. Over TLS a connection may be readable with nothing to be read."""
        usual = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.reader.peek(1)
        except TimeoutError:
            self.reader.close()  # it refuses to read any more
            self.reader = self._reader()
            return False
        except OSError:
            return True  # who reads next is told
        finally:
            self.sock.settimeout(usual)
        return True

    def close(self) -> None:
        self.reader.close()
        self.sock.close()

    def _reader(self) -> io.BufferedReader:
        return self.sock.makefile("rb")


@attrs.define
class Line:
    """Connections to one server; thread-safe. What goes wrong is raised as botocore raises it.

    Args:
        host: its name or address.
        port: its port.
        context: None for plain HTTP.
        connect_timeout: seconds.
        read_timeout: seconds that one read or one write may take.
        most: connections that are kept open.
    """

    host: str
    port: int
    context: ssl.SSLContext | None = attrs.field(kw_only=True)
    connect_timeout: float = attrs.field(kw_only=True)
    read_timeout: float = attrs.field(kw_only=True)
    most: int = attrs.field(kw_only=True)
    _idle: collections.deque[_Connection] = attrs.field(init=False, factory=collections.deque)

    def __attrs_post_init__(self) -> None:
        weakref.finalize(self, _close_all, self._idle)  # a client that is forgotten leaves nothing open, as botocore's

    @property
    def url(self) -> str:
        """For messages."""
        return f"{'http' if self.context is None else 'https'}://{self.host}:{self.port}"

    def exchange(self, head: bytes, body: Iterable[memoryview], *, ask_first: bool) -> LineAnswer:
        """Send a request, and hear the answer.

        Args:
            head: everything before the body.
            body: pieces; what it raises is raised, and the connection is closed.
            ask_first: the head says `Expect: 100-continue`: a refusal is heard before the body was sent.

        Raises:
            SendingFailed: the connection broke while the request was sent.
            botocore.exceptions.HTTPClientError: no connection, a time-out, or one that broke later.
        """
        connection = self._take()
        try:
            answer, keep = self._exchange(connection, head, body, ask_first=ask_first)
        except BaseException:
            connection.close()
            raise
        if keep and len(self._idle) < self.most:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close the connections that are not in use."""
        _close_all(self._idle)

    def _exchange(
        self, connection: _Connection, head: bytes, body: Iterable[memoryview], *, ask_first: bool
    ) -> tuple[LineAnswer, bool]:
        self._send(connection, memoryview(head))
        if ask_first and connection.hears(_CONTINUE_SECONDS):
            answer, keep = self._hear(connection)
            if answer.status != _CONTINUE:
                return answer, False  # it may take what follows for the body
        for piece in body:
            self._send(connection, piece)
        answer, keep = self._hear(connection)
        while answer.status == _CONTINUE:
            answer, keep = self._hear(connection)
        return answer, keep

    def _take(self) -> _Connection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if not connection.readable(0):
                return connection
            connection.close()  # nothing was asked: what can be read is the end
        try:
            sock = socket.create_connection((self.host, self.port), self.connect_timeout)
        except TimeoutError as error:
            raise exceptions.ConnectTimeoutError(endpoint_url=self.url, error=error) from error
        except OSError as error:
            raise exceptions.EndpointConnectionError(endpoint_url=self.url, error=error) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_hostname=self.host)
            sock.settimeout(self.read_timeout)
        except OSError as error:
            sock.close()
            raise exceptions.SSLError(endpoint_url=self.url, error=error) from error
        return _Connection(sock)

    def _send(self, connection: _Connection, piece: memoryview) -> None:
        try:
            connection.sock.sendall(piece)
        except TimeoutError as error:
            raise exceptions.ReadTimeoutError(endpoint_url=self.url, error=error) from error
        except OSError as error:
            raise SendingFailed(str(error)) from error

    def _hear(self, connection: _Connection) -> tuple[LineAnswer, bool]:
        try:
            return _read_answer(connection.reader)
        except TimeoutError as error:
            raise exceptions.ReadTimeoutError(endpoint_url=self.url, error=error) from error
        except (OSError, _Garbled, ValueError) as error:
            raise exceptions.ConnectionClosedError(endpoint_url=self.url, error=error) from error


def _close_all(idle: collections.deque[_Connection]) -> None:
    while idle:
        idle.pop().close()


def _line(reader: BinaryIO) -> bytes:
    line = reader.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise _Garbled("the connection ended within a line")
    return line.strip()


def _read_answer(reader: BinaryIO) -> tuple[LineAnswer, bool]:
    """The answer, and whether the connection can be used again."""
    version, _, rest = _line(reader).partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise _Garbled("it is not HTTP")
    status = int(rest[:3])
    headers: dict[str, str] = {}
    while line := _line(reader):
        name, _, value = line.partition(b":")
        headers[name.strip().decode("latin-1").lower()] = value.strip().decode("latin-1")
        if len(headers) > _MOST_HEADERS:
            raise _Garbled("it has too many headers")
    keep = version == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if status in _EMPTY_STATUSES or status == _CONTINUE:
        body = b""
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join(_chunks(reader))
    elif "content-length" in headers:
        length = int(headers["content-length"])
        body = reader.read(min(length, _LONGEST_BODY))
        keep = keep and len(body) == length
    else:
        body, keep = reader.read(_LONGEST_BODY), False
    return LineAnswer(status, headers, body), keep


def _chunks(reader: BinaryIO) -> Iterable[bytes]:
    total = 0
    while size := int(_line(reader).split(b";")[0], 16):
        total += size
        if total > _LONGEST_BODY:
            raise _Garbled("it is too long")
        yield reader.read(size)
        _line(reader)
    while _line(reader):
        pass
