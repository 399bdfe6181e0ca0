"""The walk over a tree: directories are listed ahead, many at a time, and handed out in the order of their paths.

Known directories wait in a heap ordered by path; the first ones that fit are asked for, whatever arrives is kept until
its turn. So the order is that of a walk one by one, the time that of the network's width, and memory is bounded by the
listings that may run ahead.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AuthenticationRequiredError, MediaWatchError, SourceOfflineError
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import DirectoryStamp, ProblemKind
from media_watch_tasks.smb import operations
from media_watch_tasks.smb.channel import ChannelLost, Exchange
from media_watch_tasks.smb.entries import (
    DIRECTORY_INFORMATION,
    ID_DIRECTORY_INFORMATION,
    REPARSE_POINT,
    Entry,
    filetime_to_ns,
    unsafe_names,
)
from media_watch_tasks.smb.large import DirectoryTooLarge, list_large
from media_watch_tasks.smb.operations import CompoundRefused, Listing, ListingEnd
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.session import TRIES, ShareSession
from media_watch_tasks.smb.statuses import DENIED, GONE, Status, describe
from media_watch_tasks.smb.wire import Message, Opened, ProtocolViolation

__all__ = ["Chosen", "Walk", "Walked", "stamp_of"]

_IN_FLIGHT = 32
"""Directories asked for at once, on each connection."""
_AHEAD_ROWS, _AHEAD_DIRECTORIES = 50_000, 512
_SECOND_CHANNEL_FROM = 8

Chosen = tuple[Sequence[Any], Sequence[bytes]]
"""What is kept of a listing, and the names of the directories to go into."""


@attrs.frozen
class Walked:
    """A directory of the walk."""

    directory: bytes
    """Relative to the walk's root."""
    stamp: DirectoryStamp | None = None
    rows: Sequence[Any] = ()
    unchanged: bool = False
    problem: tuple[ProblemKind, str] | None = None


class _Node:
    __slots__ = ("attempts", "information_class", "key", "parent", "path", "probe", "result", "silent", "unique")

    def __init__(self, path: bytes, parent: _Node | None, *, information_class: int) -> None:
        self.path = path
        self.key = identity.order_key(path)
        self.parent = parent
        self.information_class = information_class
        self.probe = False
        self.silent = False
        self.attempts = 0
        self.unique: tuple[int, int | None] | None = None
        self.result: Walked | None = None

    def __lt__(self, other: _Node) -> bool:
        return self.key < other.key


def stamp_of(opened: Opened) -> DirectoryStamp:
    """The stamp of an opened directory."""
    return DirectoryStamp(filetime_to_ns(opened.last_write), filetime_to_ns(opened.change), signed(opened.file_id))


def signed(file_id: int | None) -> int | None:
    """A file id as a signed 64-bit number, which is what databases hold."""
    return None if file_id is None else file_id - (1 << 64) if file_id >= 1 << 63 else file_id


class Walk:
    """One walk. Iterate it once; it may be abandoned at any time."""

    def __init__(  # noqa: D107
        self,
        session: ShareSession,
        root: bytes,
        choose: Callable[[bytes, list[Entry]], Chosen],
        *,
        cancel: CancelToken,
        known: Callable[[bytes], DirectoryStamp | None] | None = None,
        known_children: Callable[[bytes], Sequence[bytes]] | None = None,
        behind: bytes | None = None,
        recursive: bool = True,
        file_ids: bool = False,
        largest: int,
    ) -> None:
        self._session = session
        self._root = root
        self._choose = choose
        self._cancel = cancel
        self._known = known
        self._known_children = known_children
        self._behind = behind
        self._behind_key = None if behind is None else identity.order_key(behind)
        self._recursive = recursive
        self._class = ID_DIRECTORY_INFORMATION if file_ids else DIRECTORY_INFORMATION
        self._largest = largest
        self._waiting: list[_Node] = []
        self._order: list[_Node] = []
        self._inbox: deque[Exchange] = deque()
        self._asked = 0
        self._ahead_rows = 0
        self._ahead = 0

    def __iter__(self) -> Iterator[Walked]:
        self._add(b"", None)
        while self._order:
            self._cancel.raise_if_cancelled()
            self._ask()
            first = self._order[0]
            if first.result is None:
                self._take_replies()
                continue
            heapq.heappop(self._order)
            self._ahead -= 1
            self._ahead_rows -= len(first.result.rows)
            result, first.result = first.result, None
            if not first.silent:
                yield result

    def _add(self, path: bytes, parent: _Node | None) -> None:
        node = _Node(path, parent, information_class=self._class)
        if self._behind_key is not None and self._behind is not None and node.key <= self._behind_key:
            if not identity.is_below(self._behind, path):
                return
            # The checkpoint's own ancestors are listed once more, only to find what stands behind it.
            node.silent = True
        node.probe = self._known is not None and self._known(path) is not None
        heapq.heappush(self._waiting, node)
        heapq.heappush(self._order, node)

    def _ask(self) -> None:
        while self._waiting and self._may_ask():
            node = heapq.heappop(self._waiting)
            if not self._session.fast:
                self._finish_slowly(node)
                return
            try:
                self._send(node)
            except (ChannelLost, ProtocolViolation) as error:
                self._again(node, error)
            except CompoundRefused as error:
                self._session.use_slow_path(str(error))
                heapq.heappush(self._waiting, node)

    def _may_ask(self) -> bool:
        if self._waiting[0] is self._order[0]:
            return True
        if not self._session.fast:
            return False
        room = self._asked < _IN_FLIGHT * max(len(self._session.pool.channels), 1)
        return room and self._ahead_rows < _AHEAD_ROWS and self._ahead < _AHEAD_DIRECTORIES

    def _send(self, node: _Node) -> None:
        pool = self._session.pool
        many = len(self._waiting) >= _SECOND_CHANNEL_FROM
        channel = pool.least_busy(2**16 if many else 1)
        pool.post(channel, self._messages(node, channel.login), inbox=self._inbox, token=node)
        self._asked += 1

    def _messages(self, node: _Node, login: Any) -> tuple[Message, ...]:
        path = to_share(self._full(node.path))
        if node.probe:
            return operations.look(path, options=operations.Options.DIRECTORY)
        return operations.listing(path, login, node.information_class)

    def _full(self, path: bytes) -> bytes:
        return identity.join(self._root, path) if path else self._root

    def _take_replies(self) -> None:
        if not self._inbox and self._asked:
            self._session.pool.wait(lambda: bool(self._inbox), self._session.pool.channels, cancel=self._cancel)
        while self._inbox:
            exchange = self._inbox.popleft()
            self._asked -= 1
            node: _Node = exchange.token
            try:
                self._read(node, exchange)
            except (ChannelLost, ProtocolViolation) as error:
                self._again(node, error)
            except CompoundRefused as error:
                self._session.use_slow_path(str(error))
                heapq.heappush(self._waiting, node)

    def _again(self, node: _Node, error: MediaWatchError) -> None:
        node.attempts += 1
        if node.attempts >= TRIES:
            raise SourceOfflineError(f"{self._session.credentials.place}: {error}") from error
        heapq.heappush(self._waiting, node)

    def _read(self, node: _Node, exchange: Exchange) -> None:
        replies = exchange.result()
        if node.probe:
            looked = operations.read_head(replies)
            exchange.release()
            self._session.give_back(exchange.channel, looked.leaked)
            self._probed(node, looked)
            return
        try:
            found = operations.read_listing(replies, node.information_class)
        except ProtocolViolation as error:
            # The frame was sound, its contents are not: nothing of this directory can be believed.
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, str(error))))
            return
        finally:
            exchange.release()
        self._session.give_back(exchange.channel, found.leaked)
        if found.end is ListingEnd.MORE:
            found = self._read_on(node, exchange)
        if found.status == Status.PATH_NOT_COVERED:
            self._finish_slowly(node)
            return
        self._listed(node, found)

    def _read_on(self, node: _Node, exchange: Exchange) -> Listing:
        path = to_share(self._full(node.path))
        try:
            return list_large(
                self._session.pool, exchange.channel, path, information_class=node.information_class,
                cancel=self._cancel, largest=self._largest,
            )  # fmt: skip
        except DirectoryTooLarge as error:
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, str(error))))
            return Listing(ListingEnd.FAILED, 0)

    def _finish_slowly(self, node: _Node) -> None:
        node.probe = False
        found = self._session.slow.list(self._full(node.path), self._class, largest=self._largest)
        self._listed(node, found)

    def _probed(self, node: _Node, looked: operations.Look) -> None:
        stamp = stamp_of(looked.opened) if looked.opened is not None else None
        if self._known is None or stamp is None or looked.opened is None or stamp != self._known(node.path):
            # Changed, or gone, or unreadable: the listing says which.
            node.probe = False
            heapq.heappush(self._waiting, node)
            return
        if not self._note_unique(node, looked.opened):
            return
        if self._recursive and self._known_children is not None:
            for name in self._known_children(node.path):
                self._add(identity.join(node.path, name), node)
        self._settle(node, Walked(node.path, stamp=stamp, unchanged=True))

    def _listed(self, node: _Node, found: Listing) -> None:
        if node.result is not None:
            return
        if found.end is ListingEnd.FAILED or found.opened is None:
            self._settle(node, self._failure(node, found.status))
            return
        if not self._note_unique(node, found.opened):
            return
        if node.information_class == DIRECTORY_INFORMATION and any(e[3] & REPARSE_POINT for e in found.entries):
            # Only another class of listing tells links from files that the server keeps in an unusual way.
            node.information_class = ID_DIRECTORY_INFORMATION
            heapq.heappush(self._waiting, node)
            return
        strange = unsafe_names(found.entries)
        if strange:
            name = identity.display_text(strange[0].name)
            message = f"{len(strange)} entries have impossible names, for example {name!r}"
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, message)))
            return
        rows, directories = self._choose(node.path, found.entries)
        if self._recursive:
            for name in directories:
                self._add(identity.join(node.path, name), node)
        self._settle(node, Walked(node.path, stamp=stamp_of(found.opened), rows=rows))

    def _failure(self, node: _Node, status: int) -> Walked:
        place = f"{self._session.credentials.place}/{identity.display_text(self._full(node.path))}"
        message = f"cannot list {place}: {describe(status)}"
        if node.parent is None:
            if status in DENIED:
                raise AuthenticationRequiredError(message, party="source")
            raise SourceOfflineError(message)
        vanished = status in GONE or status == Status.NOT_A_DIRECTORY
        return Walked(node.path, problem=(ProblemKind.VANISHED if vanished else ProblemKind.UNREADABLE, message))

    def _note_unique(self, node: _Node, opened: Opened) -> bool:
        if opened.file_id is None:
            return True
        node.unique = (opened.file_id, opened.volume_id)
        above = node.parent
        while above is not None:
            if above.unique == node.unique:
                message = f"it is its own ancestor {identity.display_text(above.path) or '.'}"
                self._settle(node, Walked(node.path, problem=(ProblemKind.LOOP, message)))
                return False
            above = above.parent
        return True

    def _settle(self, node: _Node, result: Walked) -> None:
        if node.result is None:
            node.result = result
            self._ahead += 1
            self._ahead_rows += len(result.rows)
