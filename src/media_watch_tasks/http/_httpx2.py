"""The one place that touches httpx2 and the httpcore2 below it. Importing this module needs the extra `http`.

httpx2 sends a body to its end before it looks for an answer, and waits for one without a way to be interrupted. Its
connections are therefore given a network layer that looks for an early answer before each write, notices a
cancellation within a quarter of a second, and limits the time of a whole answer rather than that of each byte.
"""

from __future__ import annotations

import contextlib
import logging
import re
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
import httpcore2
import httpx2

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, DestinationOfflineError, TransientError
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.bodies import Body
from media_watch_tasks.http.origins import shown
from media_watch_tasks.http.timeouts import HttpTimeouts

__all__ = ["Call", "check_client", "new_client", "perform"]

_SLICE = 0.25
"""Seconds after which a wait looks whether it is still wanted."""
_LARGEST_ANSWER = 1 << 20
_READ = 64 * 1024
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d ")
_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.http2", "httpcore2.proxy")


@attrs.define
class _Attention:
    """What the network layer has to know of the request that its thread is busy with."""

    cancel: CancelToken | None
    answer_seconds: float | None
    """None: the answer is a download, and each part of it may take as long as httpx2 allows."""


_here = threading.local()


def _attention() -> _Attention | None:
    found: _Attention | None = getattr(_here, "attention", None)
    return found


class _Quiet(logging.Filter):
    """httpx2 logs whole URLs, and httpcore2 whole headers: not those of our requests, which hold signatures."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - whatever it says
        return _attention() is None


_quiet = _Quiet()


class _AttentiveStream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        self._early = b""
        self._ended = False
        self._answer_began: float | None = None
        self._idle = False

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._answer_began = None
        sock = self._socket()
        view = memoryview(buffer)
        moved = time.monotonic()
        while view:
            _raise_if_cancelled()
            if self._answered(sock):
                if self._idle and not self._early:
                    # Closed since the last request, which nobody is to blame for: the pool takes another connection.
                    raise httpcore2.ConnectionNotAvailable
                # Httpcore2 then reads the answer, as it does where the other side has closed.
                raise httpcore2.WriteError("answered before everything was sent")
            try:
                sock.settimeout(_SLICE)
                view = view[sock.send(view) :]
                moved = time.monotonic()
                self._idle = False
            except TimeoutError:
                if timeout is not None and time.monotonic() - moved >= timeout:
                    raise httpcore2.WriteTimeout("the other side takes nothing") from None
            except OSError as error:
                raise httpcore2.WriteError(error.strerror or type(error).__name__) from error

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._early or self._ended:
            part, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return part
        attention = _attention()
        began = time.monotonic()
        if attention is not None and attention.answer_seconds is not None:
            timeout = attention.answer_seconds
            if self._answer_began is None:
                self._answer_began = began
            began = self._answer_began
        sock = self._socket()
        while True:
            _raise_if_cancelled()
            left = None if timeout is None else began + timeout - time.monotonic()
            if left is not None and left <= 0:
                raise httpcore2.ReadTimeout("no whole answer in time")
            try:
                sock.settimeout(_SLICE if left is None else min(_SLICE, left))
                data: bytes = sock.recv(max_bytes)
            except TimeoutError:
                continue
            except OSError as error:
                raise httpcore2.ReadError(error.strerror or type(error).__name__) from error
            self._idle = True
            return data

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _AttentiveStream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the signature of httpcore2
        if info == "is_readable" and (self._early or self._ended):
            return True
        return self._inner.get_extra_info(info)

    def _socket(self) -> Any:  # noqa: ANN401 - a socket, or one with TLS
        return self._inner.get_extra_info("socket")

    def _answered(self, sock: Any) -> bool:  # noqa: ANN401 - as above
        """True if a final answer, or the end of the connection, is there. TLS sends bytes that are neither."""
        if _readable(sock):
            try:
                sock.settimeout(0)
                data = sock.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            except OSError as error:
                raise httpcore2.WriteError(error.strerror or type(error).__name__) from error
            self._early += data
            self._ended = self._ended or not data
        return self._ended or bool(self._early and not _INTERIM.match(_after_interim(self._early)))


def _after_interim(data: bytes) -> bytes:
    """What follows the whole interim answers (100 Continue, 103 Early Hints) at the beginning."""
    while _INTERIM.match(data) and b"\r\n\r\n" in data:
        data = data.partition(b"\r\n\r\n")[2]
    return data or b"HTTP/1.1 100 "


def _readable(sock: Any) -> bool:  # noqa: ANN401 - as above
    if getattr(sock, "pending", None) is not None and sock.pending():
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _raise_if_cancelled() -> None:
    attention = _attention()
    if attention is not None and attention.cancel is not None:
        attention.cancel.raise_if_cancelled()


class _AttentiveBackend(httpcore2.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._inner.connect_tcp(
            host, port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )
        return _AttentiveStream(stream)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        return _AttentiveStream(self._inner.connect_unix_socket(path, timeout=timeout, socket_options=socket_options))


def new_client(**settings: Any) -> httpx2.Client:  # noqa: ANN401 - the settings of httpx2.Client
    """A client with our network layer; the settings are those of `httpx2.Client` (verify, cert, proxy …).

    It follows no redirect, has no limit on connections, and keeps idle ones for 4 seconds: most servers close them
    after 5, and a request that meets a closing connection fails.
    """
    settings.setdefault("limits", httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=4))
    client = httpx2.Client(follow_redirects=False, **settings)
    # httpcore2 takes a network backend, and httpx2 has no way to hand it over.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - as said above
        pool = getattr(transport, "_pool", None)
        if isinstance(pool, httpcore2.ConnectionPool):
            pool._network_backend = _AttentiveBackend()  # noqa: SLF001 - as said above
    return client


def check_client(client: object) -> httpx2.Client:
    """The client if it is one of httpx2's."""
    if not isinstance(client, httpx2.Client):
        raise ConfigurationError(f"client must be an httpx2.Client, not {type(client).__name__}")
    return client


@attrs.frozen(kw_only=True, eq=False)
class Call:
    """One request."""

    method: str
    url: str = attrs.field(repr=shown)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: Body | None = None
    merge: bool = False
    """Add what the client adds to its requests: only for its own origin."""
    sink: Callable[[bytes], object] | None = None
    """Takes the body of an answer with status 200 or 206, whatever its length."""


def perform(client: httpx2.Client, call: Call, *, timeouts: HttpTimeouts, cancel: CancelToken | None) -> Answer:
    """Send it, and read the answer. Raises nothing of httpx2's.

    Raises:
        DestinationOfflineError: no connection could be made.
        TransientError: a time-out, a reset, an answer that is no HTTP.
        ConfigurationError: a header that cannot be sent.
        OperationCancelled, and anything that the body or the sink raises, unchanged.
    """
    what = f"{call.method} {shown(call.url)}"
    _install_quiet()
    _here.attention = _Attention(
        cancel=cancel, answer_seconds=None if call.sink is not None else timeouts.answer.total_seconds()
    )
    try:
        return _perform(client, call, timeouts)
    except httpx2.ConnectTimeout as error:
        raise DestinationOfflineError(f"{what}: no connection within {timeouts.connect.total_seconds():g} s") from error
    except httpx2.ConnectError as error:
        raise DestinationOfflineError(f"{what}: no connection: {error}") from error
    except httpx2.ProxyError:
        raise DestinationOfflineError(f"{what}: the proxy makes no connection") from None
    except httpx2.PoolTimeout as error:
        raise TransientError(f"{what}: the client has no free connection") from error
    except httpx2.WriteTimeout as error:
        stall = timeouts.stall.total_seconds()
        raise TransientError(f"{what}: stalled, not one byte was taken for {stall:g} s") from error
    except httpx2.ReadTimeout as error:
        answer = timeouts.answer.total_seconds()
        raise TransientError(f"{what}: everything was sent, no answer within {answer:g} s") from error
    except (httpx2.LocalProtocolError, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        # Their texts quote the header or URL.
        raise ConfigurationError(f"{what}: a header or the URL cannot be sent as it is") from None
    except httpx2.HTTPError as error:
        when = "after everything was sent" if call.body is None or call.body.complete else "while sending"
        raise TransientError(f"{what}: the connection was lost {when} ({type(error).__name__})") from error
    finally:
        _here.attention = None


def _perform(client: httpx2.Client, call: Call, timeouts: HttpTimeouts) -> Answer:
    content: Iterator[bytes] | bytes | None = None
    headers = dict(call.headers)
    if call.body is not None:
        headers["Content-Length"] = str(call.body.length)
        content = iter(call.body)
    timeout = httpx2.Timeout(
        connect=timeouts.connect.total_seconds(),
        write=timeouts.stall.total_seconds(),
        read=timeouts.answer.total_seconds() if call.sink is None else timeouts.stall.total_seconds(),
        pool=timeouts.answer.total_seconds(),
    )
    if call.merge:
        request = client.build_request(call.method, call.url, headers=headers, content=content, timeout=timeout)
    else:
        extensions = {"timeout": timeout.as_dict()}
        request = httpx2.Request(call.method, call.url, headers=headers, content=content, extensions=extensions)
    auth: Any = httpx2.USE_CLIENT_DEFAULT if call.merge else None
    try:
        response = client.send(request, auth=auth, follow_redirects=False, stream=True)
        with contextlib.closing(response):
            return _answer(call, response)
    finally:
        # A body that was not taken to its end holds an open stream of the source.
        close = getattr(content, "close", None)
        if close is not None:
            close()


def _answer(call: Call, response: httpx2.Response) -> Answer:
    taken = call.sink if call.sink is not None and response.status_code in {200, 206} else None
    parts: list[bytes] = []
    size = 0
    truncated = False
    for part in response.iter_bytes(_READ):
        if taken is not None:
            taken(part)
            continue
        parts.append(part)
        size += len(part)
        if size > _LARGEST_ANSWER:
            truncated = True
            break
    return Answer(
        method=call.method,
        url=call.url,
        status=response.status_code,
        headers=dict(response.headers.items()),
        body=b"".join(parts)[:_LARGEST_ANSWER],
        truncated=truncated,
    )


def _install_quiet() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_quiet)
