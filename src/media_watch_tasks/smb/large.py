"""Listing of a directory that is larger than two small buffers: on one handle, with large buffers, two frames ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.smb import entries, wire
from media_watch_tasks.smb.channel import Channel, Exchange
from media_watch_tasks.smb.collected import Unlistable
from media_watch_tasks.smb.entries import Entry
from media_watch_tasks.smb.operations import Listing, ListingEnd
from media_watch_tasks.smb.pool import ChannelPool
from media_watch_tasks.smb.statuses import Status
from media_watch_tasks.smb.wire import Access, Options, ProtocolViolation, Share

__all__ = ["LONGEST_SECONDS", "list_large"]

LONGEST_SECONDS = 3_600
"""No directory takes longer than this: a slow disk shows some hundred entries a second."""
_FRAMES_AHEAD = 2
_PORTION = 512 * 1024
_PORTIONS_REMEMBERED = 64
_WITHOUT_MULTI_CREDIT = 64 * 1024


def list_large(
    pool: ChannelPool, channel: Channel, path: str, *, information_class: int, cancel: CancelToken, clock: Clock,
    take: Callable[[list[Entry]], None],
) -> Listing:  # fmt: skip
    """List a directory; `take` gets its entries, portion by portion, and what it raises ends the listing.

    A name that is shown twice comes twice. A listing without an end ends all the same.

    Raises:
        Unlistable: the same portion came again, one makes no sense, or it takes longer than `LONGEST_SECONDS`.
        ChannelLost, ProtocolViolation: the channel has ended.
    """
    message = wire.create(path, access=Access.LIST, share=Share.ALL, options=Options.DIRECTORY)
    created = pool.call(channel, (message,)).result()[0]
    if created.status != Status.SUCCESS:
        return Listing(ListingEnd.FAILED, created.status)
    opened = wire.opened(created)
    login = channel.login
    length = min(_PORTION, login.max_transact) if login.multi_credit else _WITHOUT_MULTI_CREDIT
    query = wire.query_directory(length=length, information_class=information_class, handle=opened.handle)
    asked: deque[Exchange] = deque()
    limit = clock.monotonic_ns() + LONGEST_SECONDS * NANOSECONDS
    portions: deque[int] = deque(maxlen=_PORTIONS_REMEMBERED)
    status = 0
    try:
        while status == Status.SUCCESS:
            if clock.monotonic_ns() > limit:
                raise Unlistable(f"the directory was not listed within {LONGEST_SECONDS} s")
            while len(asked) < _FRAMES_AHEAD:
                asked.append(pool.post(channel, (query,)))
            exchange = asked.popleft()
            reply = pool.finish(exchange, cancel=cancel).result()[0]
            status = reply.status
            if status == Status.SUCCESS:
                data = bytes(wire.data_of(reply))
                exchange.release()
                if (mark := hash(data)) in portions:
                    raise Unlistable("the server shows the same directory entries again and again")
                portions.append(mark)
                try:
                    found = entries.unpack_entries(data, information_class)
                except ProtocolViolation as error:
                    # The frame was sound, its contents are not: nothing of this directory can be believed.
                    raise Unlistable(str(error)) from error
                take(found)
    finally:
        if channel.alive:
            pool.post(channel, (wire.close(handle=opened.handle),))
    if status != Status.NO_MORE_FILES:
        return Listing(ListingEnd.FAILED, status, opened)
    return Listing(ListingEnd.COMPLETE, 0, opened)
