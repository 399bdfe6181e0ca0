"""The network layer that httpx2's connections are given here. Importing this module needs the extra `http`.

httpx2 sends a body to its end before it looks for an answer, and waits for one without a way to be interrupted. This
layer looks for an early answer before each write, notices a cancellation within a quarter of a second, and limits the
time of a whole answer rather than that of each byte.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import httpcore2

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.http.heard import is_interim, without_interim
from media_watch_tasks.http.wire import is_readable

__all__ = ["AttentiveBackend", "AttentiveStream", "attending", "is_attended"]

_SLICE = 0.25
"""Seconds after which a wait looks whether it is still wanted."""
_READ = 64 * 1024


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


def is_attended() -> bool:
    """True while this thread is busy with a request of ours."""
    return _attention() is not None


@contextlib.contextmanager
def attending(cancel: CancelToken | None, answer_seconds: float | None) -> Iterator[None]:
    """Around a request. `answer_seconds` None: the answer is a download, each part of it as long as httpx2 allows."""
    _here.attention = _Attention(cancel, answer_seconds)
    try:
        yield
    finally:
        _here.attention = None


class AttentiveStream(httpcore2.NetworkStream):
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
        return AttentiveStream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the signature of httpcore2
        if info == "is_readable" and (self._early or self._ended):
            return True
        return self._inner.get_extra_info(info)

    def _socket(self) -> Any:  # noqa: ANN401 - a socket, or one with TLS
        return self._inner.get_extra_info("socket")

    def _answered(self, sock: Any) -> bool:  # noqa: ANN401 - as above
        """True if a final answer, or the end of the connection, is there. TLS sends bytes that are neither."""
        if is_readable(sock):
            try:
                sock.settimeout(0)
                data = sock.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            except OSError as error:
                raise httpcore2.WriteError(error.strerror or type(error).__name__) from error
            self._early += data
            self._ended = self._ended or not data
        return self._ended or not is_interim(without_interim(self._early))


def _raise_if_cancelled() -> None:
    attention = _attention()
    if attention is not None and attention.cancel is not None:
        attention.cancel.raise_if_cancelled()


class AttentiveBackend(httpcore2.NetworkBackend):
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
        return AttentiveStream(stream)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        return AttentiveStream(self._inner.connect_unix_socket(path, timeout=timeout, socket_options=socket_options))
