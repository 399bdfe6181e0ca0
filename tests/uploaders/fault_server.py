"""An HTTP server that keeps what it is sent, proves what it stores, and does wrong where a test asks for it.

    with FaultServer([Trouble("PUT", status=503, headers={"Retry-After": "7"})]) as server: …

At the end of the block every trouble must have happened.
"""

from __future__ import annotations

import base64
import contextlib
import email.message
import email.policy
import hashlib
import http.server
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import attrs

HANG_GUARD = 30.0


@attrs.frozen(kw_only=True)
class Trouble:
    """What goes wrong with the n-th request of a method."""

    method: str = attrs.field(default="PUT", kw_only=False)
    after: int | None = None
    """Bytes of the body that are read first; None: all of it."""
    status: int | None = None
    """Answer with it, and store nothing."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    reset: bool = False
    """Cut the connection."""
    silent: bool = False
    """Say nothing, and take nothing more."""
    stores: bool = False
    """Store what came before that happens."""
    drip: bool = False
    """Answer byte by byte, with a pause before each."""
    damage: bool = False
    """Store other bytes, and answer as if nothing was wrong."""
    expire: str | None = None
    """This token is no longer good once the bytes of `after` have come; the request goes on as usual."""
    calls: Callable[[], object] | None = None
    """Called at that moment."""


@attrs.frozen
class Seen:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    received: int
    """Bytes of its body."""
    connection: int


@attrs.define
class Stored:
    data: bytes
    etag: str
    sha256: str


class FaultServer:
    """Listens on a free port of 127.0.0.1.

    Args:
        troubles: happen to requests of their method, in this order.
        tokens: bearer tokens that are good; None: nobody is asked.
        digests: name the SHA-256 of what is stored in `Repr-Digest`, and refuse bodies that are not what they announce.
        conditions: know If-Match and If-None-Match.
        tls: speak TLS, as this says.
    """

    handler: type[http.server.BaseHTTPRequestHandler]

    def __init__(
        self,
        troubles: Iterable[Trouble] = (),
        *,
        tokens: set[str] | None = None,
        digests: bool = True,
        conditions: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.troubles = list(troubles)
        self.tokens = tokens
        self.digests = digests
        self.conditions = conditions
        self.objects: dict[str, Stored] = {}
        self.seen: list[Seen] = []
        self.keys: dict[str, str] = {}
        self.form: dict[Any, Any] = {}
        """The fields of the latest form."""
        self.connections: list[socket.socket] = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.numbers = itertools.count(1)
        # A class for each server, as http.server makes a handler for each connection.
        handler = type("Handler", (self.handler,), {"world": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            # The handshake is made by the thread of the connection.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )  # fmt: skip
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def bodies(self) -> list[bytes]:
        with self.lock:
            return [stored.data for stored in self.objects.values()]

    def requests(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]

    def put(self, path: str, data: bytes) -> Stored:
        """Store an object, as a stranger does."""
        stored = Stored(data, f'"{next(self.numbers)}"', hashlib.sha256(data).hexdigest())
        with self.lock:
            self.objects[path] = stored
        return stored

    def close_idle(self) -> None:
        """Close every connection that waits for its next request."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def trouble(self, method: str) -> Trouble | None:
        with self.lock:
            found = next((trouble for trouble in self.troubles if trouble.method == method), None)
            if found is not None:
                self.troubles.remove(found)
            return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(HANG_GUARD)
        if error is None:
            assert not self.troubles, f"these troubles never happened: {self.troubles}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: FaultServer

    def do_PUT(self) -> None:
        self.take()

    def do_POST(self) -> None:
        self.take()

    def do_HEAD(self) -> None:
        self.show()

    def do_GET(self) -> None:
        self.show()

    def log_message(self, *_: Any) -> None:
        """Be quiet."""

    def handle(self) -> None:
        self.world.connections.append(self.connection)
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def take(self) -> None:  # noqa: C901 - one trouble after the other, in the order they may happen
        world, length = self.world, int(self.headers["Content-Length"])
        trouble = world.trouble(self.command)
        first = length if trouble is None or trouble.after is None else min(trouble.after, length)
        data = self.read(first)
        if trouble is not None:
            if trouble.calls is not None:
                trouble.calls()
            if trouble.expire is not None:
                assert world.tokens is not None
                world.tokens.discard(trouble.expire)
                data += self.read(length - first)
            elif not trouble.damage:
                self.note(len(data))
                return self.suffer(trouble, data, whole=len(data) == length)
        self.note(len(data))
        if len(data) != length:
            return None
        if not self.authorised():
            return self.say(401)
        if not self.conditions_hold():
            return self.say(412)
        announced = self.headers["Repr-Digest"]
        if world.digests and announced and announced != _digest(hashlib.sha256(data).hexdigest()):
            return self.say(400)
        if trouble is not None and trouble.damage:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path, data = self.place(data)
        stored = world.put(path, data)
        headers = {"ETag": stored.etag}
        if self.command == "POST":
            headers["Location"] = path
        if world.digests:
            headers["Repr-Digest"] = _digest(stored.sha256)
        return self.say(201, headers)

    def suffer(self, trouble: Trouble, data: bytes, *, whole: bool) -> None:
        self.close_connection = True
        if trouble.stores:
            self.keep(data, whole=whole)
        if trouble.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif trouble.drip:
            for byte in b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n" * 100:
                if self.world.released.wait(0.05):
                    return
                self.wfile.write(bytes([byte]))
        elif trouble.silent:
            self.world.released.wait(HANG_GUARD)
        else:
            assert trouble.status is not None
            self.say(trouble.status, {"Connection": "close", **trouble.headers}, trouble.body)
            if not whole:
                # Drained, as servers do: whoever sends on without listening is not told so by a broken pipe.
                self.read(int(self.headers["Content-Length"]) - len(data))

    def keep(self, data: bytes, *, whole: bool) -> None:
        """What becomes of bytes that came before a trouble."""
        assert whole
        self.world.put(*self.place(data))

    def place(self, data: bytes) -> tuple[str, bytes]:
        """Where a body goes. A form has the file in it, and a key that was seen before keeps its place."""
        if self.command == "PUT":
            return self.path, data
        kind = self.headers["Content-Type"] or ""
        if kind.startswith("multipart/form-data"):
            parts = list(_parts(kind, data))
            self.world.form = {part.get_param("name", header="content-disposition"): part for part in parts}
            file = next(part for part in parts if part.get_filename() is not None)
            content = file.get_payload(decode=True)
            assert isinstance(content, bytes)
            data = content
        key = self.headers["Idempotency-Key"] or str(next(self.world.numbers))
        return self.world.keys.setdefault(key, f"/objects/{len(self.world.keys) + 1}"), data

    def show(self) -> None:
        trouble = self.world.trouble(self.command)
        self.note(0)
        if trouble is not None:
            return self.suffer(trouble, b"", whole=True)
        if not self.authorised():
            return self.say(401)
        stored = self.world.objects.get(self.path)
        if stored is None:
            return self.say(404)
        headers = {"ETag": stored.etag}
        if self.world.digests:
            headers["Repr-Digest"] = _digest(stored.sha256)
        return self.say(200, headers, stored.data)

    def conditions_hold(self) -> bool:
        stored = self.world.objects.get(self.path)
        if not self.world.conditions:
            return True
        if self.headers["If-None-Match"] == "*" and stored is not None:
            return False
        wanted = self.headers["If-Match"]
        return wanted is None or (stored is not None and stored.etag == wanted)

    def authorised(self) -> bool:
        tokens = self.world.tokens
        return tokens is None or (self.headers["Authorization"] or "").removeprefix("Bearer ") in tokens

    def read(self, length: int) -> bytes:
        parts = []
        while length and (part := self.rfile.read1(min(length, 1 << 16))):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def note(self, received: int) -> None:
        seen = Seen(self.command, self.path, dict(self.headers.items()), received, self.client_address[1])
        with self.world.lock:
            self.world.seen.append(seen)

    def say(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


FaultServer.handler = Handler


def _parts(kind: str, data: bytes) -> Iterator[email.message.EmailMessage]:
    """Of a form (RFC 7578). The parser of the standard library reads the headers; for megabytes it takes seconds."""
    boundary = b"--" + kind.partition("boundary=")[2].encode()
    before, *parts, after = (b"\r\n" + data).split(b"\r\n" + boundary)
    assert (before, after) == (b"", b"--\r\n")
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        message = email.message_from_bytes(head.removeprefix(b"\r\n"), policy=email.policy.HTTP)
        message.set_payload(body)
        yield message


def _digest(sha256: str) -> str:
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
