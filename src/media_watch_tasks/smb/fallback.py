"""The slow path: smbprotocol's own calls, one request after the other.

For servers and shares that the fast path cannot serve: an unknown dialect, a DFS name space, no related compounds, too
few credits. The replies are unpacked by the same code, because smbprotocol's own values lose the last digit of times.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from struct import Struct
from types import ModuleType
from typing import Any

from media_watch_tasks.errors import AuthenticationRequiredError
from media_watch_tasks.smb import entries
from media_watch_tasks.smb.entries import Entry
from media_watch_tasks.smb.frames import ChannelLost
from media_watch_tasks.smb.login import Credentials
from media_watch_tasks.smb.operations import Listing, ListingEnd, Look
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.statuses import CONNECTION_OVER, Status, describe
from media_watch_tasks.smb.wire import Access, Opened, Options, ProtocolViolation, Share

__all__ = ["SlowCalls", "SlowHandle"]

_NETWORK_OPEN_INFORMATION, _INTERNAL_INFORMATION, _VOLUME_INFORMATION = 34, 6, 1
_FILE, _FILE_SYSTEM = 1, 2
_OPEN_INFORMATION = Struct("<16xQQ8xQI")
_INTERNAL = Struct("<Q")
_MOST = 64 * 1024


class SlowHandle:
    """An open file or directory."""

    def __init__(self, raw: Any, module: ModuleType, timeout: float) -> None:  # noqa: ANN401 - smbprotocol is untyped
        self._raw = raw
        self._open = raw.fd
        self._module = module
        self._timeout = timeout
        self.opened = self._describe()

    def _describe(self) -> Opened:
        times = self._ask(_FILE, _NETWORK_OPEN_INFORMATION, 56)
        written, changed, size, attributes = _OPEN_INFORMATION.unpack_from(times)
        file_id: int = _INTERNAL.unpack_from(self._ask(_FILE, _INTERNAL_INFORMATION, 8))[0]
        return Opened(self._open.file_id, written, changed, size, attributes, file_id or None, None)

    def _ask(self, info_type: int, information_class: int, length: int) -> bytes:
        query = self._module.opens.SMB2QueryInfoRequest()
        query["info_type"] = info_type
        query["file_info_class"] = information_class
        query["output_buffer_length"] = length
        query["file_id"] = self._open.file_id
        reply = self._module.opens.SMB2QueryInfoResponse()
        reply.unpack(self._exchange(query)["data"].get_value())
        data: bytes = reply["buffer"].get_value()
        if len(data) < min(length, 8):
            raise ProtocolViolation(f"an answer of {len(data)} bytes to a question for {length} is too short")
        return data

    def _exchange(self, message: Any) -> Any:  # noqa: ANN401 - smbprotocol is untyped
        connection, tree = self._open.connection, self._open.tree_connect
        request = connection.send(message, tree.session.session_id, tree.tree_connect_id)
        return connection.receive(request, timeout=self._timeout)

    def volume(self) -> bytes:
        """The FileFsVolumeInformation of the file system."""
        return self._ask(_FILE_SYSTEM, _VOLUME_INFORMATION, 1024)

    def set_info(self, information_class: int, data: bytes) -> None:
        """Change something of the file."""
        change = self._module.opens.SMB2SetInfoRequest()
        change["info_type"] = _FILE
        change["file_info_class"] = information_class
        change["file_id"] = self._open.file_id
        change["buffer"] = data
        self._exchange(change)

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes; none at the end."""
        try:
            data: bytes = self._open.read(offset, min(length, _MOST))
        except self._module.SMBResponseException as error:
            if error.status == Status.END_OF_FILE:
                return b""
            raise
        return data

    def entries(self, information_class: int) -> Iterator[list[Entry]]:
        """The entries of a directory, buffer by buffer."""
        while True:
            query, _ = self._open.query_directory("*", information_class, max_output=_MOST, send=False)
            try:
                header = self._exchange(query)
            except self._module.SMBResponseException as error:
                if error.status in {Status.NO_MORE_FILES, Status.NO_SUCH_FILE}:
                    return
                raise
            reply = self._module.opens.SMB2QueryDirectoryResponse()
            reply.unpack(header["data"].get_value())
            yield entries.unpack_entries(reply["buffer"].get_value(), information_class)

    def close(self) -> None:
        """Close it; a failure is of no consequence."""
        with contextlib.suppress(Exception):
            self._raw.close()


class SlowCalls:
    """Opens, lists and looks, with a connection of its own. Thread-safe: one call at a time."""

    def __init__(self, credentials: Credentials, module: ModuleType) -> None:
        self._credentials = credentials
        self._module = module
        self._cache: dict[str, Any] = {}
        self._lock = threading.RLock()

    def connect(self) -> None:
        """Log in. Raises what the fast path raises."""
        credentials = self._credentials
        with self._lock, self._module.translated(credentials.place):
            session = self._module.smbclient.register_session(
                credentials.host, username=credentials.username, password=credentials.password(),
                port=credentials.port, encrypt=credentials.encrypt, connection_timeout=int(credentials.timeout),
                connection_cache=self._cache, auth_protocol=credentials.auth,
                require_signing=credentials.require_signing,
            )  # fmt: skip
            # A tree connect has to be signed under SMB 3.1.1, and smbprotocol signs all or nothing.
            if session.signing_key and not session.encrypt_data:
                session.signing_required = True
            if session.signing_key is None and credentials.username.casefold() != "guest":
                raise AuthenticationRequiredError(
                    f"{credentials.place} refuses the user: it offers a guest session", party="source"
                )

    @contextlib.contextmanager
    def handle(
        self, path: bytes, *, kind: str, access: int = Access.ATTRIBUTES, share: int = Share.ALL
    ) -> Iterator[SlowHandle]:
        """An open handle of a `file` or `dir`; raises smbprotocol's exceptions for a status."""
        with self._lock:
            handle = self._open(path, kind=kind, access=access, share=share)
            try:
                yield handle
            finally:
                handle.close()

    def _open(self, path: bytes, *, kind: str, access: int, share: int) -> SlowHandle:
        credentials = self._credentials
        letters = "".join(letter for letter, bit in (("r", 1), ("w", 2), ("d", 4)) if share & bit)
        with self._lock:
            self.connect()
            raw = self._module.smbclient.open_file(
                self._unc(path), mode="rb", buffering=0, share_access=letters, desired_access=access, file_type=kind,
                port=credentials.port, username=credentials.username, connection_cache=self._cache,
            )  # fmt: skip
            return SlowHandle(raw, self._module, credentials.timeout)

    def list(self, path: bytes, information_class: int, *, take: Callable[[list[Entry]], None]) -> Listing:
        """List a directory; `take` gets its entries, portion by portion, and what it raises ends the listing.

        Raises `SourceOfflineError`, `AuthenticationRequiredError`.
        """
        with self._module.translated(self._credentials.place):
            try:
                with self.handle(path, kind="dir", access=Access.LIST) as handle:
                    for portion in handle.entries(information_class):
                        take(portion)
                    return Listing(ListingEnd.COMPLETE, 0, handle.opened)
            except self._module.STATUS_ERRORS as error:
                return Listing(ListingEnd.FAILED, self._status(error))

    def look(
        self,
        path: bytes,
        *,
        length: int = 0,
        options: int = Options.ANY,
        access: int = Access.ATTRIBUTES,
        share: int = Share.ALL,
        offset: int = 0,
    ) -> Look:
        """Look at a file or directory, and read of a file."""
        kinds = {Options.DIRECTORY: ("dir",), Options.FILE: ("file",)}.get(options, ("file", "dir"))
        look = Look(Status.INVALID_PARAMETER)
        with self._module.translated(self._credentials.place):
            for kind in kinds:
                try:
                    with self.handle(path, kind=kind, access=access, share=share) as handle:
                        return Look(0, handle.opened, self._read(handle, offset, length))
                except self._module.STATUS_ERRORS as error:
                    look = Look(self._status(error))
                if look.status != Status.FILE_IS_A_DIRECTORY:
                    break
        return look

    def read(self, handle: SlowHandle, offset: int, length: int) -> bytes:
        """Read of an open file, fewer bytes only at its end."""
        with self._lock, self._module.translated(self._credentials.place):
            return self._read(handle, offset, length)

    def open(self, path: bytes, *, access: int) -> tuple[Look, SlowHandle | None]:
        """Open a file, with everything shared, until the caller closes the handle."""
        with self._module.translated(self._credentials.place):
            try:
                handle = self._open(path, kind="file", access=access, share=Share.ALL)
            except self._module.STATUS_ERRORS as error:
                return Look(self._status(error)), None
        return Look(0, handle.opened), handle

    def _status(self, error: BaseException) -> int:
        status: int = self._module.status_of(error)
        if status in CONNECTION_OVER:
            raise ChannelLost(f"{self._credentials.place}: {describe(status)}")
        return status

    def change(self, path: bytes, information_class: int, data: bytes, *, share: int) -> int:
        """Change something of a file; the status is what was said to that."""
        with self._module.translated(self._credentials.place):
            try:
                with self.handle(path, kind="file", access=Access.DELETE, share=share) as handle:
                    handle.set_info(information_class, data)
            except self._module.STATUS_ERRORS as error:
                return self._status(error)
        return Status.SUCCESS

    def make_folder(self, path: bytes) -> int:
        """Make a folder where none stands; the status is what was said to that."""
        credentials = self._credentials
        with self._lock, self._module.translated(credentials.place):
            self.connect()
            try:
                self._module.smbclient.mkdir(
                    self._unc(path), port=credentials.port, username=credentials.username, connection_cache=self._cache
                )
            except self._module.STATUS_ERRORS as error:
                status = self._status(error)
                return Status.SUCCESS if status == Status.OBJECT_NAME_COLLISION else status
        return Status.SUCCESS

    def _unc(self, path: bytes) -> str:
        return rf"\\{self._credentials.host}\{self._credentials.share}" + "\\" + to_share(path)

    def volume(self) -> tuple[Look, bytes]:
        """A look at the root of the share, and its FileFsVolumeInformation."""
        with self._module.translated(self._credentials.place):
            try:
                with self.handle(b"", kind="dir") as handle:
                    return Look(0, handle.opened), handle.volume()
            except self._module.STATUS_ERRORS as error:
                return Look(self._status(error)), b""

    @staticmethod
    def _read(handle: SlowHandle, offset: int, length: int) -> bytes:
        parts = []
        while length > 0 and (part := handle.read(offset, length)):
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Log off."""
        with self._lock, contextlib.suppress(Exception):
            self._module.smbclient.reset_connection_cache(fail_on_error=False, connection_cache=self._cache)
