"""Probing through HTTP ranges: a few requests, each for a few kilobytes, and every answer understood."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from tests.probe.media_files import encode, inflate

from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    MediaWatchError,
    PermanentError,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.http import HttpByteSource
from media_watch_tasks.probe import AvProber

DATA = bytes(range(256)) * 1_000


@attrs.define
class Place:
    """What the server serves, and how it behaves."""

    file: Path
    tag: str | None = '"one"'
    status: int | None = None
    ranges: bool = True
    hang_up: int = 0
    """So many answers are cut off by closing the connection."""
    lie: str | None = None
    """The header Content-Range."""
    asked: list[dict[str, str]] = attrs.field(factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/film.mp4?signature=secret"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    place: Place

    def do_GET(self) -> None:
        place = self.place
        place.asked.append({"target": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        if place.hang_up:
            place.hang_up -= 1
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        size = place.file.stat().st_size
        first, last = (int(number) for number in self.headers["Range"].removeprefix("bytes=").split("-"))
        status = place.status or (206 if place.ranges else 200)
        if self.headers.get("If-Match") not in {None, place.tag}:
            status = 412
        if first >= size:
            status = 416
        with place.file.open("rb") as file:
            file.seek(first)
            body = file.read(last - first + 1) if status == 206 else b""
        self.send_response(status)
        if status in {206, 416}:
            span = f"{first}-{first + len(body) - 1}" if status == 206 else "*"
            self.send_header("Content-Range", place.lie or f"bytes {span}/{size}")
        if place.tag:
            self.send_header("ETag", place.tag)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    path = tmp_path / "served"
    path.write_bytes(DATA)
    served = Place(path)
    handler = type("Handler", (_Handler,), {"place": served})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        served.port = listening.server_port
        yield served
        listening.shutdown()


def test_a_film_of_half_a_gigabyte_behind_http_ranges(prober: AvProber, place: Place, tmp_path: Path) -> None:
    film = encode(tmp_path / "a.mp4", video="libx264")
    place.file = tmp_path / "large.mp4"
    assert inflate(film, place.file, size=500_000_000, index_last=True)
    with HttpByteSource(place.url) as source:
        found = prober.probe(source, name="large.mp4")
    assert found.video == prober.probe(film).video
    assert len(place.asked) == 2, "the head, which comes with the size, and the tail"
    assert found.bytes_read == 2 * 32 * 1024


def test_ranges_hold_their_bytes(place: Place) -> None:
    with HttpByteSource(place.url, headers={"Authorization": "Bearer x"}) as source:
        assert source.size == len(DATA)
        for offset, length in ((0, 10), (100_000, 5), (len(DATA) - 3, 50), (len(DATA), 5), (70_000, 0)):
            assert source.read_at(offset, length) == DATA[offset : offset + length]
        assert list(source.read_many([(200_000, 3), (0, 2)])) == [DATA[200_000:200_003], DATA[:2]]
    assert {each["authorization"] for each in place.asked} == {"Bearer x"}
    assert {each["target"] for each in place.asked} == {"/film.mp4?signature=secret"}
    assert {each["accept-encoding"] for each in place.asked} == {"identity"}
    with HttpByteSource(place.url) as source, pytest.raises(ValueError, match="range"):
        source.read_at(-1, 1)


def test_an_empty_file_is_empty(place: Place) -> None:
    place.file.write_bytes(b"")
    with HttpByteSource(place.url) as source:
        assert (source.size, source.read_at(0, 10)) == (0, b"")


def test_a_connection_that_the_server_closed_is_made_anew_once(place: Place) -> None:
    with HttpByteSource(place.url) as source:
        place.hang_up = 1
        assert source.read_at(100_000, 5) == DATA[100_000:100_005]
        place.hang_up = 2
        with pytest.raises(TransientError):
            source.read_at(100_000, 5)
        assert place.hang_up == 0, "the faults were injected"
        assert source.read_at(100_000, 5) == DATA[100_000:100_005]


def test_another_version_is_noticed_by_its_tag_and_by_its_size(place: Place) -> None:
    with HttpByteSource(place.url) as source:
        place.tag = '"two"'
        with pytest.raises(AssetChanged):
            source.read_at(100_000, 5)
    place.tag = 'W/"weak"'
    with HttpByteSource(place.url) as source:
        place.file.write_bytes(DATA + b"more")
        with pytest.raises(AssetChanged):
            source.read_at(100_000, 5)
    assert "if-match" not in place.asked[-1]


STATUSES: list[tuple[int, type[MediaWatchError]]] = [
    (404, AssetNotFound),
    (410, AssetNotFound),
    (401, AuthenticationRequiredError),
    (403, PermanentError),
    (302, PermanentError),
    (429, TransientError),
    (503, TransientError),
]


@pytest.mark.parametrize(("status", "error"), STATUSES)
def test_every_status_has_its_class_and_no_message_a_signature(
    place: Place, status: int, error: type[MediaWatchError]
) -> None:
    place.status = status
    with pytest.raises(error) as raised:
        HttpByteSource(place.url)
    assert str(status) in str(raised.value)
    assert "secret" not in str(raised.value)
    assert len(place.asked) == 1, "no redirect is followed"


def test_a_server_without_ranges_is_refused_before_it_sends_the_whole_file(place: Place) -> None:
    place.ranges = False
    with pytest.raises(PermanentError, match="knows no ranges"):
        HttpByteSource(place.url)


@pytest.mark.parametrize("lie", ["nothing", "bytes 5-9/256000"])
def test_an_answer_to_another_question_is_refused(place: Place, lie: str) -> None:
    place.lie = lie
    with pytest.raises(PermanentError, match="something else"):
        HttpByteSource(place.url)


def test_a_server_that_is_not_there_is_offline() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SourceOfflineError):
        HttpByteSource(f"http://127.0.0.1:{port}/a.mp4")


@pytest.mark.parametrize("url", ["ftp://host/a", "a.mp4", "http:///a", "https://user:password@host/a"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        HttpByteSource(url)
    assert "password" not in str(raised.value)
