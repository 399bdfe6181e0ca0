"""SmbMediaResolver: makes the files of a share readable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import BinaryIO, cast

from media_watch_tasks.abc import MediaResolver
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    MediaWatchError,
    Snooze,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.kinds import mime_type_of
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.smb.connection import SmbConnection
from media_watch_tasks.smb.entries import DIRECTORY, filetime_to_ns, signed_id
from media_watch_tasks.smb.file import SmbFile
from media_watch_tasks.smb.operations import Look
from media_watch_tasks.smb.paths import clean
from media_watch_tasks.smb.scanner import source_id_of
from media_watch_tasks.smb.statuses import GONE, Status, describe, error_for
from media_watch_tasks.smb.wire import Access, Options, Share

__all__ = ["SmbMediaResolver"]

_FORBIDDEN = (b"\\", b"\0")
_STEPS = frozenset({b"", b".", b".."})


def _is_asset_id(asset_id: bytes) -> bool:
    return _STEPS.isdisjoint(asset_id.split(b"/")) and not any(mark in asset_id for mark in _FORBIDDEN)


class SmbMediaResolver(MediaResolver):
    """Opens and looks at the files of a share. Thread-safe.

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
        self._connection = connection
        self._session = connection.session
        self._root = clean(root)
        self._source_id = source_id or source_id_of(connection, self._root)
        self._in_use_delay = in_use_delay

    @property
    def source_id(self) -> str:
        """The scanner's `source_id`."""
        return self._source_id

    def resolve_for_upload(
        self, asset: MediaAsset, *, known_metadata: MediaMetadata | None = None, cancel: CancelToken
    ) -> ResolvedMedia:
        """Look at the file, one frame each way; see `MediaResolver`."""
        cancel.raise_if_cancelled()
        path = self._path(asset)
        look = self._session.look(path, options=Options.FILE, access=Access.READ, share=Share.DENY_WRITE)
        if look.opened is None:
            raise self._meaning(asset, path, look.status)
        found = Fingerprint(look.opened.size, filetime_to_ns(look.opened.last_write))
        if found != asset.fingerprint:
            raise AssetChanged(f"{self._shown(asset)} is another version now: {found}, not {asset.fingerprint}")

        def open_stream(offset: int, length: int | None) -> BinaryIO:
            return self._open(asset, path, offset, length)

        return ResolvedMedia(asset, mime_type_of(asset.name), open_stream, known_metadata)

    def stat(self, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> Sequence[AssetStat | None]:
        """Look at all of them, dozens at once, one frame each way for each; see `MediaResolver`."""
        cancel.raise_if_cancelled()
        known = [(number, asset) for number, asset in enumerate(assets) if _is_asset_id(asset.asset_id)]
        paths = [identity.join(self._root, asset.asset_id) for _, asset in known]
        looks = self._session.look_at(paths, access=Access.ATTRIBUTES, cancel=cancel)
        stats: list[AssetStat | None] = [None] * len(assets)
        for (number, asset), path, look in zip(known, paths, looks, strict=True):
            stats[number] = self._stat(asset, path, look)
        return stats

    def _stat(self, asset: MediaAsset, path: bytes, look: Look) -> AssetStat | None:
        opened = look.opened
        if opened is None:
            error = self._meaning(asset, path, look.status)
            if isinstance(error, AssetNotFound):
                return None
            raise error
        if opened.attributes & DIRECTORY:
            return None
        return AssetStat(opened.size, filetime_to_ns(opened.last_write), signed_id(opened.file_id))

    def _open(self, asset: MediaAsset, path: bytes, offset: int, length: int | None) -> BinaryIO:
        try:
            stream = SmbFile(self._session, path, offset=offset, length=length, version=asset.fingerprint)
        except AssetNotFound as error:
            raise self._meaning(asset, path, Status.OBJECT_NAME_NOT_FOUND) from error
        return cast("BinaryIO", stream)

    def _path(self, asset: MediaAsset) -> bytes:
        if not _is_asset_id(asset.asset_id):
            raise AssetNotFound(f"{self._shown(asset)} is not the path of a file of a share")
        return identity.join(self._root, asset.asset_id)

    def _shown(self, asset: MediaAsset) -> str:
        return f"{self._source_id}/{asset.display}"

    def _meaning(self, asset: MediaAsset, path: bytes, status: int) -> MediaWatchError:
        if status in {Status.FILE_IS_A_DIRECTORY, Status.NOT_A_DIRECTORY}:
            return AssetNotFound(f"{self._shown(asset)} is no file any more: {describe(status)}")
        error = error_for(status, f"cannot open {self._shown(asset)}")
        if isinstance(error, Snooze):
            return Snooze(self._in_use_delay, str(error))
        if status not in GONE:
            return error
        # Gone is what is gone from a folder that can be listed: a share that lost its disk answers the same status.
        try:
            there = self._session.is_listed(path, top=self._root)
        except (SourceOfflineError, TransientError) as other:
            return type(other)(f"{error}; {other}")
        return TransientError(f"{self._shown(asset)} is listed and cannot be opened") if there else error
