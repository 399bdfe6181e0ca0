"""The one place that touches smbprotocol, its inner attributes included: negotiation, authentication, tree connect.

smbprotocol reads its socket in a thread of its own, waits without a time limit while it logs in, and believes whatever
length a frame announces. Here its `Connection` is given a `LoginTransport`, and reads in the calling thread;
once the login stands, socket, keys, message ids and credits are handed over (`Login`) and the thread-free rest of this
room goes on with them. `moved_internals` says what a new release of smbprotocol has moved.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import smbclient
import smbprotocol.connection as _connection
import smbprotocol.open as opens
import spnego.exceptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import cmac
from cryptography.hazmat.primitives.ciphers import aead, algorithms
from smbprotocol.exceptions import SMBAuthenticationError, SMBException, SMBOSError, SMBResponseException
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    MediaWatchError,
    MissingDependencyError,
    SourceOfflineError,
)
from media_watch_tasks.smb.frames import ChannelLost
from media_watch_tasks.smb.login import Login
from media_watch_tasks.smb.login_transport import LoginTransport

__all__ = [
    "STATUS_ERRORS",
    "InvalidTag",
    "Link",
    "SMBResponseException",
    "aead",
    "algorithms",
    "cmac",
    "moved_internals",
    "opens",
    "require_kerberos",
    "smbclient",
    "status_of",
    "translated",
]

STATUS_ERRORS = (SMBResponseException, SMBOSError)
"""What smbprotocol raises for an NT status."""

_DIALECTS = frozenset({0x0202, 0x0210, 0x0300, 0x0302, 0x0311})
_HMAC_SHA256, _AES_CMAC = 0, 1
_CREDITS = 512
_SMB_3_0, _SMB_3_1_1 = 0x0300, 0x0311
# Logon statuses that mean "these credentials will not do": MS-ERREF 2.3.1.
_REFUSED = frozenset(
    {
        0xC0000022, 0xC000006A, 0xC000006D, 0xC000006E, 0xC000006F, 0xC0000070, 0xC0000071, 0xC0000072,
        0xC000015B, 0xC0000193, 0xC0000224, 0xC0000234, 0xC0000413,
    }
)  # fmt: skip
_NO_SUCH_SHARE = frozenset({0xC00000CC, 0xC00000C9})

_Untyped = Any
"""An object of smbprotocol, which ships no types."""


class _Connection(_connection.Connection):  # type: ignore[misc] # smbprotocol ships no types
    """smbprotocol's connection without its thread: `receive` reads the socket itself."""

    _own: LoginTransport | None = None
    clock: Clock

    @property
    def transport(self) -> LoginTransport | None:
        return self._own

    @transport.setter
    def transport(self, value: _Untyped) -> None:
        self._own = None if value is None else LoginTransport(value.server, value.port, value.timeout, self.clock)

    def _process_message_thread(self) -> None:
        """The thread that `connect` starts has nothing to do and ends at once."""

    def receive(
        self,
        request: _Untyped,
        wait: bool = True,  # noqa: FBT001, FBT002 - smbprotocol's signature
        timeout: float | None = None,
        resolve_symlinks: bool = True,  # noqa: FBT001, FBT002 - smbprotocol's signature
    ) -> _Untyped:
        while self._t_exc is None and (request.response is None or self._is_pending(request)):
            if self._own is None or not self._own.connected:
                raise ConnectionError("the connection is closed")
            self._own.allow_one()
            super()._process_message_thread()
        return super().receive(request, wait=wait, timeout=timeout, resolve_symlinks=resolve_symlinks)

    @staticmethod
    def _is_pending(request: _Untyped) -> bool:
        return bool(request.response["status"].get_value() == 0x103)  # noqa: PLR2004 - STATUS_PENDING


class Link:
    """One logged-in smbprotocol connection: `hand_over` gives it to a `Channel`, or `tree` is used as it is."""

    def __init__(
        self, *, host: str, port: int, share: str, username: str, password: str, encrypt: bool | None,
        require_signing: bool, auth: str, timeout: float, clock: Clock,
    ) -> None:  # fmt: skip
        self._where = f"//{host}/{share}"
        self._timeout = timeout
        moved = moved_internals()
        if moved:
            raise ConfigurationError(
                f"this release of smbprotocol is not supported ({', '.join(moved)} moved): "
                'pip install "smbprotocol>=1.17,<1.18"'
            )
        self._connection = _Connection(uuid.uuid4(), host, port, require_signing=require_signing)
        self._connection.clock = clock
        try:
            with translated(self._where):
                self._connection.connect(timeout=timeout)
                self._session = Session(
                    self._connection, username=username, password=password,
                    require_encryption=bool(encrypt), auth_protocol=auth,
                )  # fmt: skip
                self._session.connect()
                self._refuse_guest(username, require_signing=require_signing)
                self._refuse_encryption(forbidden=encrypt is False)
                self.tree = TreeConnect(self._session, rf"\\{host}\{share}")
                self._connect_tree()
        except BaseException:
            self.close(log_off=False)
            raise
        finally:
            # What proved who we are is of no more use; smbprotocol would keep it as long as the session.
            if hasattr(self, "_session"):
                self._session.password = None

    @property
    def dialect(self) -> int:
        """The dialect that was negotiated."""
        return int(self._connection.dialect)

    @property
    def is_known(self) -> bool:
        """True if the fast path knows the dialect."""
        return self.dialect in _DIALECTS

    def hand_over(self) -> Login:
        """Everything that is needed to go on without smbprotocol."""
        connection, session, tree = self._connection, self._session, self.tree
        with translated(self._where):
            # A first look at the share also brings credits: only what is asked for is ever granted.
            connection.echo(sid=session.session_id, timeout=self._timeout, credit_request=_CREDITS)
        encrypted = bool(session.encrypt_data or tree.encrypt_data)
        signed = bool(session.signing_required and session.signing_key) and not encrypted
        sock = connection.transport.sock if connection.transport is not None else None
        if sock is None:
            raise SourceOfflineError(f"{self._where}: the connection was closed")
        return Login(
            sock=sock,
            session_id=session.session_id,
            tree_id=tree.tree_connect_id,
            dialect=self.dialect,
            multi_credit=bool(connection.supports_multi_credit),
            max_transact=int(connection.max_transact_size),
            max_read=int(connection.max_read_size),
            next_message_id=connection.sequence_window["low"],
            credits=connection.sequence_window["high"] - connection.sequence_window["low"],
            is_dfs=bool(tree.is_dfs_share),
            signing=self._signing_algorithm() if signed else None,
            signing_key=session.signing_key if signed else None,
            cipher=(connection.cipher_id if self.dialect >= _SMB_3_1_1 else 1) if encrypted else None,
            encryption_key=session.encryption_key if encrypted else None,
            decryption_key=session.decryption_key if encrypted else None,
        )

    def close(self, *, log_off: bool = True) -> None:
        """End the session where it was not handed over, and the connection."""
        transport = self._connection.transport
        if transport is None:
            return
        if log_off and transport.connected:
            with contextlib.suppress(Exception):
                self._connection.disconnect(close=True, timeout=self._timeout)
        transport.close()

    def _signing_algorithm(self) -> int:
        if self.dialect >= _SMB_3_1_1 and self._connection.signing_algorithm_id is not None:
            return int(self._connection.signing_algorithm_id)
        return _AES_CMAC if self.dialect >= _SMB_3_0 else _HMAC_SHA256

    def _connect_tree(self) -> None:
        # SMB 3.1.1 servers refuse an unsigned tree connect, also where nothing else need be signed (MS-SMB2 3.2.4.1.1).
        session, wanted = self._session, self._session.signing_required
        if self.dialect >= _SMB_3_1_1 and session.signing_key and not session.encrypt_data:
            session.signing_required = True
        try:
            self.tree.connect(require_secure_negotiate=session.signing_key is not None)
        finally:
            session.signing_required = wanted

    def _refuse_encryption(self, *, forbidden: bool) -> None:
        if forbidden and self._session.encrypt_data:
            raise ConfigurationError(f"{self._where} demands encryption, and encrypt=False forbids it")

    def _refuse_guest(self, username: str, *, require_signing: bool) -> None:
        if self._session.signing_key is None and (username.casefold() != "guest" or require_signing):
            raise AuthenticationRequiredError(
                f"{self._where} did not accept the user {username!r} and offered a guest session instead",
                party="source",
            )


@contextlib.contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn what smbprotocol raises inside the block into an exception of this library that names the place."""
    try:
        yield
    except MediaWatchError:
        raise
    except Exception as error:  # noqa: BLE001 - any failure of foreign code becomes one of this library
        # The cause is cut off: a traceback of the login would show frames that hold the password.
        raise _meaning(error, place) from None


def _meaning(error: Exception, place: str) -> MediaWatchError:
    status, text = status_of(error), str(error).lower()
    if isinstance(error, (SMBAuthenticationError, spnego.exceptions.SpnegoError)) or status in _REFUSED:
        return AuthenticationRequiredError(f"{place} refuses the login: {_shown(error)}", party="source")
    if status in _NO_SUCH_SHARE:
        return SourceOfflineError(f"{place}: the server has no such share now (is its name right?)")
    if isinstance(error, SMBException) and status is None and "guest" in text:
        return AuthenticationRequiredError(
            f"{place} did not accept the user: it offered a guest session", party="source"
        )
    if isinstance(error, SMBException) and status is None and "encryption is required" in text:
        return ConfigurationError(f"{place}: encrypt=True, and the server cannot encrypt")
    return ChannelLost(f"{place}: {_shown(error)}")


def _shown(error: Exception) -> str:
    status = status_of(error)
    return f"NT status 0x{status:08X}" if status is not None else f"{type(error).__name__}: {error}"


def status_of(error: BaseException) -> int | None:
    """The NT status of an exception of smbprotocol, None if it has none."""
    if isinstance(error, SMBResponseException):
        return int(error.status)
    return int(error.ntstatus) if isinstance(error, SMBOSError) else None


def require_kerberos() -> None:
    """Raise `MissingDependencyError` unless pyspnego can speak Kerberos here."""
    if sys.platform != "win32" and importlib.util.find_spec("gssapi") is None:
        raise MissingDependencyError("Kerberos authentication", package="gssapi", extra="smb-kerberos")


_LEANT_ON: dict[str, tuple[str, ...]] = {
    "Connection": (
        "_process_message_thread", "_t_exc", "_t_worker", "cipher_id", "connect", "dialect", "echo", "max_read_size",
        "max_transact_size", "outstanding_requests", "receive", "require_signing", "sequence_window", "session_table",
        "signing_algorithm_id", "supports_multi_credit", "transport",
    ),
    "Session": (
        "auth_protocol", "connect", "decryption_key", "encrypt_data", "encryption_key", "password", "session_id",
        "signing_key", "signing_required",
    ),
    "TreeConnect": ("connect", "encrypt_data", "is_dfs_share", "tree_connect_id"),
}  # fmt: skip


def moved_internals() -> tuple[str, ...]:
    """The names this file leans on and the installed smbprotocol does not have; empty with a release that fits."""
    connection = _connection.Connection(uuid.UUID(int=0), "", 445)
    session = Session(connection, username="", password="", require_encryption=False)
    objects = {"Connection": connection, "Session": session, "TreeConnect": TreeConnect(session, "")}
    return tuple(
        f"{name}.{attribute}"
        for name, attributes in _LEANT_ON.items()
        for attribute in attributes
        if not hasattr(objects[name], attribute)
    )
