"""FakeScanner and FakeResolver over a `FakeTree`, and the streams that they open."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, cast

import attrs

from media_watch_tasks.abc.action import ChangesSource
from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.abc.prober import MediaProber
from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.abc.scanner import MediaScanner
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, ConfigurationError
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia, RootIdentity
from media_watch_tasks.model.kinds import mime_type_of
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import AssetRow, KnownDirectories, ProblemKind, ScanPage, ScanProblem
from media_watch_tasks.testing.fakes.tree import FakeFile, FakeTree

__all__ = ["FakeResolver", "FakeScanner"]

_CHECKPOINT = "fake:"


class FakeScanner(MediaScanner):
    """Lists a `FakeTree` as the contract asks: in order, page by page, lazily."""

    def __init__(self, tree: FakeTree, *, page_size: int = 1_000) -> None:
        self.tree = tree
        self.page_size = page_size
        self.listed: list[bytes] = []
        """Directories listed so far, over all scans: those left unlisted as unchanged are not in it."""

    @property
    def source_id(self) -> str:
        """The tree's."""
        return self.tree.source_id

    def identify(self, *, cancel: CancelToken) -> RootIdentity:
        """The tree's `identity`."""
        cancel.raise_if_cancelled()
        self.tree.check_online()
        return self.tree.identity

    def scan_assets(
        self,
        *,
        known: KnownDirectories | None = None,
        since: datetime | None = None,  # noqa: ARG002 - a tree has no change feed
        resume_from: str | None = None,
        cancel: CancelToken,
    ) -> Iterator[ScanPage]:
        """See the interface. A changed tree shows from the next directory on."""
        behind = None if resume_from is None else identity.order_key(_directory_of(resume_from))
        return self._scan(known, behind, cancel)

    def _scan(self, known: KnownDirectories | None, behind: bytes | None, cancel: CancelToken) -> Iterator[ScanPage]:
        pending = [b""]
        while pending:
            directory = pending.pop()
            cancel.raise_if_cancelled()
            self.tree.check_online()
            skipped = behind is not None and identity.order_key(directory) <= behind
            try:
                children = self.tree.children(directory)
            except PermissionError as error:
                if not skipped:
                    yield self._problem(directory, str(error))
                continue
            folders, files = children or ([], [])
            pending.extend(reversed(folders))
            if skipped:
                continue
            stamp = self.tree.stamp(directory)
            checkpoint = _CHECKPOINT + directory.hex()
            last = known.get(directory) if known is not None else None
            if last is not None and last.stamp == stamp:
                yield ScanPage(
                    self.source_id,
                    directory,
                    unchanged=True,
                    stamp=stamp,
                    checkpoint=checkpoint,
                    directories=last.directories,
                )
                continue
            self.listed.append(directory)
            *parts, end = self._pages(directory, files, cancel)
            yield from parts
            names = tuple(identity.split(folder)[1] for folder in folders)
            yield attrs.evolve(end, complete=True, stamp=stamp, checkpoint=checkpoint, directories=names)

    def _pages(self, directory: bytes, files: list[bytes], cancel: CancelToken) -> Iterator[ScanPage]:
        rows: list[AssetRow] = []
        file_ids: list[int | None] = []
        for path in files:
            cancel.raise_if_cancelled()
            self.tree.check_online()
            if len(rows) == self.page_size:
                yield ScanPage(self.source_id, directory, tuple(rows), tuple(file_ids), complete=False)
                rows, file_ids = [], []
            file = self.tree.find(path)
            if file is not None:
                rows.append((identity.split(path)[1], len(file.data), file.mtime_ns))
                file_ids.append(file.file_id)
        yield ScanPage(self.source_id, directory, tuple(rows), tuple(file_ids), complete=False)

    def _problem(self, directory: bytes, message: str) -> ScanPage:
        problem = ScanProblem(directory, ProblemKind.UNREADABLE, message)
        return ScanPage(
            self.source_id,
            directory,
            complete=False,
            problems=(problem,),
            checkpoint=_CHECKPOINT + directory.hex(),
        )


def _directory_of(checkpoint: str) -> bytes:
    if checkpoint.startswith(_CHECKPOINT):
        try:
            return bytes.fromhex(checkpoint.removeprefix(_CHECKPOINT))
        except ValueError:
            pass
    raise ConfigurationError(f"{checkpoint!r} is no checkpoint of a FakeScanner")


class FakeResolver(MediaResolver, ChangesSource):
    """Opens the files of a `FakeTree`.

    Streams read the file as it is at that moment: a file that is changed while it is read gives bytes of both
    versions, as a file system does it, and one that is removed ends early.
    """

    def __init__(self, tree: FakeTree, *, prober: MediaProber | None = None) -> None:
        self.tree = tree
        self.prober = prober

    @property
    def source_id(self) -> str:
        """The tree's."""
        return self.tree.source_id

    def resolve_for_upload(
        self, asset: MediaAsset, *, known_metadata: MediaMetadata | None = None, cancel: CancelToken
    ) -> ResolvedMedia:
        """See the interface."""
        cancel.raise_if_cancelled()
        self._checked(asset)
        metadata = known_metadata
        if metadata is None and self.prober is not None:
            with _FakeByteSource(self.tree, asset) as source:
                metadata = self.prober.probe(source, name=asset.display, cancel=cancel)

        def open_stream(offset: int, length: int | None) -> BinaryIO:
            self._checked(asset)
            return cast("BinaryIO", _FakeStream(self.tree, asset, offset=offset, length=length))

        return ResolvedMedia(asset, mime_type_of(asset.name), open_stream, metadata)

    def stat(self, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> Sequence[AssetStat | None]:
        """See the interface."""
        found: list[AssetStat | None] = []
        for asset in assets:
            cancel.raise_if_cancelled()
            self.tree.check_online()
            file = self.tree.find(asset.asset_id)
            found.append(None if file is None else AssetStat(len(file.data), file.mtime_ns, file.file_id))
        return found

    def set_aside(self, asset: MediaAsset, aside: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`."""
        cancel.raise_if_cancelled()
        self._move(asset.asset_id, aside)

    def put_back(self, aside: bytes, asset_id: bytes, *, cancel: CancelToken) -> bool:
        """See `ChangesSource`."""
        cancel.raise_if_cancelled()
        if self.tree.find(asset_id) is not None:
            return False
        self._move(aside, asset_id)
        return True

    def remove(self, asset_id: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`."""
        cancel.raise_if_cancelled()
        self.tree.check_online()
        if self.tree.find(asset_id) is not None:
            self.tree.remove(asset_id)

    def move_to(self, asset_id: bytes, target: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`."""
        cancel.raise_if_cancelled()
        number, free = 0, target
        while self.tree.find(free) is not None:
            number += 1
            stem, extension = os.path.splitext(target)
            free = b"%s (%d)%s" % (stem, number, extension)
        self._move(asset_id, free)

    def _move(self, path: bytes, to: bytes) -> None:
        self.tree.check_online()
        if self.tree.find(path) is None:
            raise AssetNotFound(f"{identity.display_text(path)} is gone from {self.source_id}")
        self.tree.move(path, to)

    def _checked(self, asset: MediaAsset) -> FakeFile:
        self.tree.check_online()
        file = self.tree.find(asset.asset_id)
        if file is None:
            raise AssetNotFound(f"{asset.display} is gone from {self.source_id}")
        if (len(file.data), file.mtime_ns) != asset.fingerprint:
            raise AssetChanged(f"{asset.display} is another version now")
        return file


class _FakeByteSource(ByteSource):
    """Ranges of a file of the tree, for probers."""

    def __init__(self, tree: FakeTree, asset: MediaAsset) -> None:
        self._tree = tree
        self._asset = asset

    @property
    def size(self) -> int:
        """The size that the asset names."""
        return self._asset.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See the interface."""
        self._tree.check_online()
        file = self._tree.find(self._asset.asset_id)
        if file is None:
            raise AssetNotFound(f"{self._asset.display} is gone")
        return file.data[offset : offset + length]


class _FakeStream(io.RawIOBase):
    """A stream over a file of the tree as it is at each read."""

    def __init__(self, tree: FakeTree, asset: MediaAsset, *, offset: int, length: int | None) -> None:
        super().__init__()
        self._tree = tree
        self._path = asset.asset_id
        self._position = offset
        self._left = length
        tree.open_streams += 1

    def readable(self) -> bool:
        """Always."""
        return True

    def readall(self) -> bytes:
        """Everything that is left; the tree notes that somebody asked for that."""
        self._tree.largest_read = -1
        parts = []
        while part := self._take(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # a writable buffer, whatever its type
        """Fill the buffer as far as the file goes."""
        length = len(buffer)
        if self._tree.largest_read >= 0:
            self._tree.largest_read = max(self._tree.largest_read, length)
        part = self._take(length)
        buffer[: len(part)] = part
        return len(part)

    def _take(self, length: int) -> bytes:
        if self.closed:
            raise ValueError("I/O operation on a closed stream")
        self._tree.check_online()
        wanted = length if self._left is None else min(length, self._left)
        file = self._tree.find(self._path)
        part = b"" if file is None else file.data[self._position : self._position + wanted]
        self._position += len(part)
        if self._left is not None:
            self._left -= len(part)
        return part

    def close(self) -> None:
        """Once it is closed the tree counts it no more."""
        if not self.closed:
            self._tree.open_streams -= 1
        super().close()
