"""What a scanner yields: pages of one directory each, in the stable order of path components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Protocol, overload

import attrs

from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.values import Value

__all__ = [
    "AssetRow",
    "AssetRows",
    "DirectoryStamp",
    "KnownDirectories",
    "KnownDirectory",
    "ProblemKind",
    "ScanPage",
    "ScanProblem",
]

AssetRow = tuple[bytes, int, int]
"""(name, size in bytes, mtime in ns): plain tuples, because a scan of a million files makes a million of them."""


@attrs.frozen(eq=False, repr=False)
class DirectoryStamp(Value):
    """What a directory's own times were when it was listed. Compared for equality only, never with a clock."""

    mtime_ns: int
    ctime_ns: int
    """ctime locally, ChangeTime over SMB."""
    file_id: int | None = None
    """None where file ids are not stable."""


@attrs.frozen(eq=False, repr=False)
class KnownDirectory(Value):
    """A directory as its last complete listing showed it."""

    stamp: DirectoryStamp
    directories: tuple[bytes, ...] = ()
    """Names of its sub-directories, exactly what `ScanPage.directories` said: they are visited without a listing."""


class KnownDirectories(Protocol):
    """Directories that may be left unlisted while their stamp equals the given one. A dict will do.

    They were listed with the filter that the scanner has now.
    """

    def get(self, directory: bytes, /) -> KnownDirectory | None:
        """What is known and trusted of a directory (`b""` is the root); None if it has to be listed.

        Asked once for each directory, in the order of the scan; it may read the database.
        """


class ProblemKind(StrEnum):
    """Why something could not be listed."""

    UNREADABLE = "unreadable"
    """Permission denied or an I/O error."""
    VANISHED = "vanished"
    """It was there when its parent was listed, and is gone now."""
    LOOP = "loop"
    """The directory contains itself (link or mount)."""


@attrs.frozen(eq=False, repr=False)
class ScanProblem(Value):
    """A directory (or entry) that could not be listed; the scan goes on and is not complete."""

    path: bytes
    kind: ProblemKind
    message: str

    @property
    def display(self) -> str:
        """The path for people and logs."""
        return identity.display_text(self.path) or "."


class AssetRows(Sequence[MediaAsset]):
    """The assets of a page, made when they are looked at."""

    __slots__ = ("_directory", "_file_ids", "_rows", "_source_id")

    def __init__(
        self, source_id: str, directory: bytes, rows: Sequence[AssetRow], file_ids: Sequence[int | None]
    ) -> None:
        self._source_id = source_id
        self._directory = directory
        self._rows = rows
        self._file_ids = file_ids

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> MediaAsset: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[MediaAsset]: ...
    def __getitem__(self, index: int | slice) -> MediaAsset | Sequence[MediaAsset]:
        if isinstance(index, slice):
            return AssetRows(self._source_id, self._directory, self._rows[index], self._file_ids[index])
        name, size, mtime_ns = self._rows[index]
        file_id = self._file_ids[index] if self._file_ids else None
        return MediaAsset(self._source_id, identity.join(self._directory, name), size, mtime_ns, file_id)

    def __iter__(self) -> Iterator[MediaAsset]:
        return (self[index] for index in range(len(self._rows)))

    def __repr__(self) -> str:
        return f"<{len(self)} assets in {identity.display_text(self._directory) or '.'}>"


@attrs.frozen(eq=False, repr=False)
class ScanPage(Value):
    """A listing of one directory, or a part of it (at most 1,000 entries).

    The pages of a scan come in the order of path components as bytes: a folder, then all below it, then its next
    sibling. The rows of a directory are sorted by name over all its pages.
    """

    source_id: str
    directory: bytes
    rows: tuple[AssetRow, ...] = attrs.field(default=(), repr=lambda rows: f"<{len(rows)}>")
    file_ids: tuple[int | None, ...] = attrs.field(default=(), repr=False)
    """One for each row, or empty where the place has none."""
    complete: bool = True
    """True on the last page of a directory that was listed to its end."""
    unchanged: bool = False
    """True where the directory's stamp equals the known one: it was not listed, its known assets count as present."""
    stamp: DirectoryStamp | None = None
    """On the last page: the directory's times from before the listing began."""
    problems: tuple[ScanProblem, ...] = ()
    checkpoint: str | None = None
    """On a page that ends a directory: what `resume_from` takes to go on behind it."""
    directories: tuple[bytes, ...] | None = attrs.field(
        default=None, repr=lambda names: "None" if names is None else f"<{len(names)}>"
    )
    """On the last page of a directory that was listed to its end: sorted names of all sub-directories that the scan
    visits. A known directory that is missing here is gone. None where the scanner does not say."""

    @classmethod
    def from_assets(
        cls,
        source_id: str,
        directory: bytes,
        assets: Sequence[MediaAsset],
        *,
        complete: bool = True,
        checkpoint: str | None = None,
    ) -> ScanPage:
        """A page of assets that stand in `directory`, for scanners that are not in a hurry. Sorts them by name."""
        ordered = sorted(assets, key=lambda asset: asset.name)
        return cls(
            source_id,
            directory,
            tuple((asset.name, asset.size, asset.mtime_ns) for asset in ordered),
            tuple(asset.file_id for asset in ordered),
            complete=complete,
            checkpoint=checkpoint,
        )

    @property
    def assets(self) -> Sequence[MediaAsset]:
        """The entries as `MediaAsset` values."""
        return AssetRows(self.source_id, self.directory, self.rows, self.file_ids)
