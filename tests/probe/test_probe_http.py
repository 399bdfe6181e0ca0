"""Probing through HTTP ranges: a few requests, each for a few kilobytes."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.probe.media_files import encode, inflate

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.probe import AvProber


class _Ranges(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file = Path()
    asked: list[str] = []  # noqa: RUF012 - the handler is made anew for every connection

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.asked.append(asked)
        first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
        with self.file.open("rb") as file:
            file.seek(first)
            body = file.read(last - first + 1)
        self.send_response(206)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


class HttpSource(ByteSource):
    """The least that a byte source over HTTP has to be."""

    def __init__(self, port: int, size: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        self._connection.request("GET", "/", headers={"Range": f"bytes={offset}-{offset + length - 1}"})
        return self._connection.getresponse().read()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Ranges) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


def test_a_film_of_half_a_gigabyte_behind_http_ranges(prober: AvProber, server: int, tmp_path: Path) -> None:
    film = encode(tmp_path / "a.mp4", video="libx264")
    assert inflate(film, tmp_path / "large.mp4", size=500_000_000, index_last=True)
    _Ranges.file = tmp_path / "large.mp4"
    _Ranges.asked.clear()
    with HttpSource(server, _Ranges.file.stat().st_size) as source:
        found = prober.probe(source, name="large.mp4")
    assert found.video == prober.probe(film).video
    assert len(_Ranges.asked) == 2, "head and tail"
    assert found.bytes_read == 2 * 32 * 1024
