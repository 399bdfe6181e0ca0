"""The pages of one local folder: listed, left unlisted because it is unchanged, or with the reason why it cannot be."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterable, Sequence
from itertools import compress, repeat
from time import monotonic

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local.attributes import FolderStat, directory_stamp
from media_watch_tasks.local.descriptors import DirectoryChain
from media_watch_tasks.local.file_systems import FileSystem, file_system_of
from media_watch_tasks.local.links import link_targets
from media_watch_tasks.local.listing import LARGEST_SIZE, FileColumns, FilePortion, Look, file_portions, read_names
from media_watch_tasks.local.reading_ahead import FolderListing
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import DirectoryStamp, KnownDirectory, ProblemKind, ScanPage, ScanProblem
from media_watch_tasks.scanning.checkpoints import encode_checkpoint
from media_watch_tasks.scanning.filters import MediaFilter

__all__ = ["FolderPages", "Pages"]

_MOST_NAMED = 20
"""Entries of one folder that are told one by one when they cannot be looked at."""

Pages = Generator[ScanPage, None, Sequence[bytes]]
"""The pages of a folder; the generator returns the sorted names of the folders to visit in it."""


@attrs.define
class _Content:
    """What a folder holds, as far as it could be read."""

    files: list[bytes]
    folders: tuple[bytes, ...]
    stamp: DirectoryStamp | None
    look: Look = os.stat
    error: OSError | None = None
    failures: list[OSError] = attrs.field(factory=list)


@attrs.define
class FolderPages:
    """Makes the pages of the folders of one scan. The folder that is meant is where the chain stands."""

    _source_id: str
    _root: LocalRoot
    _root_descriptor: int
    _chain: DirectoryChain
    _filter: MediaFilter
    _follow_symlinks: bool
    _cancel: CancelToken
    _file_systems: dict[int, FileSystem] = attrs.field(factory=dict, init=False)
    looks: int = attrs.field(default=0, init=False)
    """Files that were looked at by now."""
    took: float = attrs.field(default=0.0, init=False)
    """Seconds from the opening of the last folder that was read to its first page."""
    _began: float = attrs.field(default=0.0, init=False)

    def entered(self, directory: bytes, found: os.stat_result, known: KnownDirectory | None, *, silent: bool) -> Pages:
        """The pages of the folder that was just opened, with the stat of it from then.

        `silent`: it was done before the checkpoint; only the folders in it are asked for, and what hinders that.
        """
        self._cancel.raise_if_cancelled()
        file_system = self._file_system(found)
        stamp = _stamp(file_system, found)
        if known is not None and known.stamp == stamp:
            if not silent:
                yield self.unchanged(directory, known)
            return known.directories
        self._began = monotonic()
        content = self._read(directory, stamp)
        if not silent:
            yield from self._listed(directory, content, with_ids=file_system.keeps_file_ids)
        elif content.error is not None:
            self._root.require(self._root_descriptor)
            yield self.unlisted(directory, ProblemKind.UNREADABLE, content.error)
        return content.folders

    def read_ahead(self, directory: bytes, listing: FolderListing) -> Pages:
        """The page of a folder that another process has read, on a file system that is known (`knows`)."""
        self._cancel.raise_if_cancelled()
        file_system = self._file_systems[listing.itself.st_dev]
        names = self._filter.files(directory, listing.names)
        columns: Sequence[Iterable[int]] = (listing.sizes, listing.times, listing.inodes)
        if len(names) < len(listing.names):
            left = set(names)
            kept = [name in left for name in listing.names]
            columns = [compress(column, kept) for column in columns]
        looked_at = FileColumns(repeat(stat.S_IFREG, len(names)), *columns)
        rows, file_ids = looked_at.rows(names, *self._sizes())
        folders = tuple(self._filter.directories(directory, listing.folders))
        content = _Content([], folders, _stamp(file_system, listing.itself))
        portion = FilePortion(rows, file_ids, (), last=True)
        yield self._page(directory, content, portion, with_ids=file_system.keeps_file_ids)
        return folders

    def unchanged(self, directory: bytes, known: KnownDirectory) -> ScanPage:
        """The page of a folder whose stamp is the known one."""
        return ScanPage(
            self._source_id,
            directory,
            unchanged=True,
            stamp=known.stamp,
            checkpoint=encode_checkpoint(directory),
            directories=known.directories,
        )

    def empty(self, directory: bytes) -> ScanPage:
        """The page of a folder in which nothing is."""
        return ScanPage(self._source_id, directory, checkpoint=encode_checkpoint(directory), directories=())

    def unlisted(self, directory: bytes, kind: ProblemKind, error: OSError) -> ScanPage:
        """The page of a folder that cannot be listed."""
        return ScanPage(
            self._source_id,
            directory,
            complete=False,
            problems=(_folder_problem(directory, kind, error),),
            checkpoint=encode_checkpoint(directory),
        )

    def stamp_from_outside(self, found: os.stat_result) -> DirectoryStamp | None:
        """The stamp of a folder that is not open; None on a file system that no open folder has stood on yet."""
        file_system = self._file_systems.get(found.st_dev)
        return None if file_system is None else _stamp(file_system, found)

    def knows(self, device: int) -> bool:
        """True if an open folder has stood on the file system of this device number."""
        return device in self._file_systems

    def _file_system(self, found: os.stat_result) -> FileSystem:
        file_system = self._file_systems.get(found.st_dev)
        if file_system is None:
            file_system = self._file_systems[found.st_dev] = file_system_of(self._chain.descriptor())
        return file_system

    def _read(self, directory: bytes, stamp: DirectoryStamp | None) -> _Content:
        names = read_names(self._chain.descriptor(), self._cancel)
        files, folders = names.files, names.directories
        content = _Content([], (), stamp, error=names.error)
        if self._follow_symlinks and names.links:
            targets = link_targets(self._root_descriptor, self._root.path, directory, names.links)
            files, folders = files + list(targets.files), folders + targets.directories
            content.failures += targets.failures
            content.look = targets.look()
            # What a link leads to may change without a trace in the folder that holds the link.
            content.stamp = None
        # In place: of a folder with a million files each copy would count.
        content.files = self._filter.files(directory, files)
        content.files.sort()
        content.folders = tuple(sorted(self._filter.directories(directory, folders)))
        return content

    def _listed(self, directory: bytes, content: _Content, *, with_ids: bool) -> Generator[ScanPage]:
        portions = file_portions(
            self._chain.descriptor(), content.files, sizes=self._sizes(), cancel=self._cancel, look=content.look
        )
        self.looks += len(content.files)
        self.took = 0.0
        for portion in portions:
            self.took = self.took or monotonic() - self._began
            content.failures += portion.failures
            yield self._page(directory, content, portion, with_ids=with_ids)

    def _page(self, directory: bytes, content: _Content, portion: FilePortion, *, with_ids: bool) -> ScanPage:
        file_ids = portion.file_ids if with_ids else ()
        if not portion.last:
            return ScanPage(self._source_id, directory, portion.rows, file_ids, complete=False)
        problems = self._problems(directory, content)
        return ScanPage(
            self._source_id,
            directory,
            portion.rows,
            file_ids,
            complete=not problems,
            stamp=None if problems else content.stamp,
            problems=problems,
            checkpoint=encode_checkpoint(directory),
            directories=None if problems else content.folders,
        )

    def _sizes(self) -> tuple[int, int]:
        largest = self._filter.max_size
        return self._filter.min_size, LARGEST_SIZE if largest is None else largest

    def _problems(self, directory: bytes, content: _Content) -> tuple[ScanProblem, ...]:
        if content.error is None and not content.failures:
            return ()
        # When the root is lost it shows first in something below it.
        self._root.require(self._root_descriptor)
        problems = [
            ScanProblem(
                identity.join(directory, failure.filename),
                ProblemKind.UNREADABLE,
                f"the entry cannot be looked at: {_reason(failure)}",
            )
            for failure in content.failures[:_MOST_NAMED]
        ]
        if len(content.failures) > _MOST_NAMED:
            more = f"{len(content.failures) - _MOST_NAMED} more entries cannot be looked at"
            problems.append(ScanProblem(directory, ProblemKind.UNREADABLE, more))
        if content.error is not None:
            problems.append(_folder_problem(directory, ProblemKind.UNREADABLE, content.error))
        return tuple(problems)


def _stamp(file_system: FileSystem, found: os.stat_result | FolderStat) -> DirectoryStamp | None:
    if not file_system.keeps_directory_times:
        return None
    return directory_stamp(found, with_file_id=file_system.keeps_file_ids)


def _folder_problem(directory: bytes, kind: ProblemKind, error: OSError) -> ScanProblem:
    return ScanProblem(directory, kind, f"the folder cannot be listed: {_reason(error)}")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO)
