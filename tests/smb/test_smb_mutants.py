"""Deliberately wrong versions of what the SMB room promises: each is caught by the check that a test of the room makes.

Every test breaks one promise and then makes the observation that the test named in its docstring relies on: the wrong
version is seen to be wrong, so the test cannot pass by accident.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import smbclient

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, MediaWatchError, SourceOfflineError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.scans import KnownDirectory, ScanPage
from media_watch_tasks.smb import (
    SmbConnection,
    SmbMediaResolver,
    SmbMediaScanner,
    channel,
    collected,
    entries,
    operations,
    walk,
    wire,
)
from media_watch_tasks.smb.file import SmbFile
from media_watch_tasks.smb.session import ShareSession
from media_watch_tasks.smb.wire import Share

Options = Any
Proxy = Any
Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""


@pytest.fixture
def connection(server: Server) -> Iterator[SmbConnection]:
    with server.connect() as made:
        yield made


def scan(connection: SmbConnection, **options: Options) -> list[ScanPage]:
    return list(SmbMediaScanner(connection).scan_assets(cancel=CancelToken(), **options))


def ids(pages: list[ScanPage]) -> list[bytes]:
    return [asset.asset_id for page in pages for asset in page.assets]


def test_without_verification_a_changed_name_is_believed(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_smb_reconnect: a changed byte is never believed."""
    (server.share / "film.mp4").write_bytes(b"x")
    monkeypatch.setattr(channel.Channel, "_verify", lambda *_arguments: None)
    name, other = "film".encode("utf-16-le"), "fake".encode("utf-16-le")
    with server.connect(port=proxy.port, connections=1) as connection:
        proxy.change = lambda frame: frame.replace(name, other)
        assert ids(scan(connection)) == [b"fake.mp4"]


def test_without_denying_writers_a_half_written_file_is_taken_for_whole(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_smb_files: a file that another client writes is snoozed."""
    (server.share / "f.mp4").write_bytes(b"half")
    monkeypatch.setattr(Share, "DENY_WRITE", Share.ALL)
    cache: dict[str, Any] = {}
    options = {"username": "mediatest", "password": "Secr3t!-do-not-show", "port": server.port}
    path = r"\\127.0.0.1\media\f.mp4"
    with smbclient.open_file(path, mode="r+b", share_access="rwd", connection_cache=cache, **options):
        assert connection.read_partial("f.mp4") == b"half"
    smbclient.reset_connection_cache(connection_cache=cache)


def test_without_the_second_query_a_large_directory_is_cut_off(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_smb_scanner: a large directory comes whole."""
    for number in range(2_500):
        (server.share / f"{number:04d} {'x' * 60}.mp4").write_bytes(b"x")
    real = operations.read_listing

    def trusting(replies: Options, information_class: int) -> operations.Listing:
        listing = real(replies, information_class)
        found = entries.unpack_entries(bytes(wire.data_of(replies[1])), information_class)
        return operations.Listing(operations.ListingEnd.COMPLETE, 0, listing.opened, found, listing.leaked)

    monkeypatch.setattr(operations, "read_listing", trusting)
    assert 0 < len(ids(scan(connection))) < 2_500


def test_without_file_ids_a_loop_is_followed_to_the_limit_of_links(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_smb_scanner: a symlink into itself is a loop and ends."""
    (server.share / "a").mkdir()
    (server.share / "a" / "f.mp4").write_bytes(b"x")
    (server.share / "a" / "up").symlink_to(".")
    monkeypatch.setattr(walk.Walk, "_is_unique", lambda *_arguments: True)
    assert len(ids(scan(connection))) > 10


def test_when_an_older_time_counts_as_unchanged_a_folder_moved_in_is_missed(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract: a folder that took the place of another is listed."""
    for name in ("a", "aside"):
        (server.share / name).mkdir()
    (server.share / "aside" / "new.mp4").write_bytes(b"x")
    os.utime(server.share / "aside", (1, 1))
    pages = scan(connection)
    known = {page.directory: KnownDirectory(page.stamp, page.directories or ()) for page in pages if page.stamp}
    known.pop(b"aside")
    shutil.rmtree(server.share / "a")
    (server.share / "aside").rename(server.share / "a")
    real = walk.stamp_of
    last = known[b"a"].stamp
    monkeypatch.setattr(
        walk, "stamp_of", lambda opened: last if real(opened).mtime_ns < last.mtime_ns else real(opened)
    )
    mutated = {page.directory: page.unchanged for page in scan(connection, known=known)}
    monkeypatch.setattr(walk, "stamp_of", real)
    right = {page.directory: page.unchanged for page in scan(connection, known=known)}
    assert mutated != right
    assert right[b"a"] is False


def test_without_a_look_at_the_end_a_mixture_of_versions_is_handed_out(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract: a version that changes while it is read does not end well."""

    def read_while_it_changes() -> None:
        (server.share / "f.mp4").write_bytes(b"a" * 3_000_000)
        entry = connection.stat("f.mp4")
        asset = MediaAsset("s", b"f.mp4", entry.size, entry.mtime_ns)
        media = SmbMediaResolver(connection).resolve_for_upload(asset, cancel=CancelToken())
        with media.open() as stream:
            stream.read(10)
            # In its place, never shorter: what was asked for ahead must not meet the end of an empty file.
            with (server.share / "f.mp4").open("r+b") as other:
                other.write(b"b" * 3_000_000)
            stream.read()

    with pytest.raises(AssetChanged):
        read_while_it_changes()
    monkeypatch.setattr(SmbFile, "_check_end", lambda *_arguments: None)
    read_while_it_changes()


def test_when_a_lost_connection_counts_as_gone_files_go_missing(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_smb_reconnect: a server that stays away ends the scan as offline."""
    for number in range(20):
        (server.share / f"{number:02d}").mkdir()
        (server.share / f"{number:02d}" / "f.mp4").write_bytes(b"x")

    def forgiving(self: walk.Walk, node: Options, _error: MediaWatchError) -> None:
        self._settle(node, collected.Walked(node.path))

    with server.connect(port=proxy.port, connections=1) as connection:
        pages = SmbMediaScanner(connection).scan_assets(cancel=CancelToken())
        monkeypatch.setattr(walk, "_IN_FLIGHT", 1)
        next(pages)
        monkeypatch.setattr(walk.Walk, "_again", forgiving)
        proxy.cut()
        assert len(ids(list(pages))) < 20


def test_a_rename_that_may_replace_overwrites_a_file(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_smb_changes: nothing is overwritten."""
    (server.share / "aside.mp4").write_bytes(b"old")
    (server.share / "f.mp4").write_bytes(b"new")
    real = operations.new_name
    monkeypatch.setattr(operations, "new_name", lambda path: b"\1" + real(path)[1:])
    assert SmbMediaResolver(connection).put_back(b"aside.mp4", b"f.mp4", cancel=CancelToken()) is True
    assert (server.share / "f.mp4").read_bytes() == b"old"


def test_a_change_that_is_repeated_says_that_the_file_is_gone(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_smb_changes: a change whose answer is lost is made once and called offline."""
    (server.share / "f.mp4").write_bytes(b"x")
    fired: list[int] = []

    def lose(frame: bytes) -> bytes | None:
        following = int.from_bytes(frame[20:24], "little")
        if following and frame[following + 12] == wire.SET_INFO and not fired:
            fired.append(1)
            return None
        return frame

    def again(self: ShareSession, path: bytes, information_class: int, data: bytes) -> int:
        for _ in range(2):
            try:
                return real(self, path, information_class, data)
            except SourceOfflineError:
                continue
        raise AssertionError

    real = ShareSession.change
    monkeypatch.setattr(ShareSession, "change", again)
    proxy.change = lose
    asset = MediaAsset("s", b"f.mp4", 1, 1)
    with server.connect(port=proxy.port, connections=1) as connection, pytest.raises(AssetNotFound):
        SmbMediaResolver(connection).set_aside(asset, b"aside.mp4", cancel=CancelToken())
    assert fired
