"""A server that answers each request with bytes that a test has written, whatever they mean."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

__all__ = ["ScriptedServer"]

HANG_GUARD = 30.0
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class ScriptedServer:
    """Listens on a free port of 127.0.0.1. At the end of the block every answer must have been given.

    Args:
        answers: one for each request: bytes, or pieces that are sent one by one; an empty answer cuts the connection.
            After an answer that names no length (`closes`) the connection is closed too.
        closes: close after each answer.
    """

    def __init__(self, answers: Iterable[bytes | list[bytes]], *, closes: bool = False) -> None:
        self.answers = [answer if isinstance(answer, list) else [answer] for answer in answers]
        self.requests: list[bytes] = []
        """As they came, heads and bodies."""
        self.connections = 0
        self._closes = closes
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(HANG_GUARD)  # from here on nobody is let in
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(HANG_GUARD)
        if error is None:
            assert not self.answers, f"nobody asked for {self.answers}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := _request(connection):
                self.requests.append(request)
                for piece in self.answers.pop(0):
                    if not piece:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    connection.sendall(piece)
                if self._closes:
                    connection.shutdown(socket.SHUT_RDWR)
                    return


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return b""
        data += more
    head = data.partition(b"\r\n\r\n")[0]
    found = _LENGTH.search(head)
    whole = len(head) + 4 + (int(found[1]) if found else 0)
    while len(data) < whole:
        more = connection.recv(65_536)
        if not more:
            return b""
        data += more
    return data
