"""SmbMediaScanner: lists the media files of a share."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import datetime
from struct import Struct
from typing import Any

from media_watch_tasks.abc import Filters, MediaScanner
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AuthenticationRequiredError, ConfigurationError, SourceOfflineError
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.scans import KnownDirectories, ScanPage, ScanProblem
from media_watch_tasks.scanning import MediaFilter, Resume, encode_checkpoint
from media_watch_tasks.smb.collected import Chosen, Walked
from media_watch_tasks.smb.connection import SmbConnection
from media_watch_tasks.smb.entries import DIRECTORY, HIDDEN, REPARSE_POINT, SYSTEM, Entry, signed_id
from media_watch_tasks.smb.links import is_link
from media_watch_tasks.smb.paths import clean
from media_watch_tasks.smb.statuses import DENIED, describe
from media_watch_tasks.smb.walk import Walk
from media_watch_tasks.smb.wire import Access, Opened, Options

__all__ = ["SmbMediaScanner", "source_id_of"]

_PAGE = 1_000
_LARGEST_MARKER = 65_536
_VOLUME = Struct("<QI")
_UNUSUAL = DIRECTORY | HIDDEN | SYSTEM | REPARSE_POINT

_Row = Any
"""An `AssetRow`; where file ids are listed, with the file id behind it."""


def source_id_of(connection: SmbConnection, root: bytes) -> str:
    """The stable name of a folder of a share, the same for scanner and resolver."""
    return f"{connection.url}/{identity.display_text(root)}" if root else connection.url


class SmbMediaScanner(MediaScanner, Filters):
    """Scans a share, or a folder of it.

    A small directory costs one frame each way, a known unchanged one too (a look at its times); dozens are under way at
    once. Links (symbolic links and junctions) are not followed; a link that the server follows by itself, as Samba
    does, looks like a directory, and one that leads into itself is recognised by its file id. Entries with the hidden
    or system attribute are left out unless the filter includes hidden ones.

    Args:
        connection: the share. The caller closes it.
        root: the folder within the share, `/` between its parts; all of the share by default.
        filter: what to list; None: everything but what `MediaFilter()` leaves out.
        source_id: the name in the database, `smb://host/share/folder` by default. A name of one's own lets the share
            move to another host.
        file_ids: True lists the file id of every entry, which costs the server about a quarter more. Those of
            directories always come, those of files with the first look at them.
        marker: path, relative to the root, of a file that must be there for the place to count as online. Its content
            (up to 64 KiB) is part of the identity of the place. It is never created.
        max_directory_entries: a directory with more entries is a problem, so that one without an end ends. The rows of
            a large one are sorted in a temporary file, of about 60 bytes a row.
    """

    def __init__(
        self,
        connection: SmbConnection,
        root: str | bytes = "",
        *,
        filter: MediaFilter | None = None,  # noqa: A002 - the word that users look for
        source_id: str | None = None,
        file_ids: bool = False,
        marker: str | None = None,
        max_directory_entries: int = 5_000_000,
    ) -> None:
        self._connection = connection
        self._session = connection.session
        self._root = clean(root)
        self._filter = filter or MediaFilter()
        self._file_ids = file_ids
        self._marker = clean(marker) if marker else None
        if max_directory_entries < 1:
            raise ConfigurationError(f"max_directory_entries must be at least 1, not {max_directory_entries!r}")
        self._largest = max_directory_entries
        self._source_id = source_id or source_id_of(connection, self._root)
        self._earlier = (self._filter.spec, self._filter)

    @property
    def source_id(self) -> str:
        """The name of the place."""
        return self._source_id

    @property
    def filter_spec(self) -> str:
        """The filter as text."""
        return self._filter.spec

    def leaves_out(self, directory: bytes) -> bool:
        """True if the filter leaves this folder, or one above it, unlisted."""
        return not self._filter.lists(directory)

    def was_visible(self, spec: str, asset: MediaAsset) -> bool:
        """True if the filter of that earlier spec would have let this asset through."""
        if self._earlier[0] != spec:
            self._earlier = (spec, MediaFilter.from_spec(spec))
        return self._earlier[1].admits(asset.asset_id, asset.size)

    def identify(self, *, cancel: CancelToken) -> RootIdentity:
        """Look at the root, one or two frames each way.

        Strong is the volume serial, but only where the server shows that it is the disk's own (Samba makes one from
        the share's name, which stays the same when the disk behind it is gone), and the marker. Weak are serial, volume
        id and file id of the root: another or no disk behind the same share differs in them.
        """
        cancel.raise_if_cancelled()
        look, volume = self._session.volume()
        top = self._checked(look.opened, look.status, b"")
        root = self._look_at_root() if self._root else top
        serial: int = _VOLUME.unpack_from(volume)[1] if len(volume) >= _VOLUME.size else 0
        is_own = bool(serial) and root.volume_id is not None and root.volume_id & 0xFFFF_FFFF == serial
        names = [f"volume {serial:08x}"] if is_own else []
        if self._marker is not None:
            names.append(f"marker {self._marker_id()}")
        weak = f"volume {serial:08x} root {root.volume_id or 0:x}:{root.file_id or 0:x}"
        return RootIdentity(
            strong=" ".join(names), weak=weak, file_ids_stable=self._file_ids and root.file_id is not None
        )

    def _look_at_root(self) -> Opened:
        look = self._session.look(self._root, options=Options.DIRECTORY, access=Access.ATTRIBUTES)
        return self._checked(look.opened, look.status, self._root)

    def _marker_id(self) -> str:
        path = identity.join(self._root, self._marker or b"")
        look = self._session.head(path, _LARGEST_MARKER)
        self._checked(look.opened if not look.status else None, look.status, path)
        return hashlib.sha256(look.data).hexdigest()[:32]

    def _checked(self, opened: Opened | None, status: int, path: bytes) -> Opened:
        if opened is not None:
            return opened
        message = f"cannot look at {self._connection.url}/{identity.display_text(path)}: {describe(status)}"
        if status in DENIED:
            raise AuthenticationRequiredError(message, party="source")
        raise SourceOfflineError(message)

    def scan_assets(
        self,
        *,
        known: KnownDirectories | None = None,
        since: datetime | None = None,  # noqa: ARG002 - an SMB share has no change feed
        resume_from: str | None = None,
        cancel: CancelToken,
    ) -> Iterator[ScanPage]:
        """Yield the pages of the share; see `MediaScanner`."""
        resume = None if resume_from is None else Resume.from_checkpoint(resume_from)
        walk = Walk(
            self._session, self._root, self._choose, cancel=cancel, largest=self._largest, known=known, resume=resume,
            file_ids=self._file_ids,
        )  # fmt: skip
        return self._pages(walk)

    def _pages(self, walk: Walk) -> Iterator[ScanPage]:
        for walked in walk:
            if walked.problem is None:
                yield from self._pages_of(walked)
                continue
            kind, message = walked.problem
            problem = ScanProblem(walked.directory, kind, message)
            checkpoint = encode_checkpoint(walked.directory)
            yield ScanPage(
                self._source_id, walked.directory, complete=False, problems=(problem,), checkpoint=checkpoint
            )

    def _pages_of(self, walked: Walked) -> Iterator[ScanPage]:
        rows = iter(walked.rows)
        portion = tuple(itertools.islice(rows, _PAGE))
        while following := tuple(itertools.islice(rows, _PAGE)):
            yield self._page(walked, portion, last=False)
            portion = following
        yield self._page(walked, portion, last=True)

    def _page(self, walked: Walked, portion: tuple[_Row, ...], *, last: bool) -> ScanPage:
        return ScanPage(
            self._source_id,
            walked.directory,
            tuple([row[:3] for row in portion]) if self._file_ids else portion,
            tuple([row[3] for row in portion]) if self._file_ids else (),
            complete=last,
            unchanged=walked.unchanged,
            stamp=walked.stamp if last else None,
            checkpoint=encode_checkpoint(walked.directory) if last else None,
            directories=tuple(walked.directories) if last else None,
        )

    def _choose(self, directory: bytes, entries: list[Entry]) -> Chosen:
        plain: dict[bytes, _Row] = {}
        folders: list[bytes] = []
        with_ids = self._file_ids
        hidden = 0 if self._filter.include_hidden else HIDDEN | SYSTEM
        smallest, largest = self._filter.min_size, self._filter.max_size
        for name, size, mtime_ns, attributes, file_id, tag in entries:
            if attributes & _UNUSUAL:
                entry = Entry(name, size, mtime_ns, attributes, file_id, tag)
                if attributes & hidden or is_link(entry):
                    continue
                if attributes & DIRECTORY:
                    folders.append(name)
                    continue
            if size >= smallest and (largest is None or size <= largest):
                plain[name] = (name, size, mtime_ns, signed_id(file_id)) if with_ids else (name, size, mtime_ns)
        kept = self._filter.files(directory, tuple(plain))
        return [plain[name] for name in kept], self._filter.directories(directory, folders)
