"""A server that sends nonsense: an error, never a hang, a crash, or much memory."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from tests.smb.hostile_servers import MAX_TRANSACT, EndlessServer, connected, entry, framed, login

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import SystemClock
from media_watch_tasks.errors import MediaWatchError, SourceOfflineError
from media_watch_tasks.model.scans import ProblemKind, ScanProblem
from media_watch_tasks.smb import SmbConnection, SmbMediaScanner, _smbprotocol, entries, operations, wire
from media_watch_tasks.smb.channel import Channel
from media_watch_tasks.smb.collected import Unlistable
from media_watch_tasks.smb.entries import unpack_entries, unsafe_names
from media_watch_tasks.smb.frontier import DEEPEST
from media_watch_tasks.smb.large import list_large
from media_watch_tasks.smb.pool import ChannelPool
from media_watch_tasks.smb.wire import ProtocolViolation, Reply
from media_watch_tasks.testing.clock import FakeClock

Options = Any
Proxy = Any
Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

MUTATIONS = 2_000
Action = Callable[[ChannelPool, Channel], object]


class Recorder:
    """Keeps the frames that a real server sends on an unsigned session, and what was asked."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def __call__(self, frame: bytes) -> bytes:
        self.frames.append(frame)
        return frame


def act_list(pool: ChannelPool, channel: Channel) -> object:
    exchange = pool.call(channel, operations.listing("folder", channel.login, entries.DIRECTORY_INFORMATION))
    return operations.read_listing(exchange.result(), entries.DIRECTORY_INFORMATION)


def act_list_with_ids(pool: ChannelPool, channel: Channel) -> object:
    exchange = pool.call(channel, operations.listing("folder", channel.login, entries.ID_DIRECTORY_INFORMATION))
    return operations.read_listing(exchange.result(), entries.ID_DIRECTORY_INFORMATION)


def act_head(pool: ChannelPool, channel: Channel) -> object:
    exchange = pool.call(channel, operations.head("folder/0.mp4", 5000, 0, channel.login, share=7))
    return operations.read_head(exchange.result())


def act_look(pool: ChannelPool, channel: Channel) -> object:
    return operations.read_head(pool.call(channel, operations.look("folder")).result())


def act_volume(pool: ChannelPool, channel: Channel) -> object:
    created, queried, closed = pool.call(channel, operations.volume()).result()
    return operations.read_head((created, closed)), bytes(wire.data_of(queried))


ACTIONS: dict[str, Action] = {
    "list": act_list, "list with ids": act_list_with_ids, "head": act_head, "look": act_look, "volume": act_volume,
}  # fmt: skip


@pytest.fixture
def recorded(server: Server, proxy: Proxy) -> dict[str, bytes]:
    """For each action the frame that a real Samba answered, its message ids made to begin at 100."""
    (server.share / "folder").mkdir()
    for number in range(12):
        (server.share / "folder" / f"{number}.mp4").write_bytes(b"x" * 5000)
    frames = {}
    with server.connect(port=proxy.port, require_signing=False, connections=1) as connection:
        channel = connection.session.pool.channels[0]
        for name, action in ACTIONS.items():
            proxy.change = recorder = Recorder()
            first = channel._next_id
            action(connection.session.pool, channel)
            [frame] = recorder.frames
            frames[name] = renumbered(frame, first)
    return frames


def renumbered(frame: bytes, first: int) -> bytes:
    data, offset = bytearray(frame), 0
    while True:
        [message_id] = struct.unpack_from("<Q", data, offset + 24)
        struct.pack_into("<Q", data, offset + 24, message_id - first + 100)
        [following] = struct.unpack_from("<I", data, offset + 20)
        if not following:
            return bytes(data)
        offset += following


def replay(action: Action, stream: bytes, crypto: ModuleType, **changes: Options) -> object:
    """Run the action against a peer that sends this stream and closes."""
    ours, theirs = socket.socketpair()
    try:
        channel = Channel(login(ours, **changes), crypto=crypto, timeout=5, clock=SystemClock())
        pool = ChannelPool(lambda: channel, size=1)
        pool.ensure()
        feeder = threading.Thread(target=_feed, args=(theirs, stream))
        feeder.start()
        try:
            return action(pool, channel)
        finally:
            channel.fail(ProtocolViolation("the test is over"))
            theirs.close()
            feeder.join()
    finally:
        ours.close()
        theirs.close()


def _feed(theirs: socket.socket, stream: bytes) -> None:
    try:
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def mutate(frame: bytes, draw: random.Random) -> bytes:
    """One of the ways in which a frame can be wrong."""
    data = bytearray(frame)
    kind = draw.randrange(8)
    if kind == 0:
        for _ in range(draw.randrange(1, 9)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif kind in {1, 2, 3}:
        width, code = draw.choice([(2, "<H"), (4, "<I"), (8, "<Q")])
        place = draw.randrange(0, len(data) - width) & ~(1 if kind == 1 else 3)
        most = (1 << 8 * width) - 1
        value = draw.choice([0, 1, 7, 8, 64, 65, len(data), len(data) + 1, most, most // 2, most // 2 + 1, most - 7])
        struct.pack_into(code, data, place, value & most)
    elif kind == 4:
        del data[draw.randrange(len(data)) :]
    elif kind == 5:
        start = draw.randrange(len(data))
        del data[start : start + draw.randrange(1, 200)]
    elif kind == 6:
        place = draw.randrange(len(data))
        data[place:place] = draw.randbytes(draw.randrange(1, 300))
    else:
        return struct.pack(">I", draw.choice([0, 1, 63, 64, len(data) + 5, 1 << 20, 1 << 24, 0xFFFFFFFF])) + bytes(data)
    return framed(bytes(data))


def test_the_recorded_answers_are_understood(recorded: dict[str, bytes]) -> None:
    for name, action in ACTIONS.items():
        assert replay(action, framed(recorded[name]), _smbprotocol)
    listing = replay(act_list, framed(recorded["list"]), _smbprotocol)
    assert isinstance(listing, operations.Listing)
    assert len(listing.entries) == 12


def test_two_thousand_mutations_give_an_error_or_an_answer_and_little_memory(recorded: dict[str, bytes]) -> None:
    draw = random.Random(2026)
    outcomes = {"error": 0, "answer": 0}
    worst = 0
    tracemalloc.start()
    try:
        for number in range(MUTATIONS):
            name = list(ACTIONS)[number % len(ACTIONS)]
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                replay(ACTIONS[name], mutate(recorded[name], draw), _smbprotocol)
            except MediaWatchError:
                outcomes["error"] += 1
            else:
                # Many mutations hit a field that nobody reads (access times, allocation sizes).
                outcomes["answer"] += 1
            worst = max(worst, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert sum(outcomes.values()) == MUTATIONS
    assert outcomes["error"] > MUTATIONS // 3
    assert worst < 2 * MAX_TRANSACT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 63,
        entry(b"a\0", length=0xFFFFFFFE),
        entry(b"a\0", length=4),
        entry(b"", length=0),
        entry(b"a\0b", length=3),
        entry(b"a\0", following=8) + entry(b"b\0"),
        entry(b"a\0", following=0xFFFFFFF8) + entry(b"b\0"),
        entry(b"a\0", following=72),
        entry(b"a\0", size=-1),
    ],
    ids=["empty", "short", "huge name", "name beyond the end", "no name", "half a character", "backwards", "far away",
         "behind the end", "negative size"],
)  # fmt: skip
def test_entries_that_lead_out_of_their_buffer_are_refused(data: bytes) -> None:
    for information_class in (entries.DIRECTORY_INFORMATION, entries.ID_DIRECTORY_INFORMATION):
        with pytest.raises(ProtocolViolation):
            unpack_entries(data, information_class)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "a\\b", "nul\0"])
def test_names_that_lead_elsewhere_are_found(name: str) -> None:
    found = unpack_entries(entry(name.encode("utf-16-le")), entries.DIRECTORY_INFORMATION)
    assert [strange.name for strange in unsafe_names(found)] == [name.encode()]


def test_a_directory_with_such_a_name_is_a_problem_and_none_of_it_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.share / "a").mkdir()
    (server.share / "a" / "f__g.mp4").write_bytes(b"x")
    (server.share / "b.mp4").write_bytes(b"x")
    real = unpack_entries

    def evil(data: bytes, information_class: int) -> list[entries.Entry]:
        return [e._replace(name=e.name.replace(b"__", b"/../")) for e in real(data, information_class)]

    monkeypatch.setattr(entries, "unpack_entries", evil)
    with server.connect() as connection:
        pages = list(SmbMediaScanner(connection).scan_assets(cancel=CancelToken()))
    assert [asset.asset_id for page in pages for asset in page.assets] == [b"b.mp4"]
    assert [problem.kind for page in pages for problem in page.problems] == [ProblemKind.UNREADABLE]


@pytest.fixture
def endless(request: pytest.FixtureRequest) -> Iterator[tuple[EndlessServer, SmbConnection]]:
    """A server of the kind that the test asks for, and a connection to it."""
    with connected(EndlessServer, request.param, timeout=5) as both:
        yield both


def problem_of(connection: SmbConnection, **options: Options) -> tuple[str, int]:
    """What a scan says of the root, and the most bytes that it held."""
    tracemalloc.start()
    try:
        [page] = SmbMediaScanner(connection, **options).scan_assets(cancel=CancelToken())
        worst = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    [problem] = page.problems
    assert (page.complete, problem.kind) == (False, ProblemKind.UNREADABLE)
    return problem.message, worst


@pytest.mark.parametrize("endless", ["files"], indirect=True)
def test_a_directory_without_an_end_is_a_problem_and_takes_little_memory(
    endless: tuple[EndlessServer, SmbConnection],
) -> None:
    server, connection = endless
    message, worst = problem_of(connection, max_directory_entries=80_000)
    assert "more than 80000 entries" in message
    assert server.answered <= 80_000 // 500 + 5
    assert worst < 2 * MAX_TRANSACT


@pytest.mark.parametrize("endless", ["again"], indirect=True)
def test_a_directory_that_comes_again_and_again_is_found_out_at_once(
    endless: tuple[EndlessServer, SmbConnection],
) -> None:
    server, connection = endless
    message, worst = problem_of(connection)
    assert "again and again" in message
    assert server.answered <= 6
    assert worst < 2 * MAX_TRANSACT


@pytest.mark.parametrize("endless", ["folders"], indirect=True)
def test_directories_without_an_end_are_a_problem_and_take_little_memory(
    endless: tuple[EndlessServer, SmbConnection],
) -> None:
    server, connection = endless
    message, worst = problem_of(connection)
    assert "more directories than can be kept in mind" in message
    assert server.answered <= 200
    assert worst < 2 * MAX_TRANSACT


@pytest.mark.parametrize("endless", ["files"], indirect=True)
def test_a_directory_that_takes_for_ever_is_given_up(endless: tuple[EndlessServer, SmbConnection]) -> None:
    _, connection = endless
    clock = connection.session.clock
    assert isinstance(clock, FakeClock)

    pool = connection.session.pool
    [channel] = pool.ensure()
    taken: list[int] = []

    def take(found: list[entries.Entry]) -> None:
        taken.append(len(found))
        clock.advance(timedelta(seconds=60))

    with pytest.raises(Unlistable, match="within 3600 s"):
        list_large(
            pool, channel, "x", information_class=entries.DIRECTORY_INFORMATION, cancel=CancelToken(), clock=clock,
            take=take,
        )  # fmt: skip
    assert len(taken) == 61


@pytest.mark.parametrize("endless", ["tree"], indirect=True)
def test_a_tree_without_an_end_takes_little_memory(endless: tuple[EndlessServer, SmbConnection]) -> None:
    _, connection = endless
    pages = 0
    tracemalloc.start()
    try:
        for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()):
            pages += 1
            assert page.complete or page.problems
            if pages == 150:
                break
        worst = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert worst < 2 * MAX_TRANSACT


@pytest.mark.parametrize("endless", ["chain"], indirect=True)
def test_directories_in_one_another_end_somewhere(endless: tuple[EndlessServer, SmbConnection]) -> None:
    _, connection = endless
    tracemalloc.start()
    try:
        directories, problems = 0, list[ScanProblem]()
        for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()):
            directories += 1
            problems += page.problems
        worst = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert directories <= DEEPEST + 1
    assert len(problems) == 1
    assert worst < 2 * MAX_TRANSACT


def create_reply(contexts: bytes, offset: int, length: int) -> Reply:
    head = struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, 5, 1, 1, 0, 100, 0, 5, 77, b"")
    body = struct.pack("<HBBIQQQQQQII16sII", 89, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, b"h" * 16, offset, length)
    return Reply(0, memoryview(head + body + contexts))


@pytest.mark.parametrize(
    ("contexts", "offset", "length"),
    [
        (b"", 152, 24),
        (b"\0" * 24, 8, 24),
        (struct.pack("<IHHHHI", 8, 16, 4, 0, 0, 0) + b"QFid" + bytes(4), 152, 24),
        (struct.pack("<IHHHHI", 0, 16, 0xFFFF, 0, 0, 0) + b"QFid" + bytes(4), 152, 24),
        (struct.pack("<IHHHHI", 0, 16, 4, 0, 24, 0xFFFFFFFF) + b"QFid" + bytes(4), 152, 24),
        (struct.pack("<IHHHHI", 0, 16, 4, 0, 24, 32) + b"QFid" + bytes(4), 152, 24),
    ],
)
def test_create_contexts_that_lead_outside_are_refused(contexts: bytes, offset: int, length: int) -> None:
    with pytest.raises(ProtocolViolation):
        wire.opened(create_reply(contexts, offset, length))


@pytest.mark.parametrize("status", [0, 0xC0000022])
def test_answers_to_questions_nobody_asked_end_the_channel(recorded: dict[str, bytes], status: int) -> None:
    frame = bytearray(recorded["look"])
    struct.pack_into("<Q", frame, 24, 4711)
    struct.pack_into("<I", frame, 8, status)
    with pytest.raises(ProtocolViolation, match="nobody asked"):
        replay(act_look, framed(bytes(frame)), _smbprotocol)


def test_a_message_called_pending_for_ever_ends_the_channel(recorded: dict[str, bytes]) -> None:
    interim = bytearray(recorded["look"][:64]) + struct.pack("<HBBI", 9, 0, 0, 0) + b"\0"
    struct.pack_into("<I", interim, 8, 0x103)
    struct.pack_into("<I", interim, 16, 3)
    struct.pack_into("<I", interim, 20, 0)
    once = framed(bytes(interim))
    assert replay(act_look, once + framed(recorded["look"]), _smbprotocol)
    with pytest.raises(ProtocolViolation, match="twice"):
        replay(act_look, once * 3 + framed(recorded["look"]), _smbprotocol)


@pytest.mark.parametrize("signing", [0, 1, 2], ids=["HMAC", "CMAC", "GMAC"])
def test_an_unsigned_answer_on_a_signed_session_is_refused(recorded: dict[str, bytes], signing: int) -> None:
    changes = {"signing": signing, "signing_key": b"k" * 16}
    with pytest.raises(ProtocolViolation, match="signature"):
        replay(act_look, framed(recorded["look"]), _smbprotocol, **changes)


@pytest.mark.parametrize("cipher", [1, 2, 3, 4])
def test_an_answer_in_the_clear_on_an_encrypted_session_is_refused(recorded: dict[str, bytes], cipher: int) -> None:
    key = b"k" * (32 if cipher > 2 else 16)
    changes = {"cipher": cipher, "encryption_key": key, "decryption_key": key}
    with pytest.raises(ProtocolViolation, match="clear"):
        replay(act_look, framed(recorded["look"]), _smbprotocol, **changes)
    with pytest.raises(ProtocolViolation):
        replay(act_look, framed(b"\xfdSMB" + recorded["look"][4:] + bytes(100)), _smbprotocol, **changes)


def test_a_login_that_announces_a_huge_frame_is_offline_not_out_of_memory(server: Server) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(3):
            client, _address = listener.accept()
            client.recv(65536)
            client.sendall(b"\xff\xff\xff\xff" + b"x" * 1000)
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    tracemalloc.start()
    try:
        with pytest.raises(SourceOfflineError):
            server.connect(port=listener.getsockname()[1], clock=FakeClock()).connect()
        assert tracemalloc.get_traced_memory()[1] < 2 * MAX_TRANSACT
    finally:
        tracemalloc.stop()
        listener.close()


def test_a_login_that_never_ends_is_given_up(server: Server) -> None:
    """The server sends one byte of its first frame after the other, each in time."""

    class Clock(FakeClock):
        def monotonic_ns(self) -> int:
            self.advance(timedelta(seconds=10))
            return super().monotonic_ns()

    listener = socket.create_server(("127.0.0.1", 0))
    sent: list[int] = []

    def serve() -> None:
        for _ in range(3):
            client, _address = listener.accept()
            client.recv(65536)
            try:
                client.sendall(struct.pack(">I", 1 << 20))
                for number in range(1 << 20):
                    sent.append(number)
                    client.sendall(b"x")
                    time.sleep(0.001)
            except OSError:
                pass
            client.close()

    serving = threading.Thread(target=serve)
    serving.start()
    with pytest.raises(SourceOfflineError, match="too long for the login"):
        server.connect(port=listener.getsockname()[1], clock=Clock(), timeout=30).connect()
    serving.join()
    listener.close()
    assert sent


def test_a_pending_request_is_given_more_patience_and_not_for_ever(recorded: dict[str, bytes]) -> None:
    interim = bytearray(recorded["look"][:64]) + struct.pack("<HBBI", 9, 0, 0, 0) + b"\0"
    struct.pack_into("<I", interim, 8, 0x103)
    struct.pack_into("<I", interim, 16, 3)
    struct.pack_into("<I", interim, 20, 0)
    ours, theirs = socket.socketpair()
    clock = FakeClock()
    channel = Channel(login(ours), crypto=_smbprotocol, timeout=30, clock=clock)
    channel.post(operations.look("folder"))
    clock.advance(timedelta(seconds=29))
    channel.check_patience()
    assert channel.alive
    theirs.sendall(framed(bytes(interim)))
    channel.receive()
    clock.advance(timedelta(seconds=100))
    channel.check_patience()
    assert channel.alive, "another client may need 35 s to give a file free"
    clock.advance(timedelta(seconds=30))
    channel.check_patience()
    assert not channel.alive
    ours.close()
    theirs.close()
