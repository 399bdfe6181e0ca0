"""The SMB scanner and resolver keep to the contracts, on a real Samba, in their usual way and without the fast path."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner
from media_watch_tasks.testing.contracts.resolver import MediaResolverContract
from media_watch_tasks.testing.contracts.scanner import MediaScannerContract
from media_watch_tasks.testing.places import DirectoryPlace

Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

NOT_IN_SMB = frozenset(b'\\:*?"<>|' + bytes(range(32)))
"""Characters that Samba shows under a made-up name (MS-FSCC 2.1.5)."""
DEVICES = {b"CON", b"PRN", b"AUX", b"NUL"}


class SmbPlace(DirectoryPlace):
    """A folder of a share; the server acts as a user whom permissions bind."""

    def __init__(self, folder: str, share: str, connection: SmbConnection, *, file_ids: bool) -> None:
        super().__init__(folder)
        os.chmod(self.root, 0o777)
        self._connection, self._file_ids = connection, file_ids
        self._inside = os.path.relpath(self.root, os.fsencode(share))

    def scanner(self) -> SmbMediaScanner:
        return SmbMediaScanner(self._connection, self._inside, file_ids=self._file_ids)

    def resolver(self) -> SmbMediaResolver:
        return SmbMediaResolver(self._connection, self._inside)

    def set_readable(self, path: str | bytes, *, readable: bool) -> None:
        os.chmod(self.path(path), 0o755 if readable else 0)
        self._undo.callback(_open, self.path(path))

    def holds(self, name: bytes) -> bool:
        try:
            name.decode()
        except UnicodeDecodeError:
            return False
        return (
            NOT_IN_SMB.isdisjoint(name)
            and not name.endswith((b" ", b"."))
            and name.partition(b".")[0].upper() not in DEVICES
        )


def _open(path: bytes) -> None:
    if os.path.exists(path):
        os.chmod(path, 0o755)


class SmbSuite:
    holds_links: ClassVar[bool] = False  # Samba follows links itself and shows what they lead to
    mtime_step_ns: ClassVar[int] = 100
    fast_path: ClassVar[bool] = True
    file_ids: ClassVar[bool] = True
    shows_set_back_times: ClassVar[bool] = False  # Samba gives the time of modification as the change time too

    @pytest.fixture
    def place(self, server: Server) -> Iterator[SmbPlace]:
        folder = tempfile.mkdtemp(dir=server.share)
        os.chmod(folder, 0o755)
        with (
            server.connect(share="plain", fast_path=self.fast_path) as connection,
            SmbPlace(folder, str(server.share), connection, file_ids=self.file_ids) as place,
        ):
            yield place


class TestSmbMediaScanner(SmbSuite, MediaScannerContract):
    pass


class TestSmbMediaScannerWithoutFileIds(SmbSuite, MediaScannerContract):
    file_ids = False


class TestSmbMediaResolver(SmbSuite, MediaResolverContract):
    pass


class TestSmbMediaResolverWithoutFastPath(SmbSuite, MediaResolverContract):
    fast_path = False


class TestSmbMediaScannerWithoutFastPath(SmbSuite, MediaScannerContract):
    fast_path = False
