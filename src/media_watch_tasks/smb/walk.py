"""The walk over a tree: directories are listed ahead, many at a time, and handed out in the order of their paths.

The first directories that fit are asked for, whatever arrives is kept until its turn. So the order is that of a walk
one by one, the time that of the network's width, and memory is bounded by the listings that may run ahead. A directory
of the last scan that may be left unlisted is only looked at, and what stood below it is looked at in the same breath;
where it proves to have changed, what is no longer there is dropped unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AuthenticationRequiredError, MediaWatchError, SourceOfflineError, TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import DirectoryStamp, KnownDirectories, KnownDirectory, ProblemKind
from media_watch_tasks.scanning import Resume
from media_watch_tasks.smb import operations
from media_watch_tasks.smb.channel import Exchange
from media_watch_tasks.smb.collected import Choice, Collected, Unlistable, Walked
from media_watch_tasks.smb.entries import (
    DIRECTORY_INFORMATION,
    ID_DIRECTORY_INFORMATION,
    REPARSE_POINT,
    Entry,
    filetime_to_ns,
    signed_id,
)
from media_watch_tasks.smb.frames import ChannelLost
from media_watch_tasks.smb.frontier import DEEPEST, Frontier, Node
from media_watch_tasks.smb.large import list_large
from media_watch_tasks.smb.logged_in import TRIES
from media_watch_tasks.smb.login import Login
from media_watch_tasks.smb.operations import CompoundRefused, Listing, ListingEnd
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.session import ShareSession
from media_watch_tasks.smb.statuses import DENIED, Status, describe
from media_watch_tasks.smb.wire import Access, Message, Opened, Options, ProtocolViolation

__all__ = ["Walk", "stamp_of"]

_IN_FLIGHT = 7 << 20
"""Bytes asked for at once, which are 20 listings or 90 looks: a server may send them all, but for what would complete
each."""
_AHEAD_ROWS, _AHEAD_DIRECTORIES = 8_192, 256
_MOST_AHEAD_ROWS = 12_288
"""Rows wanted ahead of their turn, and kept; about 200 bytes each. What brings more is asked for again in its turn."""
_ROWS_AT_FIRST, _LISTINGS_REMEMBERED = 512, 16
"""How many rows a directory is expected to have: at first, and by how many of the last ones."""
_SECOND_CHANNEL_FROM = 8
_ALL_CHANNELS = 1 << 16
_VANISHED = frozenset(
    {Status.NO_SUCH_FILE, Status.OBJECT_NAME_NOT_FOUND, Status.OBJECT_PATH_NOT_FOUND, Status.DELETE_PENDING,
     Status.NOT_A_DIRECTORY}
)  # fmt: skip


class _TagsNeeded(MediaWatchError):  # noqa: N818 - it asks for another listing
    pass


def stamp_of(opened: Opened) -> DirectoryStamp:
    """The stamp of an opened directory."""
    return DirectoryStamp(filetime_to_ns(opened.last_write), filetime_to_ns(opened.change), signed_id(opened.file_id))


class Walk:
    """One walk. Iterate it once; it may be abandoned at any time."""

    def __init__(
        self,
        session: ShareSession,
        root: bytes,
        choose: Choice,
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
        self._recursive = recursive
        information_class = ID_DIRECTORY_INFORMATION if file_ids else DIRECTORY_INFORMATION
        self._frontier = Frontier(information_class=information_class, resume=resume)
        self._inbox: deque[Exchange] = deque()
        self._asked = self._asked_bytes = self._asked_listings = 0
        self._ahead_rows = 0
        self._ahead = 0
        self._rows_each = float(_ROWS_AT_FIRST)

    def __iter__(self) -> Iterator[Walked]:
        frontier = self._frontier
        while frontier:
            self._cancel.raise_if_cancelled()
            self._ask()
            first = frontier.first
            if first.result is None and not frontier.is_dropped(first):
                if first.is_large:
                    self._try(first, self._read_large)
                else:
                    self._take_replies()
                continue
            frontier.hand_out()
            result, first.result = first.result, None
            if result is not None:
                self._ahead -= 1
                self._ahead_rows -= len(result.rows)
                if (result.problem is not None or not first.silent) and not first.dropped:
                    yield result

    def _ask(self) -> None:
        frontier = self._frontier
        while (node := frontier.next) is not None and self._may_ask(node):
            frontier.take(node)
            if self._known is not None and not node.looked_up:
                node.looked_up = True
                node.known = self._known.get(node.path)
                if node.known is not None and self._recursive:
                    frontier.add_children(node, node.known.directories)
            self._try(node, self._send)
            if not self._session.fast:
                return

    def _may_ask(self, node: Node) -> bool:
        if node is self._frontier.first:
            return True
        if not self._session.fast or node.in_turn:
            return False
        rows = self._ahead_rows + self._asked_listings * self._rows_each
        return self._asked_bytes < _IN_FLIGHT and rows < _AHEAD_ROWS and self._ahead + self._asked < _AHEAD_DIRECTORIES

    def _try(self, node: Node, step: Callable[[Node], None]) -> None:
        try:
            step(node)
        except (ChannelLost, ProtocolViolation) as error:
            self._again(node, error)
        except CompoundRefused as error:
            self._session.use_slow_path(str(error))
            node.is_large = False
            self._frontier.again(node)
        except Unlistable as error:
            self._give_up(node, ProblemKind.UNREADABLE, str(error))
        except _TagsNeeded:
            node.information_class, node.is_large = ID_DIRECTORY_INFORMATION, False
            self._frontier.again(node)

    def _again(self, node: Node, error: MediaWatchError) -> None:
        # Many are lost with a connection; the first in order counts for all, and has to get through or end the walk.
        if node is self._frontier.first:
            node.attempts += 1
        if node.attempts >= TRIES:
            raise SourceOfflineError(f"{self._session.credentials.place}: {error}") from error
        node.is_large = False
        self._frontier.again(node)

    def _send(self, node: Node) -> None:
        if not self._session.fast:
            self._finish_slowly(node)
            return
        pool = self._session.pool
        many = self._frontier.waiting >= _SECOND_CHANNEL_FROM
        channel = pool.least_busy(_ALL_CHANNELS if many else 1)
        try:
            messages = self._messages(node, channel.login)
        except ValueError as error:
            raise Unlistable(str(error)) from error
        pool.post(channel, messages, inbox=self._inbox, token=node)
        node.asked_bytes = sum([message.most for message in messages])
        self._asked += 1
        self._asked_bytes += node.asked_bytes
        self._asked_listings += node.known is None

    def _messages(self, node: Node, login: Login) -> tuple[Message, ...]:
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
        self._read_what_came()

    def _read_what_came(self) -> None:
        while self._inbox:
            exchange = self._inbox.popleft()
            self._asked -= 1
            node: Node = exchange.token
            self._asked_bytes -= node.asked_bytes
            self._asked_listings -= node.known is None
            if not self._frontier.is_dropped(node):
                self._try(node, partial(self._read, exchange))

    def _read(self, exchange: Exchange, node: Node) -> None:
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
            raise Unlistable(str(error)) from error
        finally:
            exchange.release()
        self._session.give_back(exchange.channel, found.leaked)
        if found.end is ListingEnd.MORE:
            # It is read on when it is its turn: one at a time, and its rows go straight on.
            node.is_large = True
        elif found.status == Status.PATH_NOT_COVERED:
            self._finish_slowly(node)
        else:
            self._rows_each += (len(found.entries) - self._rows_each) / _LISTINGS_REMEMBERED
            collected = self._collected(node)
            self._take(node, collected, found.entries)
            if self._may_keep(node, collected):
                self._listed(node, found, collected)
            else:
                node.in_turn = True
                self._frontier.again(node)

    def _may_keep(self, node: Node, collected: Collected) -> bool:
        """Whether there is room for it ahead of its turn: a server answers in any order, and with any amount."""
        if node is self._frontier.first:
            return True
        rows = self._ahead_rows + len(collected.rows)
        return rows <= _MOST_AHEAD_ROWS and self._frontier.has_room_ahead_for(collected.directories)

    def _read_large(self, node: Node) -> None:
        session, collected = self._session, self._collected(node)
        channel = session.pool.least_busy()

        def take(found: list[Entry]) -> None:
            self._take(node, collected, found)
            self._read_what_came()

        found = list_large(
            session.pool, channel, to_share(self._full(node.path)), information_class=node.information_class,
            cancel=self._cancel, clock=session.clock, take=take,
        )  # fmt: skip
        self._listed(node, found, collected)

    def _collected(self, node: Node) -> Collected:
        return Collected(node.path, self._choose, largest=self._largest, names=self._frontier.room)

    @staticmethod
    def _take(node: Node, collected: Collected, found: list[Entry]) -> None:
        # Only another class of listing tells links from files that the server keeps in an unusual way.
        if node.information_class == DIRECTORY_INFORMATION and any(entry[3] & REPARSE_POINT for entry in found):
            raise _TagsNeeded
        collected.add(found)

    def _finish_slowly(self, node: Node) -> None:
        known, node.known = node.known, None
        node.information_class = ID_DIRECTORY_INFORMATION
        path, collected = self._full(node.path), self._collected(node)
        try:
            if known is not None:
                self._probed(node, known, self._session.slow.look(path, options=Options.DIRECTORY, access=Access.LIST))
            else:
                found = self._session.slow.list(path, ID_DIRECTORY_INFORMATION, take=collected.add)
                self._listed(node, found, collected)
        except ValueError as error:
            raise Unlistable(str(error)) from error

    def _probed(self, node: Node, known: KnownDirectory, looked: operations.Look) -> None:
        if looked.opened is None or stamp_of(looked.opened) != known.stamp:
            # Changed, or gone, or unreadable: the listing says which.
            node.known = None
            self._send(node)
        elif self._is_unique(node, looked.opened):
            self._settle(node, Walked(node.path, stamp=known.stamp, directories=known.directories, unchanged=True))

    def _listed(self, node: Node, found: Listing, collected: Collected) -> None:
        if found.end is ListingEnd.FAILED or found.opened is None:
            self._failed(node, found.status)
            return
        if not self._is_unique(node, found.opened):
            return
        directories = collected.directories
        if self._recursive:
            if directories and node.depth >= DEEPEST:
                raise Unlistable(f"it holds directories, and stands {DEEPEST} directories below the root")
            if not self._frontier.has_room_for(directories):
                raise Unlistable(f"it holds more directories than can be kept in mind ({len(directories)})")
            self._frontier.add_children(node, directories)
        self._settle(
            node, Walked(node.path, stamp=stamp_of(found.opened), rows=collected.rows, directories=directories)
        )

    def _failed(self, node: Node, status: int) -> None:
        place = f"{self._session.credentials.place}/{identity.display_text(self._full(node.path))}"
        message = f"cannot list {place}: {describe(status)}"
        if node.parent is None:
            if status in DENIED:
                raise AuthenticationRequiredError(message, party="source")
            raise SourceOfflineError(message)
        if status not in _VANISHED or not self._is_gone(node):
            raise Unlistable(message)
        self._frontier.add_children(node, ())
        self._settle(node, Walked(node.path))

    def _is_gone(self, node: Node) -> bool:
        try:
            return not self._session.is_listed(self._full(node.path), top=self._root)
        except TransientError:
            return False

    def _is_unique(self, node: Node, opened: Opened) -> bool:
        if opened.file_id is None:
            return True
        node.unique = (opened.file_id, opened.volume_id)
        above = node.parent
        while above is not None:
            if above.unique == node.unique:
                message = f"it is its own ancestor {identity.display_text(above.path) or '.'}"
                self._give_up(node, ProblemKind.LOOP, message)
                return False
            above = above.parent
        return True

    def _give_up(self, node: Node, kind: ProblemKind, message: str) -> None:
        self._frontier.add_children(node, ())
        self._settle(node, Walked(node.path, problem=(kind, message)))

    def _settle(self, node: Node, result: Walked) -> None:
        node.result = result
        node.children = None
        self._ahead += 1
        self._ahead_rows += len(result.rows)
