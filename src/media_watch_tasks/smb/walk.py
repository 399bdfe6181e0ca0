"""The walk over a tree: directories are listed ahead, many at a time, and handed out in the order of their paths.

Known directories wait in a heap ordered by path; the first ones that fit are asked for, whatever arrives is kept until
its turn. So the order is that of a walk one by one, the time that of the network's width, and memory is bounded by the
listings that may run ahead. A directory of the last scan that may be left unlisted is only looked at, and what stood
below it is looked at in the same breath; where it proves to have changed, what is no longer there is dropped unseen.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AuthenticationRequiredError, MediaWatchError, SourceOfflineError, TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import DirectoryStamp, KnownDirectories, KnownDirectory, ProblemKind
from media_watch_tasks.scanning import Position, Resume
from media_watch_tasks.smb import operations
from media_watch_tasks.smb.channel import ChannelLost, Exchange
from media_watch_tasks.smb.entries import (
    DIRECTORY_INFORMATION,
    ID_DIRECTORY_INFORMATION,
    REPARSE_POINT,
    Entry,
    filetime_to_ns,
    signed_id,
    unsafe_names,
)
from media_watch_tasks.smb.large import DirectoryTooLarge, list_large
from media_watch_tasks.smb.login import Login
from media_watch_tasks.smb.operations import CompoundRefused, Listing, ListingEnd
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.session import TRIES, ShareSession
from media_watch_tasks.smb.statuses import DENIED, Status, describe
from media_watch_tasks.smb.wire import Access, Message, Opened, Options, ProtocolViolation

__all__ = ["Chosen", "Walk", "Walked", "stamp_of"]

_IN_FLIGHT = 32
"""Directories asked for at once, on each connection."""
_AHEAD_ROWS, _AHEAD_DIRECTORIES = 50_000, 256
_SECOND_CHANNEL_FROM = 8
_ALL_CHANNELS = 1 << 16
_VANISHED = frozenset(
    {Status.NO_SUCH_FILE, Status.OBJECT_NAME_NOT_FOUND, Status.OBJECT_PATH_NOT_FOUND, Status.DELETE_PENDING,
     Status.NOT_A_DIRECTORY}
)  # fmt: skip

Chosen = tuple[Sequence[Any], Sequence[bytes]]
"""What is kept of a listing, and the sorted names of the directories to go into."""


@attrs.frozen
class Walked:
    """A directory of the walk."""

    directory: bytes
    """Relative to the walk's root."""
    stamp: DirectoryStamp | None = None
    rows: Sequence[Any] = ()
    directories: Sequence[bytes] = ()
    unchanged: bool = False
    problem: tuple[ProblemKind, str] | None = None


class _Node:
    __slots__ = (
        "attempts", "children", "dropped", "information_class", "key", "known", "looked_up", "parent", "path", "result",
        "silent", "unique",
    )  # fmt: skip

    def __init__(self, path: bytes, parent: _Node | None, information_class: int) -> None:
        self.path = path
        self.key = identity.order_key(path)
        self.parent = parent
        self.information_class = information_class
        self.known: KnownDirectory | None = None
        self.children: dict[bytes, _Node] | None = None
        self.looked_up = False
        self.silent = False
        self.dropped = False
        self.attempts = 0
        self.unique: tuple[int, int | None] | None = None
        self.result: Walked | None = None

    def __lt__(self, other: _Node) -> bool:
        return self.key < other.key


def stamp_of(opened: Opened) -> DirectoryStamp:
    """The stamp of an opened directory."""
    return DirectoryStamp(filetime_to_ns(opened.last_write), filetime_to_ns(opened.change), signed_id(opened.file_id))


class Walk:
    """One walk. Iterate it once; it may be abandoned at any time."""

    def __init__(
        self,
        session: ShareSession,
        root: bytes,
        choose: Callable[[bytes, list[Entry]], Chosen],
        *,
        cancel: CancelToken,
        largest: int,
        known: KnownDirectories | None = None,
        resume: Resume | None = None,
        recursive: bool = True,
        file_ids: bool = False,
    ) -> None:
        self._session = session
        self._root = root
        self._choose = choose
        self._cancel = cancel
        self._largest = largest
        self._known = known
        self._resume = resume
        self._recursive = recursive
        self._class = ID_DIRECTORY_INFORMATION if file_ids else DIRECTORY_INFORMATION
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
            if first.result is None and not self._is_dropped(first):
                self._take_replies()
                continue
            heapq.heappop(self._order)
            result, first.result = first.result, None
            if result is not None:
                self._ahead -= 1
                self._ahead_rows -= len(result.rows)
                if (result.problem is not None or not first.silent) and not self._is_dropped(first):
                    yield result

    @staticmethod
    def _is_dropped(node: _Node) -> bool:
        # Parents come first in the order, so one step up the tree is enough.
        if node.parent is not None and node.parent.dropped:
            node.dropped = True
        return node.dropped

    def _add(self, path: bytes, parent: _Node | None) -> _Node | None:
        node = _Node(path, parent, self._class)
        position = Position.AHEAD if self._resume is None else self._resume.position(path)
        if position is Position.BEHIND:
            return None
        # What the checkpoint stands in is listed once more, only to find what comes after it.
        node.silent = position is Position.ON_THE_WAY
        heapq.heappush(self._waiting, node)
        heapq.heappush(self._order, node)
        return node

    def _ask(self) -> None:
        while self._waiting and self._may_ask():
            node = heapq.heappop(self._waiting)
            if self._is_dropped(node):
                continue
            if self._known is not None and not node.looked_up:
                node.looked_up = True
                node.known = self._known.get(node.path)
                if node.known is not None and self._recursive:
                    self._add_children(node, node.known.directories)
            self._try(node, self._send)
            if not self._session.fast:
                return

    def _may_ask(self) -> bool:
        if self._waiting[0] is self._order[0] or self._is_dropped(self._waiting[0]):
            return True
        if not self._session.fast:
            return False
        room = self._asked < _IN_FLIGHT * max(len(self._session.pool.channels), 1)
        return room and self._ahead_rows < _AHEAD_ROWS and self._ahead + self._asked < _AHEAD_DIRECTORIES

    def _try(self, node: _Node, step: Callable[[_Node], None]) -> None:
        try:
            step(node)
        except (ChannelLost, ProtocolViolation) as error:
            self._again(node, error)
        except CompoundRefused as error:
            self._session.use_slow_path(str(error))
            heapq.heappush(self._waiting, node)

    def _again(self, node: _Node, error: MediaWatchError) -> None:
        # Many are lost with a connection; the first in order counts for all, and has to get through or end the walk.
        if node is self._order[0]:
            node.attempts += 1
        if node.attempts >= TRIES:
            raise SourceOfflineError(f"{self._session.credentials.place}: {error}") from error
        heapq.heappush(self._waiting, node)

    def _send(self, node: _Node) -> None:
        if not self._session.fast:
            self._finish_slowly(node)
            return
        pool = self._session.pool
        many = len(self._waiting) >= _SECOND_CHANNEL_FROM
        channel = pool.least_busy(_ALL_CHANNELS if many else 1)
        try:
            messages = self._messages(node, channel.login)
        except ValueError as error:
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, str(error))))
            return
        pool.post(channel, messages, inbox=self._inbox, token=node)
        self._asked += 1

    def _messages(self, node: _Node, login: Login) -> tuple[Message, ...]:
        path = to_share(self._full(node.path))
        if node.known is not None:
            # Asking for the right to list makes the server judge it: an unreadable directory is no unchanged one.
            return operations.look(path, options=Options.DIRECTORY, access=Access.LIST)
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
            if not self._is_dropped(node):
                self._try(node, partial(self._read, exchange))

    def _read(self, exchange: Exchange, node: _Node) -> None:
        replies = exchange.result()
        if node.known is not None:
            looked = operations.read_head(replies)
            exchange.release()
            self._session.give_back(exchange.channel, looked.leaked)
            self._probed(node, node.known, looked)
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
            self._read_on(node, exchange)
        elif found.status == Status.PATH_NOT_COVERED:
            self._finish_slowly(node)
        else:
            self._listed(node, found)

    def _read_on(self, node: _Node, exchange: Exchange) -> None:
        path = to_share(self._full(node.path))
        try:
            found = list_large(
                self._session.pool, exchange.channel, path, information_class=node.information_class,
                cancel=self._cancel, largest=self._largest,
            )  # fmt: skip
        except DirectoryTooLarge as error:
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, str(error))))
        else:
            self._listed(node, found)

    def _finish_slowly(self, node: _Node) -> None:
        known, node.known = node.known, None
        node.information_class = ID_DIRECTORY_INFORMATION
        if known is not None:
            path = self._full(node.path)
            self._probed(node, known, self._session.slow.look(path, options=Options.DIRECTORY, access=Access.LIST))
            return
        try:
            found = self._session.slow.list(self._full(node.path), ID_DIRECTORY_INFORMATION, largest=self._largest)
        except (DirectoryTooLarge, ValueError) as error:
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, str(error))))
        else:
            self._listed(node, found)

    def _probed(self, node: _Node, known: KnownDirectory, looked: operations.Look) -> None:
        if looked.opened is None or stamp_of(looked.opened) != known.stamp:
            # Changed, or gone, or unreadable: the listing says which.
            node.known = None
            self._send(node)
            return
        if self._note_unique(node, looked.opened):
            self._settle(node, Walked(node.path, stamp=known.stamp, directories=known.directories, unchanged=True))

    def _listed(self, node: _Node, found: Listing) -> None:
        if found.end is ListingEnd.FAILED or found.opened is None:
            self._failed(node, found.status)
            return
        if not self._note_unique(node, found.opened):
            return
        if node.information_class == DIRECTORY_INFORMATION and any(e[3] & REPARSE_POINT for e in found.entries):
            # Only another class of listing tells links from files that the server keeps in an unusual way.
            node.information_class = ID_DIRECTORY_INFORMATION
            self._send(node)
            return
        strange = unsafe_names(found.entries)
        if strange:
            name = identity.display_text(strange[0].name)
            message = f"{len(strange)} entries have impossible names, for example {name!r}"
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, message)))
            return
        rows, directories = self._choose(node.path, found.entries)
        if self._recursive:
            self._add_children(node, directories)
        self._settle(node, Walked(node.path, stamp=stamp_of(found.opened), rows=rows, directories=directories))

    def _add_children(self, node: _Node, names: Sequence[bytes]) -> None:
        before, node.children = node.children or {}, {}
        for name in names:
            child = before.pop(name, None) or self._add(identity.join(node.path, name), node)
            if child is not None and node.known is not None:
                node.children[name] = child
        for gone in before.values():
            gone.dropped = True

    def _failed(self, node: _Node, status: int) -> None:
        place = f"{self._session.credentials.place}/{identity.display_text(self._full(node.path))}"
        message = f"cannot list {place}: {describe(status)}"
        self._add_children(node, ())
        if node.parent is None:
            if status in DENIED:
                raise AuthenticationRequiredError(message, party="source")
            raise SourceOfflineError(message)
        if status in _VANISHED and self._is_gone(node):
            self._settle(node, Walked(node.path))
        else:
            self._settle(node, Walked(node.path, problem=(ProblemKind.UNREADABLE, message)))

    def _is_gone(self, node: _Node) -> bool:
        try:
            return not self._session.is_listed(self._full(node.path), top=self._root)
        except SourceOfflineError:
            raise
        except TransientError:
            return False

    def _note_unique(self, node: _Node, opened: Opened) -> bool:
        if opened.file_id is None:
            return True
        node.unique = (opened.file_id, opened.volume_id)
        above = node.parent
        while above is not None:
            if above.unique == node.unique:
                message = f"it is its own ancestor {identity.display_text(above.path) or '.'}"
                self._add_children(node, ())
                self._settle(node, Walked(node.path, problem=(ProblemKind.LOOP, message)))
                return False
            above = above.parent
        return True

    def _settle(self, node: _Node, result: Walked) -> None:
        node.result = result
        node.children = None
        self._ahead += 1
        self._ahead_rows += len(result.rows)
