"""What is asked of a share, one thing at a time or many at once: looks, heads, names, changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import MediaWatchError, SourceOfflineError, TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.smb import operations, wire
from media_watch_tasks.smb.channel import Channel, Exchange
from media_watch_tasks.smb.entries import DIRECTORY_INFORMATION, Entry
from media_watch_tasks.smb.frames import ChannelLost
from media_watch_tasks.smb.large import list_large
from media_watch_tasks.smb.logged_in import TRIES, LoggedIn
from media_watch_tasks.smb.operations import CompoundRefused, Listing, ListingEnd, Look
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.statuses import GONE, Status, describe
from media_watch_tasks.smb.wire import Access, Message, Options, ProtocolViolation, Share

__all__ = ["ShareSession"]

_LOOKS_IN_FLIGHT, _MANY = 64, 64


class _Found(MediaWatchError):  # noqa: N818 - it ends a search
    pass


class ShareSession(LoggedIn):
    """The questions that scanner, resolver and files have in common. Thread-safe.

    What is asked of a path alone is asked again, at most `TRIES` times in all, when the connection is lost; a change is
    not. What the fast path cannot do is done with smbprotocol's own calls. All raise `SourceOfflineError` and
    `AuthenticationRequiredError`.
    """

    def look(self, path: bytes, *, options: int = Options.ANY, share: int = Share.ALL, access: int) -> Look:
        """Look at one path: one frame each way."""
        return self.look_at((path,), options=options, share=share, access=access)[0]

    def look_at(
        self, paths: Sequence[bytes], *, options: int = Options.ANY, share: int = Share.ALL, access: int,
        cancel: CancelToken | None = None,
    ) -> list[Look]:  # fmt: skip
        """Look at many paths, all under way at once, in order."""

        def messages(path: bytes, _channel: Channel) -> tuple[Message, ...]:
            return operations.look(to_share(path), options=options, share=share, access=access)

        def slowly(path: bytes) -> Look:
            return self.slow.look(path, options=options, access=access, share=share)

        return self._side_by_side(paths, messages, slowly, cancel)

    def close_and_look(self, channel: Channel, handle: bytes, path: bytes) -> Look:
        """Close a file and look at its path, in this order and in one round trip.

        While a file is open, Samba goes on giving the time of modification that it had when it was opened.
        """
        self._pool.post(channel, (wire.close(handle=handle),))
        message = operations.look(to_share(path), options=Options.ANY, share=Share.ALL, access=Access.ATTRIBUTES)
        exchange = self._pool.call(channel, message)
        look = operations.read_head(exchange.result())
        exchange.release()
        return look

    def heads(
        self, paths: Sequence[bytes], length: int, *, share: int, cancel: CancelToken | None = None
    ) -> list[Look]:
        """Read the heads of many files, all under way at once, in order. Keep the number of paths small."""

        def messages(path: bytes, channel: Channel) -> tuple[Message, ...]:
            return operations.head(to_share(path), length, 0, channel.login, share=share)

        def slowly(path: bytes) -> Look:
            return self.slow.look(path, length=length, access=Access.READ, share=share)

        return self._side_by_side(paths, messages, slowly, cancel)

    def _side_by_side(
        self,
        paths: Sequence[bytes],
        messages: Callable[[bytes, Channel], tuple[Message, ...]],
        slowly: Callable[[bytes], Look],
        cancel: CancelToken | None,
    ) -> list[Look]:
        looks: dict[int, Look] = {}
        losses = 0
        while self._fast and len(looks) < len(paths):
            try:
                self._ask_all(paths, messages, looks, cancel)
            except CompoundRefused as error:
                self.use_slow_path(str(error))
            except (ChannelLost, ProtocolViolation) as error:
                losses += 1
                if losses == TRIES:
                    raise SourceOfflineError(f"{self.credentials.place}: {error}") from error
        for number, path in enumerate(paths):
            if number not in looks or looks[number].status == Status.PATH_NOT_COVERED:
                looks[number] = slowly(path)
        return [looks[number] for number in range(len(paths))]

    def _ask_all(
        self,
        paths: Sequence[bytes],
        messages: Callable[[bytes, Channel], tuple[Message, ...]],
        looks: dict[int, Look],
        cancel: CancelToken | None,
    ) -> None:
        inbox: deque[Exchange] = deque()
        asked = 0
        for number, path in enumerate(paths):
            if number not in looks:
                # A server uses one processor for each connection: many files are worth all of them.
                channel = self._pool.least_busy(self._connections if len(paths) >= _MANY else 1)
                self._pool.post(channel, messages(path, channel), inbox=inbox, token=number)
                asked += 1
            if asked >= _LOOKS_IN_FLIGHT:
                asked -= self._collect(inbox, looks, cancel)
        while asked:
            asked -= self._collect(inbox, looks, cancel)

    def _collect(self, inbox: deque[Exchange], looks: dict[int, Look], cancel: CancelToken | None) -> int:
        self._pool.wait(lambda: bool(inbox), self._pool.channels, cancel=cancel)
        taken = 0
        while inbox:
            exchange = inbox.popleft()
            look = operations.read_head(exchange.result())
            exchange.release()
            self.give_back(exchange.channel, look.leaked)
            looks[exchange.token] = look
            taken += 1
        return taken

    def head(self, path: bytes, length: int, *, offset: int = 0, share: int = Share.ALL) -> Look:
        """Read the head of a file (or another short range of it) in one frame each way."""
        if self._fast:
            try:
                look = self.attempt(lambda channel: self._head(channel, path, length, offset, share))
            except CompoundRefused as error:
                self.use_slow_path(str(error))
            else:
                if look.status != Status.PATH_NOT_COVERED:
                    return look
        return self.slow.look(path, length=length, offset=offset, access=Access.READ, share=share)

    def _head(self, channel: Channel, path: bytes, length: int, offset: int, share: int) -> Look:
        exchange = self._pool.call(channel, operations.head(to_share(path), length, offset, channel.login, share=share))
        look = operations.read_head(exchange.result())
        exchange.release()
        self.give_back(channel, look.leaked)
        return look

    def change(self, path: bytes, information_class: int, data: bytes) -> int:
        """Rename or delete a file that nobody writes: one frame each way. The status says whether it was done.

        It is never repeated: who loses the answer cannot know whether it was done, and gets `SourceOfflineError`.
        """
        return self._once(
            operations.change(to_share(path), information_class, data, share=Share.DENY_WRITE),
            lambda: self.slow.change(path, information_class, data, share=Share.DENY_WRITE),
        )

    def make_folder(self, path: bytes) -> int:
        """Make a folder unless it is there: one frame each way. The status says whether it is there now."""
        return self._once(operations.folder(to_share(path)), lambda: self.slow.make_folder(path))

    def _once(self, messages: tuple[Message, ...], slowly: Callable[[], int]) -> int:
        if self._fast:
            try:
                channel = self._pool.least_busy()
                exchange = self._pool.call(channel, messages)
                status, leaked = operations.read_change(exchange.result())
            except CompoundRefused as error:
                self.use_slow_path(str(error))
            except ProtocolViolation as error:
                raise SourceOfflineError(f"{self.credentials.place}: {error}") from error
            else:
                self.give_back(channel, leaked)
                if status != Status.PATH_NOT_COVERED:
                    return status
        return slowly()

    def is_listed(self, path: bytes, *, top: bytes) -> bool:
        """True if the folder of `path` can be listed and shows its name: then it is there, whatever else is said.

        Raises:
            SourceOfflineError: the folder `top`, which has to be there, is gone.
            TransientError: the folder, or one above it, is there and cannot be listed.
        """
        folder, name = identity.split(path)
        found = self._find(folder, name)
        if found.end is not ListingEnd.FAILED:
            return found.end is ListingEnd.MORE
        message = f"cannot list {self.credentials.place}/{identity.display_text(folder)}: {describe(found.status)}"
        if found.status not in GONE and found.status != Status.NOT_A_DIRECTORY:
            raise TransientError(message)
        if folder == top or not folder:
            raise SourceOfflineError(message)
        if self.is_listed(folder, top=top) and found.status in GONE:
            raise TransientError(message)
        return False

    def _find(self, folder: bytes, name: bytes) -> Listing:
        """List a folder until a name shows (`MORE`), to its end (`COMPLETE`), or `FAILED`."""

        def look_for_it(found: list[Entry]) -> None:
            if any(entry[0] == name for entry in found):
                raise _Found

        try:
            if self._fast:
                try:
                    listing = self.attempt(lambda channel: self._list(channel, folder, look_for_it))
                except CompoundRefused as error:
                    self.use_slow_path(str(error))
                else:
                    if listing.status != Status.PATH_NOT_COVERED:
                        return listing
            return self.slow.list(folder, DIRECTORY_INFORMATION, take=look_for_it)
        except _Found:
            return Listing(ListingEnd.MORE, 0)

    def _list(self, channel: Channel, folder: bytes, take: Callable[[list[Entry]], None]) -> Listing:
        path = to_share(folder)
        exchange = self._pool.call(channel, operations.listing(path, channel.login, DIRECTORY_INFORMATION))
        found = operations.read_listing(exchange.result(), DIRECTORY_INFORMATION)
        exchange.release()
        self.give_back(channel, found.leaked)
        if found.end is not ListingEnd.MORE:
            take(found.entries)
            return found
        return list_large(
            self._pool, channel, path, information_class=DIRECTORY_INFORMATION, cancel=CancelToken(), clock=self.clock,
            take=take,
        )  # fmt: skip

    def volume(self) -> tuple[Look, bytes]:
        """A look at the root of the share, and its FileFsVolumeInformation (MS-FSCC 2.5.9), empty if it has none."""
        if self._fast:
            try:
                return self.attempt(self._volume)
            except CompoundRefused as error:
                self.use_slow_path(str(error))
        return self.slow.volume()

    def _volume(self, channel: Channel) -> tuple[Look, bytes]:
        exchange = self._pool.call(channel, operations.volume())
        created, queried, closed = exchange.result()
        look = operations.read_head((created, closed))
        data = bytes(wire.data_of(queried)) if look.opened and queried.status == Status.SUCCESS else b""
        self.give_back(channel, look.leaked)
        return look, data
