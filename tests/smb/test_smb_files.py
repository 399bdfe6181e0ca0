"""Reading files of a share: ranges, streams, versions, and nobody locked out."""

from __future__ import annotations

import gc
import io
import random
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import smbclient

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, Snooze, SourceOfflineError, TransientError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner

Options = Any
Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

MIB = 1 << 20


@pytest.fixture
def connection(server: Server) -> Iterator[SmbConnection]:
    with server.connect() as made:
        yield made


def content_of(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def asset(connection: SmbConnection, path: str) -> MediaAsset:
    entry = connection.stat(path)
    return MediaAsset(connection.url, path.encode(), entry.size, entry.mtime_ns)


def frames(connection: SmbConnection) -> int:
    return connection.status().frames_sent


class OtherClient:
    """Another SMB client of the same share, as a camera or a person at the NAS would be."""

    def __init__(self, server: Server) -> None:
        self.options = {"username": "mediatest", "password": "Secr3t!-do-not-show", "port": server.port}
        self.cache: dict[str, Any] = {}
        self.base = r"\\127.0.0.1\media"

    def open(self, name: str, mode: str) -> Options:
        return smbclient.open_file(
            rf"{self.base}\{name}", mode=mode, share_access="rwd", connection_cache=self.cache, **self.options
        )

    def remove(self, name: str) -> None:
        smbclient.remove(rf"{self.base}\{name}", connection_cache=self.cache, **self.options)

    def rename(self, old: str, new: str) -> None:
        smbclient.rename(rf"{self.base}\{old}", rf"{self.base}\{new}", connection_cache=self.cache, **self.options)

    def close(self) -> None:
        smbclient.reset_connection_cache(fail_on_error=False, connection_cache=self.cache)


@pytest.fixture
def other(server: Server) -> Iterator[OtherClient]:
    client = OtherClient(server)
    yield client
    client.close()


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 65_537, MIB, MIB + 65_536, MIB + 65_537, 5 * MIB + 3])
def test_a_file_of_any_length_is_read_whole(server: Server, connection: SmbConnection, length: int) -> None:
    content = content_of(length)
    (server.share / "f.bin").write_bytes(content)
    with connection.open("f.bin") as file:
        assert file.size == length
        assert file.read() == content
        assert file.read() == b""
        assert file.read_at(0, length + 10) == content
    assert connection.read_range("f.bin", 0, length + 5) == content
    assert connection.read_partial("f.bin") == content[: 512 * 1024]


@pytest.mark.parametrize("fast_path", [True, False])
def test_reads_and_seeks_in_any_order_give_what_a_local_file_gives(server: Server, fast_path: bool) -> None:
    content = content_of(6 * MIB + 17)
    (server.share / "f.bin").write_bytes(content)
    local, draw = io.BytesIO(content), random.Random(7)
    with server.connect(fast_path=fast_path) as connection, connection.open("f.bin") as file:
        for _ in range(150 if fast_path else 40):
            if draw.random() < 0.4:
                position = draw.randrange(len(content) + 1000)
                assert file.seek(position) == local.seek(position)
            length = draw.choice([1, 100, 4096, 70_000, MIB, 3 * MIB])
            assert file.read(length) == local.read(length)
            assert file.tell() == local.tell()
        ranges = [(draw.randrange(len(content)), draw.choice([1, 1000, 2 * MIB])) for _ in range(8)]
        assert list(file.read_many(ranges)) == [content[offset : offset + length] for offset, length in ranges]


def test_a_head_and_a_look_cost_one_frame(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(content_of(MIB))
    resolver, found = SmbMediaResolver(connection), asset(connection, "f.mp4")
    for action in (
        lambda: connection.stat("f.mp4"),
        lambda: connection.read_partial("f.mp4"),
        lambda: connection.read_range("f.mp4", 100, MIB),
        lambda: resolver.resolve_for_upload(found, cancel=CancelToken()),
        lambda: resolver.stat([found], cancel=CancelToken()),
    ):
        before = frames(connection)
        action()
        assert frames(connection) - before == 1


def test_a_file_that_another_client_writes_is_snoozed_without_an_extra_frame(
    server: Server, connection: SmbConnection, other: OtherClient
) -> None:
    (server.share / "f.mp4").write_bytes(b"half of it")
    found = asset(connection, "f.mp4")
    resolver = SmbMediaResolver(connection)
    with other.open("f.mp4", "r+b"):
        for action in (
            lambda: connection.read_partial("f.mp4"),
            lambda: resolver.resolve_for_upload(found, cancel=CancelToken()),
        ):
            before = frames(connection)
            with pytest.raises(Snooze):
                action()
            assert frames(connection) - before == 1
        # A longer open shares everything: it sees the file, and keeps nobody out.
        assert connection.read_range("f.mp4", 0, 4) == b"half"
    assert resolver.resolve_for_upload(found, cancel=CancelToken()).open().read() == b"half of it"


def test_nobody_is_locked_out_while_a_file_is_read(server: Server, other: OtherClient) -> None:
    connection = server.connect(connections=1)
    content = content_of(3 * MIB)
    for name in ("write.bin", "rename.bin", "remove.bin"):
        (server.share / name).write_bytes(content)
    files = [connection.open(name) for name in ("write.bin", "rename.bin", "remove.bin")]
    assert all(file.read(10) == content[:10] for file in files)
    with other.open("write.bin", "r+b") as writer:
        writer.write(content[:1])
    other.rename("rename.bin", "renamed.bin")
    other.remove("remove.bin")
    assert all(file.read() == content[10:] for file in files)
    for file in files:
        file.close()
    # The server answers in order: behind this the files are closed, and what was removed is gone.
    connection.stat("")
    connection.close()
    assert not (server.share / "remove.bin").exists()
    assert (server.share / "renamed.bin").exists()


def open_files(server: Server) -> list[str]:
    command = ["smbstatus", "-L", "-s", server.config]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(server.share) in line]


def test_no_handle_is_left_open(server: Server, connection: SmbConnection) -> None:
    for number in range(20):
        (server.share / f"{number}.mp4").write_bytes(b"x" * 200_000)
    for number in range(2_600):
        (server.share / f"{number}-{'y' * 60}.jpg").write_bytes(b"y")
    list(SmbMediaScanner(connection).scan_assets(cancel=CancelToken()))
    for number in range(20):
        connection.read_partial(f"{number}.mp4")
        with connection.open(f"{number}.mp4") as file:
            file.read(10)
    forgotten = connection.open("1.mp4")
    forgotten.read(10)
    del forgotten
    gc.collect()
    with connection.open("2.mp4"):
        assert [line for line in open_files(server) if "2.mp4" in line], "smbstatus shows what is open"
    connection.stat("")
    assert open_files(server) == []


def test_a_file_that_grows_is_read_as_long_as_it_was(server: Server, connection: SmbConnection) -> None:
    content = content_of(2 * MIB)
    (server.share / "f.bin").write_bytes(content)
    with connection.open("f.bin") as file:
        assert file.read(100) == content[:100]
        with (server.share / "f.bin").open("ab") as grow:
            grow.write(b"more" * 1000)
        assert file.read() == content[100:]
        assert file.size == len(content)


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_file_that_becomes_shorter_has_changed(server: Server, fast_path: bool) -> None:
    (server.share / "f.bin").write_bytes(content_of(40 * MIB))
    with server.connect(fast_path=fast_path) as connection, connection.open("f.bin") as file:
        file.read(100)
        with (server.share / "f.bin").open("r+b") as shrink:
            shrink.truncate(50_000)
        with pytest.raises(AssetChanged):
            file.read()


def test_another_version_is_said_to_be_one(server: Server, connection: SmbConnection) -> None:
    path = server.share / "f.mp4"
    path.write_bytes(b"one")
    resolver, found = SmbMediaResolver(connection), asset(connection, "f.mp4")
    media = resolver.resolve_for_upload(found, cancel=CancelToken())
    path.write_bytes(b"three")
    with pytest.raises(AssetChanged):
        media.open()
    with pytest.raises(AssetChanged):
        resolver.resolve_for_upload(found, cancel=CancelToken())
    [stat] = resolver.stat([found], cancel=CancelToken())
    assert stat is not None
    assert stat.fingerprint == asset(connection, "f.mp4").fingerprint != found.fingerprint


def test_every_open_gives_a_fresh_stream_and_ranges_end_where_they_should(
    server: Server, connection: SmbConnection
) -> None:
    content = content_of(2 * MIB)
    (server.share / "f.mp4").write_bytes(content)
    media = SmbMediaResolver(connection).resolve_for_upload(asset(connection, "f.mp4"), cancel=CancelToken())
    assert media.mime_type == "video/mp4"
    with (
        media.open() as one,
        media.open() as two,
        media.open_range(5, 70_000) as part,
        media.open_range(9, 10**9) as tail,
    ):
        assert one.read(1000) == two.read(1000) == content[:1000]
        assert part.read() == content[5:70_005]
        assert tail.read() == content[9:]
        assert one.read() == content[1000:]


def test_what_is_gone_is_gone_only_where_its_folder_can_be_listed(server: Server) -> None:
    for name in ("a/f.mp4", "closed/g.mp4"):
        (server.share / name).parent.mkdir()
        (server.share / name).write_bytes(b"x")
    with server.connect(share="plain") as connection:
        resolver = SmbMediaResolver(connection)
        here, closed = asset(connection, "a/f.mp4"), asset(connection, "closed/g.mp4")
        ghost = MediaAsset(connection.url, b"no/such/folder/h.mp4", 1, 1)
        (server.share / "a/f.mp4").unlink()
        (server.share / "closed").chmod(0)
        try:
            assert list(resolver.stat([here, ghost], cancel=CancelToken())) == [None, None]
            with pytest.raises(AssetNotFound):
                resolver.resolve_for_upload(here, cancel=CancelToken())
            for look in (resolver.stat, lambda assets, cancel: resolver.resolve_for_upload(assets[0], cancel=cancel)):
                with pytest.raises(TransientError):
                    look([closed], cancel=CancelToken())
        finally:
            (server.share / "closed").chmod(0o755)


def test_a_directory_in_the_place_of_a_file_is_no_file(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(b"x")
    resolver, found = SmbMediaResolver(connection), asset(connection, "f.mp4")
    (server.share / "f.mp4").unlink()
    (server.share / "f.mp4").mkdir()
    assert list(resolver.stat([found], cancel=CancelToken())) == [None]
    with pytest.raises((AssetNotFound, TransientError)):
        resolver.resolve_for_upload(found, cancel=CancelToken())


def test_a_share_that_lost_its_disk_says_offline_not_gone(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(b"x")
    resolver, found = SmbMediaResolver(connection), asset(connection, "f.mp4")
    aside: Path = server.root / "aside"
    server.share.rename(aside)
    try:
        connection.close()
        with pytest.raises(SourceOfflineError):
            resolver.stat([found], cancel=CancelToken())
        with pytest.raises(SourceOfflineError):
            resolver.resolve_for_upload(found, cancel=CancelToken())
    finally:
        aside.rename(server.share)


def test_many_looks_at_once_come_in_order(server: Server, connection: SmbConnection) -> None:
    for number in range(0, 300, 2):
        (server.share / f"{number:03d}.mp4").write_bytes(b"x" * number)
    assets = [MediaAsset("s", f"{number:03d}.mp4".encode(), number, 0) for number in range(300)]
    stats = SmbMediaResolver(connection).stat(assets, cancel=CancelToken())
    assert [None if stat is None else stat.size for stat in stats] == [n if n % 2 == 0 else None for n in range(300)]


def test_threads_share_two_connections_with_a_scan(server: Server, connection: SmbConnection) -> None:
    contents = {f"{number}.bin": content_of(3 * MIB + number, number) for number in range(6)}
    for name, content in contents.items():
        (server.share / name).write_bytes(content)
    for number in range(200):
        (server.share / "tree" / str(number)).mkdir(parents=True)
        (server.share / "tree" / str(number) / "f.mp4").write_bytes(b"x")
    start = threading.Barrier(8)

    def read(name: str) -> bool:
        start.wait()
        with connection.open(name) as file:
            return b"".join(iter(lambda: file.read(100_000), b"")) == contents[name]

    def scan() -> int:
        start.wait()
        scanner = SmbMediaScanner(connection, "tree")
        return sum(len(page.rows) for page in scanner.scan_assets(cancel=CancelToken()))

    with ThreadPoolExecutor(8) as threads:
        scans = [threads.submit(scan) for _ in range(2)]
        reads = [threads.submit(read, name) for name in contents]
        assert [job.result(timeout=60) for job in scans] == [200, 200]
        assert all(job.result(timeout=60) for job in reads)
    assert connection.status().connections <= 2


def test_heads_of_many_files_cost_one_frame_each_and_an_unreadable_one_stops_none(
    server: Server, connection: SmbConnection, other: OtherClient
) -> None:
    for number in range(300):
        (server.share / f"{number:03d}.mp4").write_bytes(content_of(number, number))
    paths = [f"{number:03d}.mp4" for number in range(300)]
    before = frames(connection)
    assert list(connection.read_heads(paths, 200)) == [content_of(number, number)[:200] for number in range(300)]
    assert frames(connection) - before == 300
    with other.open("002.mp4", "r+b"):
        found = list(connection.read_heads(["001.mp4", "002.mp4", "gone.mp4", "003.mp4"]))
    assert [type(one) for one in found] == [bytes, Snooze, AssetNotFound, bytes]
