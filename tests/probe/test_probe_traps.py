"""Known traps of FFmpeg and PyAV, each shown to be one and to be avoided."""

from __future__ import annotations

import http.server
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.probe.boxes_made import full_box
from tests.probe.media_files import encode, encode_silence, top_level

from media_watch_tasks.probe import AvProber, BytesSource

HANG_GUARD = 60.0


def _python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, check=False, timeout=HANG_GUARD, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def apple_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MOV with 5.1 sound in Apple's order (L, C, R, Ls, Rs, LFE), which no channel mask can name."""
    import av  # noqa: PLC0415 - the only use here

    path = tmp_path_factory.mktemp("apple") / "a.mov"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=48_000)
        sound.layout = "5.1"
        encode_silence(container, sound, seconds=0.2)
    data = path.read_bytes()
    at = data.index(b"chan") - 4
    size = struct.unpack_from(">I", data, at)[0]
    labels = b"".join(struct.pack(">II3f", label, 0, 0, 0, 0) for label in (1, 3, 2, 5, 6, 4))
    chan = full_box(b"chan", struct.pack(">III", 0, 0, 6), labels)
    grown = len(chan) - size
    data = data[:at] + chan + data[at + size :]
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"sowt"):
        place = data.rindex(kind, 0, at) - 4
        data = data[:place] + struct.pack(">I", struct.unpack_from(">I", data, place)[0] + grown) + data[place + 4 :]
    path.write_bytes(data)
    assert [kind for kind, _, _ in top_level(path)][-1] == b"moov", "nothing that an offset names has moved"
    return path


def test_a_custom_channel_layout_is_counted_and_kills_nothing(apple_order: Path) -> None:
    trap = _python(
        "import av, sys\nwith av.open(sys.argv[1]) as c:\n print(c.streams.audio[0].channels)", str(apple_order)
    )
    assert trap.returncode < 0, "PyAV no longer frees a custom layout twice: the precaution can go"
    program = """
        import gc, sys
        from media_watch_tasks.probe import AvProber
        with AvProber(isolation="none") as prober:
            for _ in range(100):
                track = prober.probe(sys.argv[1]).audio[0]
                gc.collect()
        print(track.channels, track.codec, track.layout)
    """
    done = _python(program, str(apple_order))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 pcm_s16le 6 channels (FL+FC+FR"), done.stdout


def test_a_custom_channel_layout_does_not_cost_a_worker(apple_order: Path) -> None:
    with AvProber(workers=1) as prober:
        assert [prober.probe(apple_order).audio[0].channels for _ in range(20)] == [6] * 20
        assert prober._way.pool.started == 1  # type: ignore[union-attr] # the way of worker processes


def test_a_source_that_returns_too_much_overruns_nothing(prober: AvProber, clip: Path, tmp_path: Path) -> None:
    class Generous(BytesSource):
        def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
            return [self.read_at(offset, length + 100_000) for offset, length in ranges]

    stream = encode(tmp_path / "a.ts", video="libx264", seconds=4, size=(320, 240)).read_bytes()
    for name, data in (("a.mp4", clip.read_bytes()), ("a.ts", stream * 5)):
        assert prober.probe(Generous(data), name=name) == prober.probe(BytesSource(data), name=name)


class _Counter(http.server.BaseHTTPRequestHandler):
    paths: list[str] = []  # noqa: RUF012 - the handler is made anew for every request

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Counter) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", _Counter.paths
        listening.shutdown()


def _playlists(url: str, file: Path) -> dict[str, str]:
    return {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}/seg.ts\n#EXT-X-ENDLIST\n",
        "b.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{file}\n#EXT-X-ENDLIST\n",
        "a.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}/seg.ts\n#EXT-X-ENDLIST\n",
        "a.ffconcat": f"ffconcat version 1.0\nfile '{url}/seg.mp4'\n",
        "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "a.mpd": f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}/</BaseURL></Period></MPD>',
        "a.txt": f"{url}/seg.mp4\n",
    }


@pytest.mark.parametrize("name", ["a.m3u8", "b.m3u8", "a.mp4", "a.ffconcat", "a.sdp", "a.mpd", "a.txt"])
def test_a_playlist_opens_neither_a_url_nor_a_file(
    prober: AvProber, server: tuple[str, list[str]], clip: Path, name: str
) -> None:
    url, asked = server
    before = list(asked)
    found = prober.probe_bytes(_playlists(url, clip)[name].encode(), name=name)
    assert found.error is not None
    assert found.video == ()
    assert asked == before


def test_the_playlist_is_a_trap_for_a_plain_open(server: tuple[str, list[str]]) -> None:
    url, asked = server
    before = len(asked)
    body = _playlists(url, Path("x"))["a.m3u8"]
    _python(f"import av, io\nf = io.BytesIO({body!r}.encode())\nf.name = 'a.m3u8'\nav.open(f)")
    assert len(asked) > before, "a plain open asks for nothing: the test above proves nothing"


def test_a_movie_that_refers_to_another_file_opens_it_not(
    prober: AvProber, clip: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    before = list(asked)
    data = clip.read_bytes()
    outside = full_box(b"url ", f"{url}/movie.mp4\0".encode())
    own = full_box(b"url ", flags=1)
    assert own in data
    found = prober.probe_bytes(data.replace(own, outside[: len(own)]), name="a.mov")
    assert found.video[0].codec == "h264"
    assert asked == before


@pytest.mark.parametrize("value", [b"\xff\xfe\xfa bad", "Zoë".encode("latin-1")])
def test_tags_in_another_encoding_do_no_harm(prober: AvProber, tmp_path: Path, value: bytes) -> None:
    path = encode(tmp_path / "a.mkv", audio=None, tags={"title": "X" * len(value)})
    found = prober.probe_bytes(path.read_bytes().replace(b"X" * len(value), value), name="a.mkv")
    assert found.error is None
    assert found.title is not None
    assert "\ufffd" in found.title


def test_an_endless_nesting_of_boxes_ends(prober: AvProber) -> None:
    data = b""
    for _ in range(5_000):
        data = struct.pack(">I4s", len(data) + 8, b"moov") + data
    assert (
        prober.probe_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + data, name="a.mp4").size == len(data) + 16
    )


def test_a_table_of_four_thousand_million_entries_takes_no_memory(prober: AvProber, clip: Path) -> None:
    data = clip.read_bytes()
    at = data.index(b"stsz") + 12
    patched = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    assert prober.probe_bytes(patched, name="a.mp4").size == len(data)
