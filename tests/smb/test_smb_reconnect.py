"""Losing the connection: in the middle of a walk, of a file, of nothing; and not getting it back."""

from __future__ import annotations

import random
import struct
import threading
from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AuthenticationRequiredError, SourceOfflineError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.smb import SmbMediaResolver, SmbMediaScanner, walk
from media_watch_tasks.testing.clock import FakeClock

Proxy = Any
Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

EXPIRED = 0xC000035C


def tree(server: Server, count: int = 40) -> list[bytes]:
    for number in range(count):
        folder = server.share / f"{number:02d}" / "sub"
        folder.mkdir(parents=True)
        (folder / "f.mp4").write_bytes(b"x")
    return [f"{number:02d}/sub/f.mp4".encode() for number in range(count)]


def ids(scanner: SmbMediaScanner, cancel: CancelToken | None = None) -> list[bytes]:
    pages = list(scanner.scan_assets(cancel=cancel or CancelToken()))
    assert not [problem for page in pages for problem in page.problems]
    return [asset.asset_id for page in pages for asset in page.assets]


class CutAt:
    """Cuts the connection at some frames of the server, counted over all connections, logins left in peace."""

    def __init__(self, *numbers: int, login: int = 6) -> None:
        self.numbers, self.login, self.seen, self.fired = set(numbers), login, 0, 0

    def __call__(self, frame: bytes) -> bytes | None:
        command = struct.unpack_from("<H", frame, 12)[0]
        if command in {0, 1, 2, 3, 4, 13}:
            return frame
        self.seen += 1
        if self.seen in self.numbers:
            self.fired += 1
            return None
        return frame


@pytest.mark.parametrize("numbers", [(1,), (2,), (30,), (81,), (5, 25, 60)])
def test_a_walk_goes_on_where_it_was_cut(server: Server, proxy: Proxy, numbers: tuple[int, ...]) -> None:
    expected = tree(server)
    cut = CutAt(*numbers)
    proxy.change = cut
    with server.connect(port=proxy.port, connections=1) as connection:
        assert ids(SmbMediaScanner(connection)) == expected
        assert connection.status().logins == 1 + len(numbers)
    assert cut.fired == len(numbers)


def test_a_walk_over_two_connections_survives_the_loss_of_both(server: Server, proxy: Proxy) -> None:
    expected = tree(server)
    with server.connect(port=proxy.port) as connection:
        pages = SmbMediaScanner(connection).scan_assets(cancel=CancelToken())
        found = [asset.asset_id for asset in next(pages).assets]
        proxy.cut()
        found += [asset.asset_id for page in pages for asset in page.assets]
    assert found == expected


def test_a_server_killed_and_started_again_in_mid_walk_loses_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_IN_FLIGHT", 2)
    expected = tree(server)

    class Clock(FakeClock):
        restarts = 0

        def sleep(self, seconds: float) -> None:
            type(self).restarts += 1
            server.start()

    with server.connect(clock=Clock()) as connection:
        found = []
        for number, page in enumerate(SmbMediaScanner(connection).scan_assets(cancel=CancelToken())):
            assert not page.problems
            found += [asset.asset_id for asset in page.assets]
            if number == 20:
                server.kill()
    assert found == expected
    assert Clock.restarts == 1


def test_a_server_that_stays_away_ends_the_scan_as_offline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_IN_FLIGHT", 2)
    expected = tree(server)
    with server.connect(clock=FakeClock()) as connection:
        pages = SmbMediaScanner(connection).scan_assets(cancel=CancelToken())
        found = [asset.asset_id for _ in range(10) for asset in next(pages).assets]
        server.kill()
        with pytest.raises(SourceOfflineError):  # noqa: PT012 - what was found before the end counts
            for page in pages:
                assert not page.problems, "a lost server is no unreadable folder"
                found += [asset.asset_id for asset in page.assets]
        assert found == expected[: len(found)]
        assert len(found) < len(expected)
        with pytest.raises(SourceOfflineError):
            SmbMediaScanner(connection).identify(cancel=CancelToken())
    server.start()


def test_a_server_that_drops_every_answer_is_offline_after_three_tries(server: Server, proxy: Proxy) -> None:
    tree(server, 3)
    cut = CutAt(*range(1, 100))
    proxy.change = cut
    with server.connect(port=proxy.port, connections=1) as connection, pytest.raises(SourceOfflineError):
        ids(SmbMediaScanner(connection))
    assert cut.fired == 3
    proxy.change = None


def test_an_expired_session_is_replaced(server: Server, proxy: Proxy) -> None:
    expected = tree(server)
    fired: list[int] = []

    def expire(frame: bytes) -> bytes:
        if frame[12] == 5 and len(fired) < 2:
            fired.append(1)
            return frame[:8] + struct.pack("<I", EXPIRED) + frame[12:]
        return frame

    proxy.change = expire
    with server.connect(port=proxy.port, connections=1, require_signing=False) as connection:
        assert ids(SmbMediaScanner(connection)) == expected
        assert connection.stat("00").is_dir
    assert len(fired) == 2


def test_a_connection_that_died_while_idle_is_replaced_unseen(server: Server, proxy: Proxy) -> None:
    (server.share / "f.mp4").write_bytes(b"x")
    with server.connect(port=proxy.port) as connection:
        connection.stat("f.mp4")
        proxy.cut()
        assert connection.read_partial("f.mp4") == b"x"
        proxy.cut()
        assert connection.stat("f.mp4").size == 1


def test_a_server_that_falls_silent_is_given_up(server: Server, proxy: Proxy) -> None:
    (server.share / "f.mp4").write_bytes(b"x")
    release = threading.Event()
    silent = []

    def hold(frame: bytes) -> bytes | None:
        if frame[12] == 5:
            silent.append(1)
            release.wait(30)
            return None
        return frame

    with server.connect(port=proxy.port, timeout=2, connections=1) as connection:
        proxy.change = hold
        with pytest.raises(SourceOfflineError):
            connection.stat("f.mp4")
        assert len(silent) == 3
        release.set()
        proxy.change = None
        assert connection.stat("f.mp4").size == 1


@pytest.mark.parametrize("where", [1, 2, 3, 6])
def test_a_file_goes_on_where_it_was_cut(server: Server, proxy: Proxy, where: int) -> None:
    content = random.Random(3).randbytes(6_000_000)
    (server.share / "f.bin").write_bytes(content)
    with server.connect(port=proxy.port, connections=1) as connection, connection.open("f.bin") as file:
        proxy.change = cut = CutAt(where)
        assert b"".join(iter(lambda: file.read(250_000), b"")) == content
        assert cut.fired == 1
        assert file.read_at(17, 1000) == content[17:1017]


def test_a_server_killed_in_mid_read_and_started_again(server: Server) -> None:
    content = random.Random(4).randbytes(40_000_000)
    (server.share / "f.bin").write_bytes(content)

    class Clock(FakeClock):
        def sleep(self, seconds: float) -> None:
            server.start()

    with server.connect(clock=Clock()) as connection, connection.open("f.bin") as file:
        first = file.read(1_000_000)
        server.kill()
        assert first + file.read() == content
        assert connection.status().logins == 2


def test_a_file_replaced_while_the_connection_was_away_has_changed(server: Server, proxy: Proxy) -> None:
    (server.share / "f.bin").write_bytes(b"a" * 5_000_000)
    with server.connect(port=proxy.port, connections=1) as connection, connection.open("f.bin") as file:
        file.read(10)
        (server.share / "f.bin").write_bytes(b"b" * 5_000_001)
        proxy.cut()
        with pytest.raises(AssetChanged):
            file.read()


def test_a_password_that_no_longer_holds_asks_for_credentials_in_mid_walk(server: Server, proxy: Proxy) -> None:
    tree(server)
    passwords = iter(["Secr3t!-do-not-show"])
    proxy.change = CutAt(5)
    connection = server.connect(port=proxy.port, connections=1, password=lambda: next(passwords, "changed"))
    with connection, pytest.raises(AuthenticationRequiredError):
        ids(SmbMediaScanner(connection))


def test_looks_are_repeated_only_where_the_answer_was_lost(server: Server, proxy: Proxy) -> None:
    for number in range(100):
        (server.share / f"{number}.mp4").write_bytes(b"x" * number)
    assets = [MediaAsset("s", f"{number}.mp4".encode(), number, 0) for number in range(100)]
    proxy.change = cut = CutAt(50)
    with server.connect(port=proxy.port, connections=1) as connection:
        stats = SmbMediaResolver(connection).stat(assets, cancel=CancelToken())
    assert [stat.size for stat in stats if stat is not None] == list(range(100))
    assert cut.fired == 1


@pytest.mark.parametrize("encrypt", [None, True])
def test_a_changed_byte_is_never_believed(server: Server, proxy: Proxy, encrypt: bool | None) -> None:
    tree(server, 5)
    draw = random.Random(5)
    changed = []

    def change(frame: bytes) -> bytes:
        encrypted = frame.startswith(b"\xfdSMB")
        if not encrypted and frame[12] != 5:
            return frame
        place = draw.randrange(52 if encrypted else 64, len(frame))
        changed.append(place)
        return frame[:place] + bytes([frame[place] ^ 1 << draw.randrange(8)]) + frame[place + 1 :]

    with server.connect(port=proxy.port, connections=1, encrypt=encrypt) as connection:
        proxy.change = change
        with pytest.raises(SourceOfflineError):
            ids(SmbMediaScanner(connection))
    assert len(changed) >= 3
