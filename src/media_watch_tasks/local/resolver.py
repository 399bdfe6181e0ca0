"""LocalMediaResolver: opens and looks at files below a local root, and nothing outside it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from functools import partial
from typing import BinaryIO

from media_watch_tasks.abc.byte_source import ByteSource, OpensByteSources
from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, MediaWatchError, PermanentError, TransientError
from media_watch_tasks.local.changes import LocalChanges
from media_watch_tasks.local.confined import NOT_THERE, READ, is_well_formed, open_below
from media_watch_tasks.local.file_systems import FileSystem
from media_watch_tasks.local.looks import FileSystemKey, FolderInUse
from media_watch_tasks.local.proof import RootProof
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.local.stream import open_version
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia
from media_watch_tasks.model.identity import Fingerprint, within_int64
from media_watch_tasks.model.kinds import mime_type_of
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.scanning.local_byte_source import OpenFileSource

__all__ = ["LocalMediaResolver"]


class LocalMediaResolver(LocalChanges, MediaResolver, OpensByteSources):
    """Resolves what a `LocalMediaScanner` of the same root lists. Give both the same `source_id` and `follow_symlinks`.

    Every asset is opened step by step from the root. A file counts as gone only where the root, and every folder above
    the file that still exists, could be opened for reading, and where no other place has taken that of the root since
    this resolver found a file there.
    """

    def __init__(
        self,
        root: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        source_id: str | None = None,
        follow_symlinks: bool = False,
    ) -> None:
        """Describe the place; nothing is opened yet."""
        self._root = LocalRoot(root)
        self._proof = RootProof(self._root)
        self._source_id = source_id or self._root.source_id
        self._follow_below = self._root.path if follow_symlinks else None
        self._file_systems: dict[FileSystemKey, FileSystem] = {}

    @property
    def source_id(self) -> str:
        """The name of the place."""
        return self._source_id

    def resolve_for_upload(
        self, asset: MediaAsset, *, known_metadata: MediaMetadata | None = None, cancel: CancelToken
    ) -> ResolvedMedia:
        """See `MediaResolver`. `PermanentError` for an asset id that no scan could have given.

        The streams have a `fileno()`; its own file position is the stream's first byte. They raise `AssetChanged` in
        place of the last bytes, or of the end, if the file is another version by then.
        """
        cancel.raise_if_cancelled()
        os.close(self._open_version_of(asset))
        return ResolvedMedia(asset, mime_type_of(asset.name), partial(self._stream, asset), metadata=known_metadata)

    def open_byte_source(self, asset: MediaAsset, *, cancel: CancelToken) -> ByteSource:
        """See `OpensByteSources`. It has a `fileno()`; every read raises `AssetChanged` of another version."""
        cancel.raise_if_cancelled()
        return OpenFileSource(
            self._open_version_of(asset),
            asset.display,
            verify=partial(self._require_version, asset),
            failed=partial(self._failed, asset),
        )

    def stat(self, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> Sequence[AssetStat | None]:
        """See `MediaResolver`. Assets of one folder that stand together cost one opening of it."""
        looks: list[AssetStat | None] = []
        found = False
        with self._root.opened() as root, FolderInUse(root, self._follow_below, self._file_systems) as folder:
            for asset in assets:
                cancel.raise_if_cancelled()
                try:
                    look = folder.look(asset.asset_id) if is_well_formed(asset.asset_id) else None
                except OSError as error:
                    raise self._failed(asset, error) from error
                looks.append(look)
                found = found or look is not None
            if found:
                self._proof.found(root)
            elif looks:
                self._proof.require(root)
                self._root.require(root)
        return looks

    def _stream(self, asset: MediaAsset, offset: int, length: int | None) -> BinaryIO:
        if offset < 0 or (length is not None and length < 0):
            raise ValueError(f"a range begins at 0 or later and is not shorter than 0 bytes: {offset}, {length}")
        descriptor = self._open_version_of(asset)
        start = min(offset, asset.size)
        return open_version(
            descriptor,
            start=start,
            end=asset.size if length is None else min(start + length, asset.size),
            verify=partial(self._verify, asset),
            failed=partial(self._failed, asset),
        )

    def _open_version_of(self, asset: MediaAsset) -> int:
        """A descriptor of the file, which is the version that the asset names."""
        if not is_well_formed(asset.asset_id):
            raise PermanentError(f"{asset.display!r} is no path below {self._root.display}")
        with self._root.opened() as root:
            try:
                descriptor = open_below(root, asset.asset_id, READ, root_path=self._follow_below)
            except OSError as error:
                self._proof.require(root)
                raise self._failed(asset, error) from error
            self._proof.found(root)
        try:
            self._require_version(asset, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _require_version(self, asset: MediaAsset, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise AssetNotFound(f"{asset.display} in {self._root.display} is no file any more")
        self._compare(asset, _fingerprint(found))

    def _verify(self, asset: MediaAsset, descriptor: int) -> None:
        """Raise `AssetChanged` if the open file, or the one that stands in its place now, is another version.

        If none stands there any more, what was read is still the whole version.
        """
        self._compare(asset, _fingerprint(os.fstat(descriptor)))
        (present,) = self.stat((asset,), cancel=CancelToken())
        if present is not None:
            self._compare(asset, present.fingerprint)

    def _compare(self, asset: MediaAsset, found: Fingerprint) -> None:
        if found != asset.fingerprint:
            raise AssetChanged(
                f"{asset.display} in {self._root.display} is another version:"
                f" {found.size} bytes of {found.mtime_ns} ns, not {asset.size} of {asset.mtime_ns}"
            )

    def _failed(self, asset: MediaAsset, error: OSError) -> MediaWatchError:
        # When the root is lost it shows first in something below it.
        self._root.require()
        if error.errno in NOT_THERE:
            return AssetNotFound(f"{asset.display} is not in {self._root.display} any more")
        reason = os.strerror(error.errno or errno.EIO)
        return TransientError(f"{asset.display} in {self._root.display} cannot be read: {reason}")


def _fingerprint(found: os.stat_result) -> Fingerprint:
    return Fingerprint(found.st_size, within_int64(found.st_mtime_ns))
