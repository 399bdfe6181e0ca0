"""Listing of a directory that is larger than two small buffers: on one handle, with large buffers, two frames ahead."""

from __future__ import annotations

from collections import deque

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.smb import entries, wire
from media_watch_tasks.smb.channel import LARGEST_REPLY, Channel, Exchange
from media_watch_tasks.smb.entries import Entry
from media_watch_tasks.smb.operations import Listing, ListingEnd
from media_watch_tasks.smb.pool import ChannelPool
from media_watch_tasks.smb.statuses import Status
from media_watch_tasks.smb.wire import Access, Options, ProtocolViolation, Share

__all__ = ["DirectoryTooLarge", "list_large"]

_FRAMES_AHEAD = 2
_WITHOUT_MULTI_CREDIT = 64 * 1024


class DirectoryTooLarge(MediaWatchError):  # noqa: N818 - the name says the finding
    """A directory has more entries than the scanner was allowed to keep; a hostile server's may have no end."""


def list_large(
    pool: ChannelPool, channel: Channel, path: str, *, information_class: int, cancel: CancelToken, largest: int
) -> Listing:
    """List a directory with at most `largest` entries. A name that the server shows twice is kept once.

    Raises `DirectoryTooLarge`, and `ChannelLost` or `ProtocolViolation` of the channel.
    """
    message = wire.create(path, access=Access.LIST, share=Share.ALL, options=Options.DIRECTORY)
    created = pool.call(channel, (message,)).result()[0]
    if created.status != Status.SUCCESS:
        return Listing(ListingEnd.FAILED, created.status)
    opened = wire.opened(created)
    login = channel.login
    length = min(LARGEST_REPLY, login.max_transact) if login.multi_credit else _WITHOUT_MULTI_CREDIT
    query = wire.query_directory(length=length, information_class=information_class, handle=opened.handle)
    asked: deque[Exchange] = deque()
    found: dict[bytes, Entry] = {}
    status = 0
    try:
        while status == Status.SUCCESS:
            while len(asked) < _FRAMES_AHEAD:
                asked.append(pool.post(channel, (query,)))
            exchange = asked.popleft()
            reply = pool.finish(exchange, cancel=cancel).result()[0]
            status = reply.status
            if status == Status.SUCCESS:
                before = len(found)
                found.update((e.name, e) for e in entries.unpack_entries(bytes(wire.data_of(reply)), information_class))
                exchange.release()
                if len(found) == before:
                    raise ProtocolViolation("the server shows the same directory entries again and again")
                if len(found) > largest:
                    raise DirectoryTooLarge(f"the directory has more than {largest} entries (max_directory_entries)")
    finally:
        if channel.alive:
            pool.post(channel, (wire.close(handle=opened.handle),))
    if status != Status.NO_MORE_FILES:
        return Listing(ListingEnd.FAILED, status, opened)
    return Listing(ListingEnd.COMPLETE, 0, opened, list(found.values()))
