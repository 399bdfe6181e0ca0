"""Fresh looks at files below a root, many of them in the same folder."""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import Self

from media_watch_tasks.local.attributes import signed_file_id
from media_watch_tasks.local.confined import NOT_THERE, READ, open_below
from media_watch_tasks.local.file_systems import FileSystem, file_system_of
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import AssetStat
from media_watch_tasks.model.identity import within_int64

__all__ = ["FileSystemKey", "FolderInUse"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_CLOSED = -1

FileSystemKey = tuple[int, int]
"""Device number and id of a mounted file system."""


class FolderInUse:
    """Looks at files, and keeps the folder of the last one open for the next."""

    def __init__(
        self, root: int, follow_below: bytes | None, file_systems: dict[FileSystemKey, FileSystem] | None = None
    ) -> None:
        """Take the open root, its path if links below it are to be followed, and what is known of file systems.

        To ask the kernel what a folder stands on costs more than the look at a file in it: who looks often keeps the
        answers. Another file system that is mounted under an old device number has another id, and so another key.
        """
        self._root = root
        self._follow_below = follow_below
        self._directory: bytes | None = None
        self._descriptor = _CLOSED
        """Of the folder; closed if that is gone."""
        self._file_system: FileSystem | None = None
        """What the folder stands on; None until a file was found in it."""
        self._file_systems = {} if file_systems is None else file_systems

    def look(self, path: bytes) -> AssetStat | None:
        """The file at a path; None if there is none. Raises `OSError` if that cannot be told."""
        directory, name = identity.split(path)
        if directory != self._directory:
            self._enter(directory)
        if self._descriptor == _CLOSED:
            return None
        try:
            found = self._stat(path, name)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise
        if not stat.S_ISREG(found.st_mode):
            return None
        keeps_file_ids = self._file_system is not None and self._file_system.keeps_file_ids
        file_id = signed_file_id(found.st_ino) if keeps_file_ids else None
        return AssetStat(found.st_size, within_int64(found.st_mtime_ns), file_id)

    def _stat(self, path: bytes, name: bytes) -> os.stat_result:
        found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        file_system = self._file_system or self._look_at_file_system(found.st_dev)
        if stat.S_ISLNK(found.st_mode) and self._follow_below is not None:
            return self._opened(path)
        if stat.S_ISREG(found.st_mode) and file_system.may_be_stale:
            # Opening makes the kernel ask the server; a stat alone may answer from its cache for a minute.
            try:
                return self._opened(path)
            except PermissionError:
                return found
        return found

    def _opened(self, path: bytes) -> os.stat_result:
        descriptor = open_below(self._root, path, READ, root_path=self._follow_below)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def _enter(self, directory: bytes) -> None:
        self.close()
        try:
            self._descriptor = open_below(self._root, directory, _FOLDER, root_path=self._follow_below)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
        self._directory = directory

    def _look_at_file_system(self, device: int) -> FileSystem:
        key = device, os.fstatvfs(self._descriptor).f_fsid
        if key not in self._file_systems:
            self._file_systems[key] = file_system_of(self._descriptor)
        self._file_system = self._file_systems[key]
        return self._file_system

    def close(self) -> None:
        """Close the folder."""
        self._directory = None
        self._file_system = None
        if self._descriptor != _CLOSED:
            os.close(self._descriptor)
            self._descriptor = _CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
