"""Renames, moves and deletes files below a local root: what after-upload actions do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from media_watch_tasks.abc.action import ChangesSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetNotFound, PermanentError, TransientError
from media_watch_tasks.local.confined import NOT_THERE, is_well_formed, open_below
from media_watch_tasks.local.renaming import rename_if_free
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import MediaAsset

__all__ = ["LocalChanges"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY


class LocalChanges(ChangesSource):
    """Changes files of a root. Folders are opened step by step, so that no link leads a change out of it."""

    _root: LocalRoot

    def set_aside(self, asset: MediaAsset, aside: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`."""
        cancel.raise_if_cancelled()
        directory, name = identity.split(asset.asset_id)
        with self._changing(asset.asset_id), self._folder(directory) as folder:
            os.rename(name, identity.split(aside)[1], src_dir_fd=folder, dst_dir_fd=folder)

    def put_back(self, aside: bytes, asset_id: bytes, *, cancel: CancelToken) -> bool:
        """See `ChangesSource`."""
        cancel.raise_if_cancelled()
        directory, name = identity.split(asset_id)
        with self._changing(aside), self._folder(directory) as folder:
            return rename_if_free(identity.split(aside)[1], name, source=folder, target=folder)

    def remove(self, asset_id: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`."""
        cancel.raise_if_cancelled()
        directory, name = identity.split(asset_id)
        try:
            with self._changing(asset_id), self._folder(directory) as folder:
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except AssetNotFound:
            return

    def move_to(self, asset_id: bytes, target: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`. Where something stands at the target, the name gets a number."""
        cancel.raise_if_cancelled()
        directory, name = identity.split(asset_id)
        target_directory, wanted = identity.split(target)
        with self._changing(asset_id), self._folder(directory) as source:
            self._make_folders(target_directory)
            with self._folder(target_directory) as folder:
                number = 0
                free = wanted
                while not rename_if_free(name, free, source=source, target=folder):
                    number += 1
                    stem, extension = os.path.splitext(wanted)
                    free = b"%s (%d)%s" % (stem, number, extension)
                os.fsync(folder)

    @contextmanager
    def _folder(self, directory: bytes) -> Iterator[int]:
        if directory and not is_well_formed(directory):
            raise PermanentError(f"{identity.display_text(directory)!r} is no folder below {self._root.display}")
        with self._root.opened() as root:
            descriptor = open_below(root, directory, _FOLDER)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_folders(self, directory: bytes) -> None:
        parent = b""
        for name in directory.split(b"/") if directory else ():
            with self._folder(parent) as folder, suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            parent = identity.join(parent, name)

    @contextmanager
    def _changing(self, asset_id: bytes) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._root.require()
            shown = identity.display_text(asset_id)
            if error.errno in NOT_THERE:
                raise AssetNotFound(f"{shown} is not in {self._root.display} any more") from error
            reason = os.strerror(error.errno or errno.EIO)
            raise TransientError(f"{shown} in {self._root.display} cannot be changed: {reason}") from error
