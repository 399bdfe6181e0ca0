"""Servers that speak SMB2 as they like: what they answer fits the questions, and yet has no end or no order."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from media_watch_tasks.clock import SystemClock
from media_watch_tasks.smb import SmbConnection, _smbprotocol, wire
from media_watch_tasks.smb.channel import Channel
from media_watch_tasks.smb.login import Login
from media_watch_tasks.smb.pool import ChannelPool
from media_watch_tasks.smb.statuses import Status
from media_watch_tasks.smb.wire import ProtocolViolation
from media_watch_tasks.testing.clock import FakeClock

MIB = 1 << 20
MAX_TRANSACT = 8 * MIB


def login(sock: socket.socket, **changes: Any) -> Login:
    """What a login of version 3.1.1 without signing ends with."""
    settings: dict[str, Any] = {
        "sock": sock, "session_id": 77, "tree_id": 5, "dialect": 0x0311, "multi_credit": True,
        "max_transact": MAX_TRANSACT, "max_read": MAX_TRANSACT, "next_message_id": 100, "credits": 512, "is_dfs": False,
        "signing": None, "signing_key": None, "cipher": None, "encryption_key": None, "decryption_key": None,
    } | changes  # fmt: skip
    return Login(**settings)


@contextmanager
def connected(
    kind: Callable[[socket.socket, str], Any], what: str, *, timeout: float
) -> Iterator[tuple[Any, SmbConnection]]:
    """A hostile server `kind(socket, what)`, and a connection whose one channel leads to it."""
    ours, theirs = socket.socketpair()
    channel = Channel(login(ours), crypto=_smbprotocol, timeout=timeout, clock=SystemClock())
    connection = SmbConnection("nas", "media", username="u", password="p", clock=FakeClock())
    connection.session._pool = ChannelPool(lambda: channel, size=1)
    server = kind(theirs, what)
    yield server, connection
    channel.fail(ProtocolViolation("the test is over"))
    ours.close()
    theirs.close()
    server.thread.join()


def framed(frame: bytes) -> bytes:
    """The frame with its length before it."""
    return struct.pack(">I", len(frame)) + frame


def entry(
    name: bytes, *, following: int = 0, length: int | None = None, size: int = 1, attributes: int = 0x20
) -> bytes:
    """A FileDirectoryInformation (MS-FSCC 2.4.10)."""
    return struct.pack(
        "<IIQQQQqqII", following, 0, 0, 0, 0, 0, size, 0, attributes, len(name) if length is None else length
    ) + name  # fmt: skip


class Asked(NamedTuple):
    """One request of a compound."""

    command: int
    message_id: int
    length: int
    """Of a QUERY_DIRECTORY the most bytes it takes (MS-SMB2 2.2.33)."""


def answer(asked: Asked, body: bytes, *, status: int = 0, more: bool = False) -> bytes:
    """One response, padded; with `more` another one follows in the same frame."""
    body += bytes(-len(body) % 8)
    return struct.pack(
        "<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, status, asked.command, 32, 1, 64 + len(body) if more else 0,
        asked.message_id, 0, 5, 77, b"",
    ) + body  # fmt: skip


CREATED = struct.pack("<HBBIQQQQQQII16sII", 89, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, b"h" * 16, 0, 0)
CLOSED = struct.pack("<HHIQQQQQQI", 60, 0, 0, 0, 0, 0, 0, 0, 0, 0)
NO_MORE = struct.pack("<HHI", 9, 0, 0) + b"\0"


def listed(entries: bytes) -> bytes:
    """The body of a QUERY_DIRECTORY response."""
    return struct.pack("<HHI", 9, 72, len(entries)) + entries


def linked(parts: list[bytes]) -> bytes:
    """Entries one behind the other."""
    parts = [part + bytes(-len(part) % 8) for part in parts]
    return b"".join(
        struct.pack("<I", len(part) if number < len(parts) - 1 else 0) + part[4:] for number, part in enumerate(parts)
    )


class HostileServer:
    """Reads requests from a socket in a thread of its own, and hands each compound to `answer_to`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def answer_to(self, compound: list[Asked], path: str) -> None:
        raise NotImplementedError

    def when_idle(self) -> None:
        """Nothing was asked for a while."""

    def send(self, frame: bytes) -> None:
        self.sock.sendall(framed(frame))

    def _run(self) -> None:
        try:
            while True:
                while not select.select([self.sock], [], [], 0.03)[0]:
                    self.when_idle()
                frame = self._exactly(int.from_bytes(self._exactly(4), "big"))
                compound, offset, path = [], 0, ""
                while True:
                    [command] = struct.unpack_from("<H", frame, offset + 12)
                    [following] = struct.unpack_from("<I", frame, offset + 20)
                    [message_id] = struct.unpack_from("<Q", frame, offset + 24)
                    length = 0
                    if command == wire.QUERY_DIRECTORY:
                        [length] = struct.unpack_from("<I", frame, offset + 64 + 28)
                    elif command == wire.CREATE:
                        start, size = struct.unpack_from("<HH", frame, offset + 64 + 44)
                        path = frame[offset + start : offset + start + size].decode("utf-16-le")
                    compound.append(Asked(command, message_id, length))
                    if not following:
                        break
                    offset += following
                self.answer_to(compound, path)
        except (OSError, EOFError, ValueError):  # a socket that the test has closed has no descriptor
            pass

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self.sock.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


class EndlessServer(HostileServer):
    """Answers CREATE and CLOSE, and QUERY_DIRECTORY with one more buffer of up to 500 entries each time.

    Of `files` and `folders` one directory has no end; with `again` it is the same entries over and over; in a `tree`
    each directory ends, and holds more directories; in a `chain` each holds one more.
    """

    def __init__(self, sock: socket.socket, kind: str) -> None:
        self.kind, self.answered = kind, 0
        super().__init__(sock)

    def answer_to(self, compound: list[Asked], path: str) -> None:
        answers = []
        for number, asked in enumerate(compound):
            ends = self.kind in {"tree", "chain"} and number > 1 and asked.command == wire.QUERY_DIRECTORY
            body, status = (NO_MORE, Status.NO_MORE_FILES) if ends else (self._body(asked), 0)
            answers.append(answer(asked, body, status=status, more=number < len(compound) - 1))
        self.send(b"".join(answers))

    def _body(self, asked: Asked) -> bytes:
        if asked.command == wire.CREATE:
            return CREATED
        if asked.command == wire.CLOSE:
            return CLOSED
        self.answered += 1
        return listed(self._entries(min(500, asked.length // 110)))

    def _entries(self, count: int) -> bytes:
        names = [f"{0 if self.kind == 'again' else self.answered:08d}-{number:04d}.mp4" for number in range(count)]
        folders = {"folders": 500, "tree": 250, "chain": 1}.get(self.kind, 0)
        if self.kind == "chain":
            names[0] = "c" * 255
        return linked(
            [
                entry(name.encode("utf-16-le"), attributes=0x10 if number < folders else 0x20)
                for number, name in enumerate(names)
            ]
        )


class HoardingServer(HostileServer):
    """A root with 40 folders, each with as many entries as one answer holds; it answers as late and as much as it can.

    `order`: nothing of the first folder it was asked for until it is asked for nothing more, and the others the newest
    first. `parts`: of all folders everything but the answer to CLOSE, until it is asked for nothing more. `names`: as
    `order`, and the entries are folders with long names, which are empty.
    """

    FOLDERS = 40

    def __init__(self, sock: socket.socket, kind: str) -> None:
        self.kind = kind
        self.kept: deque[tuple[list[Asked], str]] = deque()
        self.parts: list[Asked] = []
        self.most_kept = self.most_parts = 0
        self.asked: list[str] = []
        length = 40 if kind == "names" else 4
        names = [f"{number:0{length}d}" for number in range((256 * 1024 - 100) // (64 + 2 * length))]
        self.entries = linked(
            [entry(name.encode("utf-16-le"), attributes=0x10 if kind == "names" else 0x20) for name in names]
        )
        self.count = len(names)
        self.root = linked([entry(f"{n:02d}".encode("utf-16-le"), attributes=0x10) for n in range(self.FOLDERS)])
        super().__init__(sock)

    def answer_to(self, compound: list[Asked], path: str) -> None:
        self.asked.append(path)
        if not path or "\\" in path:
            self._tell(compound, path)
        elif self.kind == "parts":
            self._tell(compound[:-1], path)
            self.parts.append(compound[-1])
            self.most_parts = max(self.most_parts, len(self.parts))
        else:
            self.kept.append((compound, path))
            self.most_kept = max(self.most_kept, len(self.kept))

    def when_idle(self) -> None:
        while self.parts:
            self.send(answer(self.parts.pop(), CLOSED))
        while self.kept:
            self._tell(*self.kept.pop())

    def _tell(self, compound: list[Asked], path: str) -> None:
        shown = self.root if not path else b"" if "\\" in path else self.entries
        answers = [answer(compound[0], CREATED, more=True)]
        first, second = compound[1:3]
        if shown:
            answers.append(answer(first, listed(shown), more=True))
        else:
            answers.append(answer(first, NO_MORE, status=Status.NO_MORE_FILES, more=True))
        closes = len(compound) > 3
        answers.append(answer(second, NO_MORE, status=Status.NO_MORE_FILES, more=closes))
        if closes:
            answers.append(answer(compound[3], CLOSED))
        self.send(b"".join(answers))
