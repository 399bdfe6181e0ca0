"""Walks a local tree in the order of path components: which folder comes next, and what if it cannot be entered."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator, Sequence

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local.descriptors import DirectoryChain
from media_watch_tasks.local.folder import FolderPages, Pages
from media_watch_tasks.local.reading_ahead import FolderListing, ReadingAhead
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import DirectoryStamp, KnownDirectories, KnownDirectory, ProblemKind, ScanPage
from media_watch_tasks.scanning.checkpoints import Position, Resume

__all__ = ["TreeWalk"]

_log = logging.getLogger(__name__)
_NO_FOLDER_NOW = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})


@attrs.define
class TreeWalk:
    """One scan of the tree below an open root."""

    _root: LocalRoot
    _descriptor: int
    _chain: DirectoryChain
    _folders: FolderPages
    _known: KnownDirectories | None
    _resume: Resume | None
    _cancel: CancelToken
    _ahead: ReadingAhead | None

    def pages(self) -> Iterator[ScanPage]:
        """All pages. Raises `SourceOfflineError` where the root is lost, `OperationCancelled` where that is asked."""
        known = self._known_directory(b"")
        silent = self._position(b"") is not Position.AHEAD
        names = yield from self._folders.entered(b"", self._root.look(self._descriptor), known, silent=silent)
        # For each folder on the way down: those in it that are still to be visited, the next one last.
        pending = [list(reversed(names))]
        here = b""
        while pending:
            if not pending[-1]:
                pending.pop()
                if pending:
                    self._chain.ascend()
                    here, _ = identity.split(here)
                continue
            name = pending[-1].pop()
            directory = identity.join(here, name)
            position = self._position(directory)
            if position is Position.BEHIND:
                continue
            depth = self._chain.depth
            if self._ahead is not None and self._resume is None:
                self._ahead.ask(self._upcoming(pending, here), looks=self._folders.looks)
            names = yield from self._visited(directory, name, silent=position is Position.ON_THE_WAY)
            if names:
                here = directory
                pending.append(list(reversed(names)))
            elif self._chain.depth > depth:
                self._chain.ascend()
        # What was found is only worth something if it was found in the place that is meant.
        self._root.require(self._descriptor)

    def _visited(self, directory: bytes, name: bytes, *, silent: bool) -> Pages:
        """Go into a folder and list it. `silent`: it was done before the checkpoint, only the folders in it matter."""
        known = self._known_directory(directory)
        if self._ahead is not None:
            listing = self._ahead.answer(directory, self._cancel, patience=2 * self._folders.took)
            if listing is not None and self._is_usable(name, listing):
                return (yield from self._folders.read_ahead(directory, listing))
        if known is not None and not known.directories and self._stamp_from_outside(name) == known.stamp:
            if not silent:
                yield self._folders.unchanged(directory, known)
            return ()
        try:
            found = self._descend(name)
        except OSError as error:
            # When the root is lost it shows first in a folder below it.
            self._root.require(self._descriptor)
            vanished = error.errno in _NO_FOLDER_NOW
            if vanished and self._is_gone(name):
                yield self._folders.empty(directory)
            else:
                kind = ProblemKind.VANISHED if vanished else ProblemKind.UNREADABLE
                yield self._folders.unlisted(directory, kind, error)
            return ()
        if self._chain.encloses(found):
            # Not a problem: what is in it is listed where it stands.
            _log.info("folder leads back to one above it", extra={"directory": identity.display_text(directory)})
            yield self._folders.empty(directory)
            return ()
        return (yield from self._folders.entered(directory, found, known, silent=silent))

    def _is_usable(self, name: bytes, listing: FolderListing) -> bool:
        """True if what was read ahead may stand for a listing made now; the walk has gone into the folder then.

        Where nothing is to be visited in it, the walk stays outside.
        """
        if not self._folders.knows(listing.itself.st_dev) or self._chain.passes(listing.itself):
            return False
        if not listing.folders:
            return True
        try:
            found = self._chain.descend(name)
        except OSError:
            return False
        if (found.st_dev, found.st_ino) == (listing.itself.st_dev, listing.itself.st_ino):
            return True
        self._chain.ascend()
        return False

    def _upcoming(self, pending: Sequence[Sequence[bytes]], here: bytes) -> Iterator[bytes]:
        """The folders that the walk comes to next, as far as is known."""
        for names in reversed(pending):
            for name in reversed(names):
                yield from self._with_known_below(identity.join(here, name))
            here, _ = identity.split(here)

    def _with_known_below(self, directory: bytes) -> Iterator[bytes]:
        yield directory
        if self._ahead is not None:
            for name in self._ahead.folders_in(directory):
                yield from self._with_known_below(identity.join(directory, name))

    def _descend(self, name: bytes) -> os.stat_result:
        try:
            return self._chain.descend(name)
        except OSError as error:
            if error.errno not in _NO_FOLDER_NOW or self._is_gone(name):
                raise
        # It was deleted and made again between two calls.
        return self._chain.descend(name)

    def _is_gone(self, name: bytes) -> bool:
        """True if the parent has no such folder any more: somebody deleted or moved it while the scan was under way."""
        try:
            return not stat.S_ISDIR(self._chain.look(name).st_mode)
        except OSError as error:
            return error.errno == errno.ENOENT

    def _stamp_from_outside(self, name: bytes) -> DirectoryStamp | None:
        """The stamp of a folder that has not been opened; it costs one call instead of three."""
        try:
            found = self._chain.look(name)
        except OSError:
            return None
        return self._folders.stamp_from_outside(found) if stat.S_ISDIR(found.st_mode) else None

    def _known_directory(self, directory: bytes) -> KnownDirectory | None:
        return None if self._known is None else self._known.get(directory)

    def _position(self, directory: bytes) -> Position:
        if self._resume is None:
            return Position.AHEAD
        position = self._resume.position(directory)
        if position is Position.AHEAD:
            self._resume = None
        return position
