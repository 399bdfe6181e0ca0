"""A share that is logged in to when it is needed: its channels, new logins after a loss, and the slow path."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import tenacity

from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import MissingDependencyError, SourceOfflineError
from media_watch_tasks.smb import wire
from media_watch_tasks.smb.channel import Channel
from media_watch_tasks.smb.fallback import SlowCalls
from media_watch_tasks.smb.frames import ChannelLost
from media_watch_tasks.smb.login import Credentials, Login
from media_watch_tasks.smb.operations import CompoundRefused
from media_watch_tasks.smb.pool import ChannelPool
from media_watch_tasks.smb.wire import ProtocolViolation

__all__ = ["TRIES", "LoggedIn", "load_smbprotocol"]

logger = logging.getLogger(__name__)

_PACKAGES = frozenset({"smbprotocol", "smbclient", "spnego", "cryptography"})
TRIES = 3
"""How often a login, or one request, is tried before the place counts as offline."""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 4.0

_T = TypeVar("_T")


def load_smbprotocol() -> ModuleType:
    """The private module that imports smbprotocol. Raises `MissingDependencyError`."""
    try:
        return importlib.import_module("media_watch_tasks.smb._smbprotocol")
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in _PACKAGES:
            raise
        raise MissingDependencyError("SMB", package="smbprotocol", extra="smb") from error


class LoggedIn:
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
            auth=credentials.auth, timeout=credentials.timeout, clock=self.clock,
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
