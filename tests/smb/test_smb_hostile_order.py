"""A server that answers in the worst order and keeps back what it can: all arrives once, in order, in little memory."""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import Iterator

import pytest
from tests.smb.hostile_servers import (
    CLOSED,
    CREATED,
    MAX_TRANSACT,
    Asked,
    HoardingServer,
    HostileServer,
    answer,
    connected,
    login,
)

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import SystemClock
from media_watch_tasks.smb import SmbConnection, SmbMediaScanner, _smbprotocol, operations
from media_watch_tasks.smb.channel import Channel
from media_watch_tasks.smb.pool import ChannelPool
from media_watch_tasks.smb.wire import ProtocolViolation


@pytest.fixture
def hoarding(request: pytest.FixtureRequest) -> Iterator[tuple[HoardingServer, SmbConnection]]:
    """A server of the kind that the test asks for, and a connection to it."""
    with connected(HoardingServer, request.param, timeout=30) as both:
        yield both


@pytest.mark.parametrize("hoarding", ["order", "parts"], indirect=True)
def test_answers_out_of_order_and_in_parts_take_little_memory(hoarding: tuple[HoardingServer, SmbConnection]) -> None:
    server, connection = hoarding
    directories: list[bytes] = []
    files = 0
    tracemalloc.start()
    try:
        for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()):
            assert not page.problems
            files += len(page.assets)
            if page.complete:
                directories.append(page.directory)
        worst = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(server.most_kept, server.most_parts) >= 10
    assert directories == [b"", *(b"%02d" % number for number in range(server.FOLDERS))]
    assert files == server.FOLDERS * server.count
    # What was not kept was asked for once more, in its turn.
    assert len(server.asked) <= 1 + 2 * server.FOLDERS
    assert worst < 2 * MAX_TRANSACT


@pytest.mark.parametrize("hoarding", ["names"], indirect=True)
def test_names_out_of_order_take_little_memory_and_none_is_refused(
    hoarding: tuple[HoardingServer, SmbConnection],
) -> None:
    server, connection = hoarding
    tracemalloc.start()
    directories = 0
    before = b""
    try:
        for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()):
            assert not page.problems
            assert page.directory >= before
            before = page.directory
            directories += 1
            if directories == 3 * server.count:
                break
        worst = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert server.most_kept >= 10
    assert directories == 3 * server.count
    assert worst < 2 * MAX_TRANSACT


class PaddingServer(HostileServer):
    """Answers a look with a CLOSE response of 100 KB."""

    def answer_to(self, compound: list[Asked], path: str) -> None:
        del path
        created, closed = compound
        self.send(answer(created, CREATED, more=True) + answer(closed, CLOSED + bytes(100_000)))


def test_an_answer_that_is_larger_than_asked_for_ends_the_channel() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(login(ours), crypto=_smbprotocol, timeout=30, clock=SystemClock())
    pool = ChannelPool(lambda: channel, size=1)
    [only] = pool.ensure()
    server = PaddingServer(theirs)
    with pytest.raises(ProtocolViolation, match="larger than what was asked for"):
        pool.call(only, operations.look("folder")).result()
    ours.close()
    theirs.close()
    server.thread.join()
