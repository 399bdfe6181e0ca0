"""What scanner, resolver and files of a share have in common: channels, new logins after a loss, the slow path."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar

import tenacity

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import MediaWatchError, MissingDependencyError, SourceOfflineError, TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.smb import operations, wire
from media_watch_tasks.smb.channel import Channel, ChannelLost, Exchange
from media_watch_tasks.smb.entries import DIRECTORY_INFORMATION, Entry
from media_watch_tasks.smb.fallback import SlowCalls
from media_watch_tasks.smb.large import list_large
from media_watch_tasks.smb.login import Credentials, Login
from media_watch_tasks.smb.operations import CompoundRefused, Listing, ListingEnd, Look
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.pool import ChannelPool
from media_watch_tasks.smb.statuses import GONE, Status, describe
from media_watch_tasks.smb.wire import Access, Message, Options, ProtocolViolation, Share

__all__ = ["TRIES", "ShareSession", "load_smbprotocol"]

logger = logging.getLogger(__name__)

_PACKAGES = frozenset({"smbprotocol", "smbclient", "spnego", "cryptography"})
TRIES = 3
"""How often a login, or one request, is tried before the place counts as offline."""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 4.0
_LOOKS_IN_FLIGHT, _MANY = 64, 64

_T = TypeVar("_T")


def load_smbprotocol() -> ModuleType:
    """The private module that imports smbprotocol. Raises `MissingDependencyError`."""
    try:
        return importlib.import_module("media_watch_tasks.smb._smbprotocol")
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in {
            "smbprotocol",
            "smbclient",
            "spnego",
            "cryptography",
        }:
            raise
        raise MissingDependencyError("SMB", package="smbprotocol", extra="smb") from error


class _Found(MediaWatchError):  # noqa: N818 - it ends a search
    pass


class ShareSession:
    """A share that is logged in to when it is needed, and again when the connection was lost. Thread-safe."""

    def __init__(self, credentials: Credentials, *, connections: int, clock: Clock, fast_path: bool) -> None:
        self.credentials = credentials
        self.clock = clock
        self._module = load_smbprotocol()
        if credentials.auth == "kerberos":
            self._module.require_kerberos()
        self._connections = connections
        self._pool = ChannelPool(self._open_channel, size=connections)
        self._fast = fast_path
        self._slow: SlowCalls | None = None
        self._lock = threading.Lock()
        self._abandoned: deque[tuple[Channel, bytes]] = deque()
        self.logins = 0

    @property
    def pool(self) -> ChannelPool:
        """The channels."""
        return self._pool

    @property
    def fast(self) -> bool:
        """False once the server was found to need smbprotocol's own calls."""
        return self._fast

    def use_slow_path(self, reason: str) -> None:
        """From now on everything goes through smbprotocol's own calls."""
        if self._fast:
            self._fast = False
            logger.warning("smb fast path left", extra={"place": self.credentials.place, "reason": reason})

    @property
    def slow(self) -> SlowCalls:
        """The calls of smbprotocol, over a connection of their own."""
        with self._lock:
            if self._slow is None:
                self._slow = SlowCalls(self.credentials, self._module)
            return self._slow

    def connect(self) -> None:
        """Log in now instead of at the first use.

        Raises:
            AuthenticationRequiredError: the server refuses the credentials.
            SourceOfflineError: the server or the share cannot be reached.
        """
        if self._fast:
            # What the fast path cannot do, the login says by leaving it.
            with contextlib.suppress(CompoundRefused):
                self._pool.ensure(1)
        if not self._fast:
            self.slow.connect()

    def close(self) -> None:
        """Log off."""
        self._pool.close()
        with self._lock:
            slow, self._slow = self._slow, None
        if slow is not None:
            slow.close()

    def attempt(self, operation: Callable[[Channel], _T]) -> _T:
        """Do something with a channel; with a new one, at most `TRIES` times in all, when it is lost on the way.

        Raises `SourceOfflineError` when that did not help, and what `operation` raises.
        """
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            retry=tenacity.retry_if_exception_type((ChannelLost, ProtocolViolation)),
            reraise=True,
        )
        try:
            return tries(lambda: operation(self._pool.least_busy()))
        except ProtocolViolation as error:
            raise SourceOfflineError(f"{self.credentials.place}: {error}") from error

    def give_back(self, channel: Channel, handle: bytes | None) -> None:
        """Close a handle without waiting for the answer; a failure is of no consequence."""
        if handle is not None and channel.alive:
            with contextlib.suppress(ChannelLost):
                self._pool.post(channel, (wire.close(handle=handle),))
        while self._abandoned:
            self.give_back(*self._abandoned.popleft())

    def abandon(self, channel: Channel, handle: bytes) -> None:
        """Note a handle that nobody closed; it is closed with a later one. Safe in a destructor."""
        self._abandoned.append((channel, handle))

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

    def _open_channel(self) -> Channel:
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            retry=tenacity.retry_if_exception_type(ChannelLost),
            sleep=self.clock.sleep,
            reraise=True,
        )
        return tries(self._log_in)

    def _log_in(self) -> Channel:
        credentials = self.credentials
        link = self._module.Link(
            host=credentials.host, port=credentials.port, share=credentials.share, username=credentials.username,
            password=credentials.password(), encrypt=credentials.encrypt, require_signing=credentials.require_signing,
            auth=credentials.auth, timeout=credentials.timeout,
        )  # fmt: skip
        try:
            login = self._admit(link)
            channel = Channel(login, crypto=self._module, timeout=credentials.timeout, clock=self.clock)
        except BaseException:
            link.close()
            raise
        self.logins += 1
        logger.debug("smb login", extra={"place": credentials.place, "dialect": f"0x{login.dialect:04x}"})
        return channel

    def _admit(self, link: Any) -> Login:  # noqa: ANN401 - a Link, whose module is loaded at run time
        if not link.is_known:
            self.use_slow_path(f"unknown dialect 0x{link.dialect:04x}")
            raise CompoundRefused(f"the dialect 0x{link.dialect:04x} is not known to the fast path")
        login: Login = link.hand_over()
        if login.is_dfs:
            self.use_slow_path("the share is part of a DFS name space")
            raise CompoundRefused("the share is part of a DFS name space")
        return login
