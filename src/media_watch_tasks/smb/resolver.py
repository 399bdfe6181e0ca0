"""SmbMediaResolver: makes the files of a share readable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import BinaryIO, cast

from media_watch_tasks.abc import MediaResolver, OpensByteSources
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.kinds import mime_type_of
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.smb.changes import SmbChanges
from media_watch_tasks.smb.connection import SmbConnection
from media_watch_tasks.smb.entries import DIRECTORY, filetime_to_ns, signed_id
from media_watch_tasks.smb.file import SmbFile
from media_watch_tasks.smb.open_file import OpenFile
from media_watch_tasks.smb.operations import Look
from media_watch_tasks.smb.paths import clean, is_asset_id
from media_watch_tasks.smb.place import SharePlace
from media_watch_tasks.smb.scanner import source_id_of
from media_watch_tasks.smb.wire import Access, Options, Share

__all__ = ["SmbMediaResolver"]

_ENDS = 32 * 1024
"""Bytes of each end of a file that come with its opening: what a prober reads first."""


class SmbMediaResolver(SmbChanges, MediaResolver, OpensByteSources):
    """Opens and looks at the files of a share; renames, moves and deletes them for after-upload actions. Thread-safe.

    A file that another SMB client has open for writing is not whole: `resolve_for_upload` raises `Snooze` for it. That
    look denies writing for the length of one frame; every longer open shares all access.

    Args:
        connection: the share. The caller closes it.
        root, source_id: the same as the scanner's.
        in_use_delay: how long a file in use is left alone.
    """

    def __init__(
        self,
        connection: SmbConnection,
        root: str | bytes = "",
        *,
        source_id: str | None = None,
        in_use_delay: timedelta = timedelta(seconds=30),
    ) -> None:
        self._session = connection.session
        below = clean(root)
        self._place = SharePlace(
            session=self._session,
            root=below,
            source_id=source_id or source_id_of(connection, below),
            in_use_delay=in_use_delay,
        )

    @property
    def source_id(self) -> str:
        """The scanner's `source_id`."""
        return self._place.source_id

    def resolve_for_upload(
        self, asset: MediaAsset, *, known_metadata: MediaMetadata | None = None, cancel: CancelToken
    ) -> ResolvedMedia:
        """Look at the file, one frame each way; see `MediaResolver`."""
        cancel.raise_if_cancelled()
        place, path = self._place, self._place.path(asset.asset_id)
        look = self._session.look(path, options=Options.FILE, access=Access.READ, share=Share.DENY_WRITE)
        if look.opened is None:
            raise place.refused(asset.asset_id, look.status, action="open")
        found = Fingerprint(look.opened.size, filetime_to_ns(look.opened.last_write))
        if found != asset.fingerprint:
            raise AssetChanged(
                f"{place.shown(asset.asset_id)} is another version now: {found}, not {asset.fingerprint}"
            )

        def open_stream(offset: int, length: int | None) -> BinaryIO:
            stream = SmbFile(self._opened(asset), offset=offset, length=length, verify=True)
            return cast("BinaryIO", stream)

        return ResolvedMedia(asset, mime_type_of(asset.name), open_stream, known_metadata)

    def stat(self, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> Sequence[AssetStat | None]:
        """Look at all of them, dozens at once, one frame each way for each; see `MediaResolver`."""
        cancel.raise_if_cancelled()
        known = [(number, asset) for number, asset in enumerate(assets) if is_asset_id(asset.asset_id)]
        paths = [self._place.path(asset.asset_id) for _, asset in known]
        looks = self._session.look_at(paths, access=Access.ATTRIBUTES, cancel=cancel)
        stats: list[AssetStat | None] = [None] * len(assets)
        for (number, asset), look in zip(known, looks, strict=True):
            stats[number] = self._stat(asset, look)
        return stats

    def open_byte_source(self, asset: MediaAsset, *, cancel: CancelToken) -> SmbFile:
        """Open the asset, one frame each way that brings its first and last 32 KiB too; see `OpensByteSources`.

        A batch of ranges (`read_many`) goes out at once; one that those two ends hold costs no round trip.
        """
        cancel.raise_if_cancelled()
        return SmbFile(self._opened(asset, ends=_ENDS))

    def _opened(self, asset: MediaAsset, *, ends: int = 0) -> OpenFile:
        refused = partial(self._place.refused, asset.asset_id, action="open")
        path = self._place.path(asset.asset_id)
        return OpenFile(self._session, path, version=asset.fingerprint, ends=ends, refused=refused)

    def _stat(self, asset: MediaAsset, look: Look) -> AssetStat | None:
        opened = look.opened
        if opened is None:
            error = self._place.refused(asset.asset_id, look.status, action="open")
            if isinstance(error, AssetNotFound):
                return None
            raise error
        if opened.attributes & DIRECTORY:
            return None
        return AssetStat(opened.size, filetime_to_ns(opened.last_write), signed_id(opened.file_id))
