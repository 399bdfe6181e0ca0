"""A small server that stores what is PUT to it, and one that speaks tus: to try the uploads without one of your own."""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote


class _Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytearray]
    lengths: dict[str, int]
    numbers = itertools.count(1)

    def do_PUT(self) -> None:
        self.objects[unquote(self.path)] = bytearray(self._body())
        self._say(201)

    def do_OPTIONS(self) -> None:
        self._say(204, **{"Tus-Version": "1.0.0", "Tus-Extension": "creation"})

    def do_POST(self) -> None:
        path = f"{self.path}/{next(self.numbers)}"
        self.objects[path], self.lengths[path] = bytearray(), int(self.headers["Upload-Length"])
        self._say(201, Location=path)

    def do_HEAD(self) -> None:
        offset = self.objects.get(self.path)
        self._say(404 if offset is None else 200, **{"Upload-Offset": str(len(offset or b""))})

    def do_PATCH(self) -> None:
        self.objects[self.path] += self._body()
        self._say(204, **{"Upload-Offset": str(len(self.objects[self.path]))})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", "Tus-Resumable": "1.0.0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def local_receiver(objects: dict[str, bytearray]) -> Iterator[str]:
    """Listen on a free port of this machine, keep what comes in `objects`, and give the URL."""
    handler = type("Receiver", (_Receiver,), {"objects": objects, "lengths": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
