"""Probing over a share: byte sources of the resolver, in as few round trips as there can be, against a real Samba."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.abc import OpensByteSources
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, SourceOfflineError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.probe import AvProber, ProbingResolver
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner
from media_watch_tasks.testing.clock import FakeClock

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:  # the makers of media files stand beside the tests of the probe room
    sys.path.insert(0, ROOT)

from tests.probe import media_files  # noqa: E402 - as above

Proxy = Any
Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

KIB = 1024


@pytest.fixture
def connection(server: Server) -> Iterator[SmbConnection]:
    with server.connect() as made:
        yield made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of H.264 and AAC with the index at the end, made large."""
    clip = media_files.encode(tmp_path_factory.mktemp("film") / "clip.mp4", video="libx264")
    film = clip.with_name("film.mp4")
    assert media_files.inflate(clip, film, size=20 << 20, index_last=True)
    return film


def asset(connection: SmbConnection, path: str) -> MediaAsset:
    entry = connection.stat(path)
    return MediaAsset(connection.url, path.encode(), entry.size, entry.mtime_ns)


def frames(connection: SmbConnection) -> int:
    return connection.status().frames_sent


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 5_000_000])
@pytest.mark.parametrize("fast_path", [True, False])
def test_a_byte_source_gives_the_ranges_of_the_file(server: Server, size: int, fast_path: bool) -> None:
    content = random.Random(1).randbytes(size)
    (server.share / "f.mp4").write_bytes(content)
    draw = random.Random(2)
    ranges = [(0, 32 * KIB), (max(size - 32 * KIB, 0), 32 * KIB), (0, size), (size, 5), (size + 100, 5)]
    ranges += [(draw.randrange(size + 1), draw.randrange(200 * KIB)) for _ in range(20)]
    with server.connect(fast_path=fast_path) as connection:
        resolver = SmbMediaResolver(connection)
        with resolver.open_byte_source(asset(connection, "f.mp4"), cancel=CancelToken()) as source:
            assert source.size == size
            assert list(source.read_many(ranges)) == [content[start : start + length] for start, length in ranges]
            assert all(source.read_at(*one) == content[one[0] : sum(one)] for one in ranges)
            with pytest.raises(ValueError, match="begins at 0"):
                source.read_at(-1, 5)


def test_opening_brings_both_ends_and_a_batch_costs_one_round_trip(server: Server, connection: SmbConnection) -> None:
    content = random.Random(1).randbytes(5_000_000)
    (server.share / "f.mp4").write_bytes(content)
    resolver, found = SmbMediaResolver(connection), asset(connection, "f.mp4")
    before = frames(connection)
    source = resolver.open_byte_source(found, cancel=CancelToken())
    first = source.read_many([(0, 32 * KIB), (len(content) - 32 * KIB, 32 * KIB)])
    assert frames(connection) - before == 1
    assert list(first) == [content[: 32 * KIB], content[-32 * KIB :]]
    ranges = [(number * 500_000, 16 * KIB) for number in range(1, 9)]
    order: list[str] = []

    class Watched(type(connection.session.pool)):  # type: ignore[misc] # the class of the pool, whatever it is
        def post(self, *args: Any, **options: Any) -> Any:
            order.append("asked")
            return super().post(*args, **options)

        def finish(self, *args: Any, **options: Any) -> Any:
            order.append("awaited")
            return super().finish(*args, **options)

    connection.session.pool.__class__ = Watched
    assert list(source.read_many(ranges)) == [content[start : start + length] for start, length in ranges]
    assert order == ["asked"] * 8 + ["awaited"] * 8
    source.close()


def test_a_version_that_is_not_there_is_said_so_at_the_opening(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(b"one")
    resolver, found = SmbMediaResolver(connection), asset(connection, "f.mp4")
    assert isinstance(resolver, OpensByteSources)
    (server.share / "f.mp4").write_bytes(b"another")
    with pytest.raises(AssetChanged):
        resolver.open_byte_source(found, cancel=CancelToken())
    (server.share / "f.mp4").unlink()
    with pytest.raises(AssetNotFound):
        resolver.open_byte_source(found, cancel=CancelToken())
    (server.share / "f.mp4").mkdir()
    with pytest.raises(AssetNotFound):
        resolver.open_byte_source(found, cancel=CancelToken())


def test_a_byte_source_goes_on_after_a_lost_connection(server: Server, proxy: Proxy) -> None:
    content = random.Random(1).randbytes(5_000_000)
    (server.share / "f.mp4").write_bytes(content)
    with server.connect(port=proxy.port, connections=1) as connection:
        source = SmbMediaResolver(connection).open_byte_source(asset(connection, "f.mp4"), cancel=CancelToken())
        proxy.cut()
        assert source.read_at(1_000_000, 100) == content[1_000_000:1_000_100]
        assert connection.status().logins == 2
        source.close()


def test_a_film_is_described_over_a_share_as_from_a_local_file(
    server: Server, connection: SmbConnection, film: Path
) -> None:
    target = server.share / "films" / "film.mp4"
    target.parent.mkdir()
    target.write_bytes(film.read_bytes())
    [found] = [one for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()) for one in page.assets]
    with AvProber(workers=1) as prober:
        local = prober.probe(film)
        before = frames(connection)
        media = ProbingResolver(SmbMediaResolver(connection), prober).resolve_for_upload(found, cancel=CancelToken())
    assert media.metadata is not None
    assert media.metadata.error is None
    assert media.metadata.video == local.video
    assert media.metadata.video[0].codec == "h264"
    assert media.metadata.audio == local.audio
    assert media.metadata.duration == local.duration == pytest.approx(2, abs=0.1)
    # The look, the opening that brings both ends, and the closing, which nobody waits for.
    assert media.metadata.round_trips == 1
    assert frames(connection) - before == 3


def test_a_stream_of_a_share_can_be_probed_too(server: Server, connection: SmbConnection, film: Path) -> None:
    (server.share / "film.mp4").write_bytes(film.read_bytes())
    with AvProber(workers=1) as prober, connection.open("film.mp4") as stream:
        found = prober.probe(stream, name="film.mp4")
        assert stream.tell() == 0
    assert (found.error, found.video[0].codec) == (None, "h264")


def test_what_is_no_film_costs_the_description_and_not_the_upload(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(b"this is no film" * 10_000)
    with AvProber(workers=1) as prober:
        media = ProbingResolver(SmbMediaResolver(connection), prober).resolve_for_upload(
            asset(connection, "f.mp4"), cancel=CancelToken()
        )
    assert media.metadata is not None
    assert media.metadata.error is not None
    assert media.open().read() == b"this is no film" * 10_000


def test_a_server_lost_during_a_probe_is_offline_and_no_bad_film(server: Server, film: Path) -> None:
    (server.share / "film.mp4").write_bytes(film.read_bytes())

    class Lost(SmbMediaResolver):
        def open_byte_source(self, asset: MediaAsset, *, cancel: CancelToken) -> Any:
            source = super().open_byte_source(asset, cancel=cancel)
            source._file._ends.clear()  # so that the probe has to ask
            server.kill()
            return source

    with server.connect(clock=FakeClock()) as connection, AvProber(workers=1) as prober:
        found = asset(connection, "film.mp4")
        with pytest.raises(SourceOfflineError):
            ProbingResolver(Lost(connection), prober).resolve_for_upload(found, cancel=CancelToken())
    server.start()
