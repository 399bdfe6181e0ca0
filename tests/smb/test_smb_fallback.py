"""When the fast path cannot do it: smbprotocol's own calls take over, with the same results."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner, _smbprotocol
from media_watch_tasks.smb.entries import Entry
from media_watch_tasks.smb.links import is_link

Proxies = Any
Proxy = Any
Server = Any
Servers = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

PATH_NOT_COVERED, INVALID_PARAMETER = 0xC0000257, 0xC000000D
NEGOTIATE, SESSION_SETUP, TREE_CONNECT, CREATE = 0, 1, 3, 5


def tree(server: Server) -> dict[bytes, bytes]:
    contents = {
        f"{folder}/{number}.mp4".encode(): folder.encode() * (number + 1) for folder in "abc" for number in range(3)
    }
    for path, content in contents.items():
        target = server.share / path.decode()
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    return contents


def everything(connection: SmbConnection) -> dict[bytes, bytes]:
    pages = list(SmbMediaScanner(connection).scan_assets(cancel=CancelToken()))
    assert not [problem for page in pages for problem in page.problems]
    assets = [asset for page in pages for asset in page.assets]
    resolver = SmbMediaResolver(connection)
    assert [stat and stat.fingerprint for stat in resolver.stat(assets, cancel=CancelToken())] == [
        asset.fingerprint for asset in assets
    ]
    return {asset.asset_id: resolver.resolve_for_upload(asset, cancel=CancelToken()).open().read() for asset in assets}


def rewrite(frame: bytes, change: Callable[[bytearray, int, int], None]) -> bytes:
    """Apply a change to every message of a frame: (data, offset of the header, number in the compound)."""
    data, offset, number = bytearray(frame), 0, 0
    while True:
        change(data, offset, number)
        [following] = struct.unpack_from("<I", data, offset + 20)
        if not following:
            return bytes(data)
        offset, number = offset + following, number + 1


def command_of(data: bytes | bytearray, offset: int = 0) -> int:
    return int(struct.unpack_from("<H", data, offset + 12)[0])


def test_an_unknown_dialect_takes_the_slow_path(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_smbprotocol, "_DIALECTS", frozenset({0x0202}))
    contents = tree(server)
    with server.connect() as connection:
        assert everything(connection) == contents
        assert not connection.status().fast_path


def test_a_server_without_related_compounds_takes_the_slow_path(
    server: Server, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    contents = tree(server)
    fired: list[int] = []

    def refuse(data: bytearray, offset: int, number: int) -> None:
        if number:
            fired.append(number)
            struct.pack_into("<I", data, offset + 8, INVALID_PARAMETER)

    caplog.set_level(logging.WARNING, "media_watch_tasks.smb")
    with server.connect(port=proxy.port, require_signing=False, connections=1) as connection:
        proxy.change = lambda frame: rewrite(frame, refuse)
        assert everything(connection) == contents
        assert not connection.status().fast_path
    assert fired
    assert "smb fast path left" in caplog.text


def test_a_server_that_grants_hardly_any_credits_takes_the_slow_path(server: Server, proxy: Proxy) -> None:
    contents = tree(server)
    fired: list[int] = []

    def meanly(data: bytearray, offset: int, _number: int) -> None:
        if command_of(data, offset) not in {NEGOTIATE, SESSION_SETUP}:
            fired.append(1)
            struct.pack_into("<H", data, offset + 14, min(1, struct.unpack_from("<H", data, offset + 14)[0]))

    proxy.change = lambda frame: rewrite(frame, meanly)
    with server.connect(port=proxy.port, require_signing=False, connections=1) as connection:
        session = connection.session
        channel = session.pool.channels[0]
        with channel._lock:
            channel.credits = 2
        assert everything(connection) == contents
        assert not connection.status().fast_path
    assert fired


def test_a_folder_that_a_dfs_link_leads_to_takes_the_slow_path_alone(server: Server, proxy: Proxy) -> None:
    contents = tree(server)
    target = "b".encode("utf-16-le")
    fired: list[int] = []
    asked: list[tuple[int, bytes]] = []

    def not_covered(data: bytearray, offset: int, number: int) -> None:
        # The second answer to a listing: folder a came first, b is next.
        if number == 0 and command_of(data, offset) == CREATE:
            asked.append((len(asked), target))
            if len(asked) == 3:
                fired.append(1)
                struct.pack_into("<I", data, offset + 8, PATH_NOT_COVERED)

    with server.connect(port=proxy.port, require_signing=False, connections=1) as connection:
        proxy.change = lambda frame: rewrite(frame, not_covered) if len(asked) < 3 else frame
        pages = list(SmbMediaScanner(connection).scan_assets(cancel=CancelToken()))
        assert {asset.asset_id for page in pages for asset in page.assets} == set(contents)
        assert not [problem for page in pages for problem in page.problems]
        assert connection.status().fast_path, "one link does not slow down the rest"
    assert fired


def test_a_share_of_a_dfs_name_space_takes_the_slow_path(smb_servers: Servers, proxies: Proxies) -> None:
    """The decision alone: the answer to TREE_CONNECT is a real one with the DFS bit set (MS-SMB2 2.2.10)."""
    server = smb_servers("server max protocol = SMB2_10")
    between = proxies(server.port)
    fired: list[int] = []

    def dfs(data: bytearray, offset: int, _number: int) -> None:
        if command_of(data, offset) == TREE_CONNECT and not fired:
            fired.append(1)
            [capabilities] = struct.unpack_from("<I", data, offset + 64 + 8)
            struct.pack_into("<I", data, offset + 64 + 8, capabilities | 0x8)

    between.change = lambda frame: rewrite(frame, dfs)
    with server.connect(port=between.port, require_signing=False, connections=1) as connection:
        assert not connection.status().fast_path
        assert connection.status().connections == 0
    assert fired


@pytest.mark.parametrize(
    ("attributes", "tag", "link"),
    [
        (0x20, 0, False),
        (0x420, 0xA000000C, True),
        (0x410, 0xA0000003, True),
        (0x420, 0x80000013, False),
        (0x420, 0x9000001A, False),
        (0x420, 0x80000014, True),
        (0x420, 0, True),
    ],
    ids=["plain", "symbolic link", "junction", "deduplicated", "kept in a cloud", "NFS special file", "tag unknown"],
)
def test_links_are_told_from_files_that_are_kept_in_an_unusual_way(attributes: int, tag: int, link: bool) -> None:
    assert is_link(Entry(b"x", 1, 1, attributes, None, tag)) is link


def test_a_reparse_point_is_looked_at_again_with_its_tag(server: Server, proxy: Proxy) -> None:
    """A real listing with the reparse attribute set on one file, as a server that deduplicates shows it."""
    (server.share / "f.mp4").write_bytes(b"x" * 77)
    (server.share / "g.mp4").write_bytes(b"x" * 88)
    counts = {"plain": 0, "tagged": 0}

    def mark(data: bytearray, offset: int, number: int) -> None:
        if command_of(data, offset) != 14 or struct.unpack_from("<I", data, offset + 8)[0]:
            return
        start = offset + 72
        name = "f.mp4".encode("utf-16-le")
        place = bytes(data).index(name, start)
        with_tag = struct.unpack_from("<I", data, place - 4)[0] != len(name)
        counts["tagged" if with_tag else "plain"] += 1
        if with_tag:
            struct.pack_into("<I", data, place - 24, 0x420)
            struct.pack_into("<I", data, place - 16, 0x80000013)
        else:
            struct.pack_into("<I", data, place - 8, 0x420)

    with server.connect(port=proxy.port, require_signing=False, connections=1) as connection:
        proxy.change = lambda frame: rewrite(frame, mark)
        [page] = SmbMediaScanner(connection).scan_assets(cancel=CancelToken())
    assert [(row[0], row[1]) for row in page.rows] == [(b"f.mp4", 77), (b"g.mp4", 88)]
    assert counts == {"plain": 1, "tagged": 1}
