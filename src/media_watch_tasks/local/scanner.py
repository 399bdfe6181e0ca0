"""LocalMediaScanner: lists a folder of this machine, or of a share that is mounted on it."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from datetime import datetime

from media_watch_tasks.abc.scanner import Filters, LocalSource, MediaScanner
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, SourceOfflineError
from media_watch_tasks.local.confined import READ, is_well_formed, open_below
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.scans import KnownDirectories, ScanPage
from media_watch_tasks.scanning.filters import MediaFilter

__all__ = ["LocalMediaScanner"]

_log = logging.getLogger(__name__)
_LARGEST_MARKER = 65_536
_LINKS_FOLLOWED = "links followed; "


class LocalMediaScanner(MediaScanner, Filters, LocalSource):
    """Scans a folder and all below it. Nothing is opened before the first scan, so the folder may be offline then.

    The root itself may be a link; links below it are followed only with `follow_symlinks`, never out of the root and
    never in a circle. File ids and directory stamps are given only on file systems that are known to keep them.
    """

    def __init__(
        self,
        root: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        filter: MediaFilter | None = None,  # noqa: A002 - the word that users look for
        source_id: str | None = None,
        follow_symlinks: bool = False,
        marker: str | None = None,
    ) -> None:
        """Describe the place.

        Args:
            root: the folder; a relative path is taken from the current directory now.
            filter: what to list; None: everything but what `MediaFilter()` leaves out.
            source_id: the name in the database, `local:` and the absolute path by default. A name of one's own lets
                the folder move.
            follow_symlinks: list what links below the root lead to, if that is below the root too.
            marker: path, relative to the root, of a file that must be there for the place to count as online. Its
                content (up to 64 KiB) is part of the identity of the place. It is never created.

        Raises:
            ConfigurationError: the root or the marker is no path.
        """
        self._root = LocalRoot(root)
        self._source_id = source_id or self._root.source_id
        self._filter = filter or MediaFilter()
        self._follow_symlinks = follow_symlinks
        self._earlier: tuple[str, MediaFilter | None] = (self._filter.spec, self._filter)
        self._marker = None if marker is None else os.fsencode(marker)
        if self._marker is not None and not is_well_formed(self._marker):
            raise ConfigurationError(f"the marker is the path of a file below the root, not {marker!r}")

    @property
    def source_id(self) -> str:
        """The name of the place."""
        return self._source_id

    @property
    def folder(self) -> bytes:
        """The absolute path of the root."""
        return self._root.path

    def leaves_out(self, directory: bytes) -> bool:
        """True if the filter leaves this folder, or one above it, unlisted."""
        return not self._filter.lists(directory)

    @property
    def filter_spec(self) -> str:
        """The filter as JSON, and whether links are followed."""
        return (_LINKS_FOLLOWED if self._follow_symlinks else "") + self._filter.spec

    def was_visible(self, spec: str, asset: MediaAsset) -> bool:
        """True if the filter of that spec lets this asset through, every folder above it included.

        What an unreadable spec (of a later release) let through is not known: the asset counts as visible then.
        """
        if spec != self._earlier[0]:
            self._earlier = (spec, _filter_of(spec))
        earlier = self._earlier[1]
        if earlier is None:
            return True
        if not earlier.admits(asset.asset_id, asset.size):
            return False
        return spec.startswith(_LINKS_FOLLOWED) or not self._follow_symlinks or self._is_without_links(asset.asset_id)

    def identify(self, *, cancel: CancelToken) -> RootIdentity:
        """Look at the root.

        Strong: the UUID of the file system, where the kernel or udev tells it, and the digest of the marker. Weak:
        device number and inode. `SourceOfflineError` where the root cannot be listed or the marker is not there.
        """
        from media_watch_tasks.local.file_systems import file_system_of, file_system_uuid  # noqa: PLC0415 - as for a scan

        cancel.raise_if_cancelled()
        self._root.require()
        with self._root.opened() as descriptor:
            found = self._root.look(descriptor)
            try:
                uuid = file_system_uuid(descriptor)
            except OSError as error:  # without it the root would look like another one
                raise self._root.offline(error) from error
            names = {"fs-uuid": uuid, "marker-sha256": self._marker_digest(descriptor)}
            return RootIdentity(
                strong=" ".join(f"{name}={value}" for name, value in names.items() if value),
                weak=f"device={found.st_dev} inode={found.st_ino}",
                file_ids_stable=file_system_of(descriptor).keeps_file_ids,
            )

    def scan_assets(
        self,
        *,
        known: KnownDirectories | None = None,
        since: datetime | None = None,  # noqa: ARG002 - a local folder has no feed of its changes
        resume_from: str | None = None,
        cancel: CancelToken,
    ) -> Iterator[ScanPage]:
        """See `MediaScanner`. Folders are read when their pages are asked for, in a large tree a few of them before.

        From some thousand files on a second process takes half of the reading, if a second processor is idle: a child
        of this one that sees the root alone, and ends with the scan.
        """
        from media_watch_tasks.local.scan import scan_pages  # noqa: PLC0415 - what scans is loaded by the first scan

        return scan_pages(
            self._source_id,
            self._root,
            filter=self._filter,
            follow_symlinks=self._follow_symlinks,
            known=known,
            resume_from=resume_from,
            cancel=cancel,
        )

    def _is_without_links(self, asset_id: bytes) -> bool:
        with self._root.opened() as descriptor:
            try:
                os.close(open_below(descriptor, asset_id, READ))
            except OSError as error:
                return error.errno != errno.ELOOP
        return True

    def _marker_digest(self, root: int) -> str:
        if self._marker is None:
            return ""
        try:
            with open(open_below(root, self._marker, READ), "rb") as file:
                return hashlib.sha256(file.read(_LARGEST_MARKER)).hexdigest()
        except OSError as error:
            raise SourceOfflineError(
                f"the marker file {os.fsdecode(self._marker)!r} cannot be read in {self._root.display} ({error}):"
                " is the right disk mounted?"
            ) from error


def _filter_of(spec: str) -> MediaFilter | None:
    try:
        return MediaFilter.from_spec(spec.removeprefix(_LINKS_FOLLOWED))
    except ConfigurationError as error:
        _log.warning("earlier filter unknown: %s", error)
        return None
