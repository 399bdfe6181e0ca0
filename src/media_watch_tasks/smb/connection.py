"""SmbConnection: a share of a NAS, for programs and for the scanner and resolver of this room."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Literal, Self

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError, MediaWatchError, TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.smb.collected import Chosen
from media_watch_tasks.smb.entries import DIRECTORY, Entry, SmbEntry, filetime_to_ns, signed_id
from media_watch_tasks.smb.file import SmbFile
from media_watch_tasks.smb.frames import LARGEST_REPLY
from media_watch_tasks.smb.links import is_link
from media_watch_tasks.smb.login import Credentials
from media_watch_tasks.smb.open_file import OpenFile
from media_watch_tasks.smb.paths import clean
from media_watch_tasks.smb.session import ShareSession
from media_watch_tasks.smb.statuses import error_for
from media_watch_tasks.smb.walk import Walk
from media_watch_tasks.smb.wire import Access, Share

__all__ = ["SmbConnection", "SmbStatus"]

_LARGEST_DIRECTORY = 10_000_000
_HEADS_AT_ONCE, _HEADS_HELD = 256, 16 << 20
_DIALECTS = {0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1"}


@attrs.frozen(kw_only=True)
class SmbStatus:
    """How a connection stands."""

    connected: bool
    connections: int
    dialect: str | None
    """`3.1.1` and so on; None while there is no connection."""
    signed: bool
    encrypted: bool
    fast_path: bool
    """False: the server needs smbprotocol's own calls."""
    logins: int
    """Logins since the object was made; more than `connections` means that some were lost."""
    frames_sent: int
    """Requests sent since then, logins not counted; a compound is one."""


class SmbConnection:
    r"""A share of an SMB server, logged in to at the first use (or by `connect`, or by `with`). Thread-safe.

    A connection that was lost, or a session that expired, is replaced: at most three times for one request, with waits
    of seconds; then `SourceOfflineError` says that the place is offline. There is never a guest or anonymous session,
    unless `username="guest"` asks for it.

    Args:
        host: name or address of the server.
        share: name of the share, without slashes.
        username: `user`, `DOMAIN\user` or `user@domain`.
        password: the password, or a callable that is asked for it at every login.
        port: TCP port.
        encrypt: True demands encryption, False refuses a server that demands it, None leaves it to the server.
        require_signing: refuse replies that are not signed (or encrypted).
        auth: `negotiate` (Kerberos where it is set up, else NTLM), `ntlm`, or `kerberos` (extra `smb-kerberos`).
        timeout: seconds that the server may be silent.
        connections: most TCP connections; a server uses one processor for each.
        fast_path: False uses only smbprotocol's own calls, for a server that the fast ones fail on.
        clock: for tests.

    Raises:
        MissingDependencyError: smbprotocol (or, for Kerberos, gssapi) is not installed.
        ConfigurationError: an argument is wrong.
    """

    def __init__(
        self,
        host: str,
        share: str,
        *,
        username: str,
        password: str | Callable[[], str],
        port: int = 445,
        encrypt: bool | None = None,
        require_signing: bool = True,
        auth: Literal["negotiate", "ntlm", "kerberos"] = "negotiate",
        timeout: float = 30,
        connections: int = 2,
        fast_path: bool = True,
        clock: Clock | None = None,
    ) -> None:
        share = share.strip("/\\")
        if not host or not share or any(mark in host + share for mark in "/\\"):
            raise ConfigurationError(f"host and share are names without slashes, not {host!r} and {share!r}")
        if not username:
            raise ConfigurationError("an SMB connection needs a user name: anonymous sessions are not made")
        if auth not in {"negotiate", "ntlm", "kerberos"}:
            raise ConfigurationError(f"auth must be negotiate, ntlm or kerberos, not {auth!r}")
        if not isinstance(port, int) or not 0 < port < 1 << 16:
            raise ConfigurationError(f"port must be a number from 1 to 65535, not {port!r}")
        if not timeout > 0 or connections < 1:
            raise ConfigurationError(f"timeout and connections must be positive, not {timeout!r} and {connections!r}")
        asked = password if callable(password) else lambda: password
        self._credentials = Credentials(
            host=host, port=port, share=share, username=username, password=asked, encrypt=encrypt,
            require_signing=require_signing, auth=auth, timeout=float(timeout),
        )  # fmt: skip
        self._session = ShareSession(
            self._credentials, connections=connections, clock=clock or SystemClock(), fast_path=fast_path
        )

    @property
    def session(self) -> ShareSession:
        """What the scanner and the resolver of this room work with; not for programs."""
        return self._session

    @property
    def url(self) -> str:
        """`smb://host/share`, with the port where it is not 445; without user and password."""
        credentials = self._credentials
        port = "" if credentials.port == 445 else f":{credentials.port}"  # noqa: PLR2004 - the port of SMB
        return f"smb://{credentials.host}{port}/{credentials.share}"

    def connect(self) -> None:
        """Log in now.

        Raises:
            AuthenticationRequiredError: the server refuses the credentials, or offers a guest session only.
            SourceOfflineError: the server or the share cannot be reached.
            ConfigurationError: server and arguments do not agree on encryption.
        """
        self._session.connect()

    def reconnect(self) -> None:
        """Log off and in again, with a password that is asked for anew."""
        self._session.close()
        self._session.connect()

    def close(self) -> None:
        """Log off. The object may be used again: it logs in at the next use."""
        self._session.close()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SmbConnection {self.url} as {self._credentials.username!r}>"

    def list_directory(self, path: str | bytes = "", *, recursive: bool = False) -> Iterator[SmbEntry]:
        """The entries of a directory, sorted by name; with `recursive` those of all directories below it too.

        Everything is shown, hidden entries too. Links are shown and not followed.

        Raises:
            AssetNotFound, SourceOfflineError, AuthenticationRequiredError: the directory itself cannot be listed.
            TransientError: a directory below it cannot be listed.
        """
        top = clean(path)

        def choose(_directory: bytes, entries: list[Entry]) -> Chosen:
            folders = [entry.name for entry in entries if entry.attributes & DIRECTORY and not is_link(entry)]
            return [tuple(entry) for entry in entries], folders

        if top:
            self._must_be_directory(top)
        walk = Walk(self._session, top, choose, cancel=CancelToken(), largest=_LARGEST_DIRECTORY, recursive=recursive)
        for walked in walk:
            if walked.problem is not None:
                raise TransientError(walked.problem[1])
            folder = identity.join(top, walked.directory) if top and walked.directory else top or walked.directory
            for row in walked.rows:
                entry = Entry._make(row)
                yield _shown(identity.join(folder, entry.name), entry)

    def _must_be_directory(self, path: bytes) -> None:
        look = self._session.look(path, access=Access.ATTRIBUTES)
        if look.opened is None:
            raise error_for(look.status, f"cannot list {self.url}/{identity.display_text(path)}")

    def stat(self, path: str | bytes) -> SmbEntry:
        """A fresh look at a file or directory: one frame each way.

        Raises `AssetNotFound`, `SourceOfflineError`, `AuthenticationRequiredError`, `TransientError`.
        """
        asset_id = clean(path)
        look = self._session.look(asset_id, access=Access.ATTRIBUTES)
        if look.opened is None:
            raise error_for(look.status, f"cannot look at {self.url}/{identity.display_text(asset_id)}")
        opened = look.opened
        return SmbEntry(
            identity.to_utf16_text(asset_id),
            0 if opened.attributes & DIRECTORY else opened.size,
            filetime_to_ns(opened.last_write),
            opened.attributes,
            filetime_to_ns(opened.change),
            signed_id(opened.file_id),
        )

    def read_range(self, path: str | bytes, offset: int, length: int) -> bytes:
        """At most `length` bytes of a file from `offset`; fewer only at its end. Others may write meanwhile.

        Up to 1 MiB takes one frame each way. Raises what `stat` raises.
        """
        if offset < 0 or length < 0:
            raise ConfigurationError(f"offset and length must not be negative: {offset}, {length}")
        return self._read(clean(path), offset, length, Share.ALL)

    def read_partial(self, path: str | bytes, size: int = 512 * 1024) -> bytes:
        """The head of a file that nobody is writing: one frame each way.

        Raises `Snooze` while another client has the file open for writing, else what `stat` raises.
        """
        if size < 0:
            raise ConfigurationError(f"size must not be negative: {size}")
        return self._read(clean(path), 0, size, Share.DENY_WRITE)

    def read_heads(
        self, paths: Iterable[str | bytes], size: int = 64 * 1024, *, cancel: CancelToken | None = None
    ) -> Iterator[bytes | MediaWatchError]:
        """The heads of many files in order: one frame each way for each, and many of them under way at once.

        A file that cannot be read yields the exception that `read_partial` would have raised (for a file that is being
        written a `Snooze`), and the rest goes on. `size` is at most 1 MiB.

        Raises `SourceOfflineError`, `AuthenticationRequiredError`, `OperationCancelled`.
        """
        if not 0 <= size <= LARGEST_REPLY:
            raise ConfigurationError(f"size must be between 0 and {LARGEST_REPLY}: {size}")
        portion = max(_HEADS_HELD // max(size, 1), 1)
        waiting = (clean(path) for path in paths)
        while batch := list(itertools.islice(waiting, min(portion, _HEADS_AT_ONCE))):
            looks = self._session.heads(batch, size, share=Share.DENY_WRITE, cancel=cancel)
            for path, look in zip(batch, looks, strict=True):
                if look.opened is None or look.status:
                    yield error_for(look.status, f"cannot read {self.url}/{identity.display_text(path)}")
                else:
                    yield look.data

    def _read(self, path: bytes, offset: int, length: int, share: int) -> bytes:
        look = self._session.head(path, length, offset=offset, share=share)
        if look.opened is None or look.status:
            raise error_for(look.status, f"cannot read {self.url}/{identity.display_text(path)}")
        rest = min(length, look.opened.size - offset) - len(look.data)
        if not look.data or rest <= 0:
            return look.data
        with SmbFile(OpenFile(self._session, path)) as file:
            return look.data + file.read_at(offset + len(look.data), rest)

    def open(self, path: str | bytes) -> SmbFile:
        """The file as a seekable stream and byte source that reads ahead; the caller closes it.

        Raises what `stat` raises.
        """
        return SmbFile(OpenFile(self._session, clean(path)))

    def status(self) -> SmbStatus:
        """How the connection stands; asks nobody."""
        channels = self._session.pool.channels
        login = channels[0].login if channels else None
        return SmbStatus(
            connected=bool(channels),
            connections=len(channels),
            dialect=_DIALECTS.get(login.dialect, hex(login.dialect)) if login is not None else None,
            signed=login is not None and login.signing is not None,
            encrypted=login is not None and login.cipher is not None,
            fast_path=self._session.fast,
            logins=self._session.logins,
            frames_sent=self._session.pool.frames_sent,
        )


def _shown(path: bytes, entry: Entry) -> SmbEntry:
    size = 0 if entry.attributes & DIRECTORY else entry.size
    text = identity.to_utf16_text(path)
    return SmbEntry(text, size, entry.mtime_ns, entry.attributes, None, signed_id(entry.file_id))
