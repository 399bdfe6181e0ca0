"""Renaming, moving and deleting files of a share: what after-upload actions rest on."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import smbclient

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetNotFound, OperationCancelled, Snooze, SourceOfflineError, TransientError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver
from media_watch_tasks.smb.wire import SET_INFO

Proxy = Any
Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def connection(server: Server, request: pytest.FixtureRequest) -> Iterator[SmbConnection]:
    with server.connect(fast_path=request.param) as made:
        yield made


def asset(path: str) -> MediaAsset:
    return MediaAsset("s", path.encode(), 1, 1)


def test_a_file_is_set_aside_and_put_back(server: Server, connection: SmbConnection) -> None:
    (server.share / "a").mkdir()
    (server.share / "a" / "日本.mp4").write_bytes(b"film")
    resolver = SmbMediaResolver(connection, "a")
    resolver.set_aside(asset("日本.mp4"), b".x", cancel=CancelToken())
    assert [entry.name for entry in (server.share / "a").iterdir()] == [".x"]
    assert resolver.put_back(b".x", "日本.mp4".encode(), cancel=CancelToken()) is True
    assert (server.share / "a" / "日本.mp4").read_bytes() == b"film"


def test_nothing_is_overwritten(server: Server, connection: SmbConnection) -> None:
    for name, content in [("aside.mp4", b"old"), ("f.mp4", b"new"), ("kept/f.mp4", b"one"), ("kept/f (1).mp4", b"two")]:
        (server.share / name).parent.mkdir(exist_ok=True)
        (server.share / name).write_bytes(content)
    resolver = SmbMediaResolver(connection)
    assert resolver.put_back(b"aside.mp4", b"f.mp4", cancel=CancelToken()) is False
    with pytest.raises(TransientError, match="OBJECT_NAME_COLLISION"):
        resolver.set_aside(asset("f.mp4"), b"aside.mp4", cancel=CancelToken())
    resolver.move_to(b"f.mp4", b"kept/f.mp4", cancel=CancelToken())
    found = {path.name: path.read_bytes() for path in server.share.rglob("*.mp4") if path.parent.name == "kept"}
    assert found == {"f.mp4": b"one", "f (1).mp4": b"two", "f (2).mp4": b"new"}
    assert (server.share / "aside.mp4").read_bytes() == b"old"


def test_folders_are_made_on_the_way_of_a_move(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(b"film")
    (server.share / ".done").mkdir()
    SmbMediaResolver(connection).move_to(b"f.mp4", b".done/2026/11/f.mp4", cancel=CancelToken())
    assert (server.share / ".done/2026/11/f.mp4").read_bytes() == b"film"
    assert not (server.share / "f.mp4").exists()


def test_a_file_in_the_way_of_a_folder_stops_a_move(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(b"film")
    (server.share / "done").write_bytes(b"a file")
    with pytest.raises(TransientError):
        SmbMediaResolver(connection).move_to(b"f.mp4", b"done/f.mp4", cancel=CancelToken())
    assert (server.share / "f.mp4").read_bytes() == b"film"


def test_a_file_is_removed_and_one_that_is_gone_is_no_error(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").write_bytes(b"film")
    resolver = SmbMediaResolver(connection)
    resolver.remove(b"f.mp4", cancel=CancelToken())
    assert not (server.share / "f.mp4").exists()
    resolver.remove(b"f.mp4", cancel=CancelToken())
    with pytest.raises(AssetNotFound):
        resolver.set_aside(asset("f.mp4"), b"aside", cancel=CancelToken())
    with pytest.raises(AssetNotFound):
        resolver.put_back(b"aside", b"f.mp4", cancel=CancelToken())
    with pytest.raises(AssetNotFound):
        resolver.move_to(b"f.mp4", b"g.mp4", cancel=CancelToken())


def test_a_folder_is_never_removed_or_renamed(server: Server, connection: SmbConnection) -> None:
    (server.share / "f.mp4").mkdir()
    resolver = SmbMediaResolver(connection)
    resolver.remove(b"f.mp4", cancel=CancelToken())
    with pytest.raises(AssetNotFound, match="no file any more"):
        resolver.set_aside(asset("f.mp4"), b"aside", cancel=CancelToken())
    assert (server.share / "f.mp4").is_dir()


Change = Callable[[SmbMediaResolver], object]
CHANGES: dict[str, Change] = {
    "set aside": lambda resolver: resolver.set_aside(asset("f.mp4"), b"aside", cancel=CancelToken()),
    "put back": lambda resolver: resolver.put_back(b"f.mp4", b"back", cancel=CancelToken()),
    "remove": lambda resolver: resolver.remove(b"f.mp4", cancel=CancelToken()),
    "move": lambda resolver: resolver.move_to(b"f.mp4", b"g.mp4", cancel=CancelToken()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_another_client_writes_is_left_alone(
    server: Server, connection: SmbConnection, change: str
) -> None:
    (server.share / "f.mp4").write_bytes(b"film")
    cache: dict[str, Any] = {}
    options = {"username": "mediatest", "password": "Secr3t!-do-not-show", "port": server.port}
    path = r"\\127.0.0.1\media\f.mp4"
    with smbclient.open_file(path, mode="r+b", share_access="rwd", connection_cache=cache, **options):
        with pytest.raises(Snooze):
            CHANGES[change](SmbMediaResolver(connection))
        assert (server.share / "f.mp4").read_bytes() == b"film"
    smbclient.reset_connection_cache(connection_cache=cache)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_the_server_forbids_can_be_tried_later(server: Server, change: str) -> None:
    (server.share / "closed").mkdir()
    (server.share / "closed" / "f.mp4").write_bytes(b"film")
    (server.share / "closed").chmod(0o555)
    with server.connect(share="plain") as connection, pytest.raises(TransientError, match="ACCESS_DENIED"):
        CHANGES[change](SmbMediaResolver(connection, "closed"))
    assert (server.share / "closed" / "f.mp4").read_bytes() == b"film"


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_costs_one_frame(server: Server, change: str) -> None:
    (server.share / "f.mp4").write_bytes(b"film")
    with server.connect() as connection:
        before = connection.status().frames_sent
        CHANGES[change](SmbMediaResolver(connection))
        assert connection.status().frames_sent - before == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_whose_answer_is_lost_is_made_once_and_called_offline(
    server: Server, proxy: Proxy, change: str
) -> None:
    (server.share / "f.mp4").write_bytes(b"film")
    cut: list[int] = []

    def lose(frame: bytes) -> bytes | None:
        offset = 0
        while following := struct.unpack_from("<I", frame, offset + 20)[0]:
            offset += following
            if frame[offset + 12] == SET_INFO:
                cut.append(1)
                return None
        return frame

    proxy.change = lose
    with server.connect(port=proxy.port, connections=1) as connection:
        with pytest.raises(SourceOfflineError):
            CHANGES[change](SmbMediaResolver(connection))
        assert len(cut) == 1
        assert not (server.share / "f.mp4").exists(), "it was made, and nobody made it twice"


@pytest.mark.parametrize("change", CHANGES)
def test_a_place_that_is_lost_is_offline_and_its_files_are_not_gone(
    server: Server, connection: SmbConnection, change: str
) -> None:
    (server.share / "root").mkdir()
    (server.share / "root" / "f.mp4").write_bytes(b"film")
    resolver = SmbMediaResolver(connection, "root")
    (server.share / "root").rename(server.share / "elsewhere")
    with pytest.raises(SourceOfflineError):
        CHANGES[change](resolver)
    assert (server.share / "elsewhere" / "f.mp4").exists()


@pytest.mark.parametrize("path", [b"../f.mp4", b"a\\..\\f.mp4", b"", b"a//f.mp4", b"f.mp4\0"])
def test_a_path_that_no_scan_can_have_given_is_refused(connection: SmbConnection, path: bytes) -> None:
    resolver = SmbMediaResolver(connection, "root")
    with pytest.raises(AssetNotFound):
        resolver.set_aside(MediaAsset("s", path, 1, 1), b"aside", cancel=CancelToken())
    with pytest.raises(AssetNotFound):
        resolver.set_aside(asset("f.mp4"), path, cancel=CancelToken())
    with pytest.raises(AssetNotFound):
        resolver.move_to(b"f.mp4", path or b"/", cancel=CancelToken())


@pytest.mark.parametrize("change", ["set aside", "remove", "move"])
def test_a_change_that_was_cancelled_is_not_made(server: Server, connection: SmbConnection, change: str) -> None:
    (server.share / "f.mp4").write_bytes(b"film")
    resolver, cancel = SmbMediaResolver(connection), CancelToken()
    cancel.cancel()
    with pytest.raises(OperationCancelled):  # noqa: PT012 - one of them is called
        if change == "set aside":
            resolver.set_aside(asset("f.mp4"), b"aside", cancel=cancel)
        elif change == "remove":
            resolver.remove(b"f.mp4", cancel=cancel)
        else:
            resolver.move_to(b"f.mp4", b"new/g.mp4", cancel=cancel)
    assert [path.name for path in server.share.rglob("*")] == ["f.mp4"]
