"""Assets: the files of a source as scanners list them and resolvers look at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import attrs

from media_watch_tasks.model import identity
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.values import Value

__all__ = ["AssetStat", "MediaAsset", "ResolvedMedia", "RootIdentity"]


@attrs.frozen(eq=False, repr=False)
class MediaAsset(Value):
    """A file as a listing showed it."""

    source_id: str
    asset_id: bytes
    """Path relative to the root, the place's own bytes, POSIX separators."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Modification time, nanoseconds since 1970-01-01 UTC."""
    file_id: int | None = None
    """Inode or file id where the place has one; it tells files apart only while `RootIdentity.file_ids_stable`."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Size and mtime."""
        return Fingerprint(self.size, self.mtime_ns)

    @property
    def directory(self) -> bytes:
        """The folder's path, `b""` for the root."""
        return identity.split(self.asset_id)[0]

    @property
    def name(self) -> bytes:
        """The last component of the path."""
        return identity.split(self.asset_id)[1]

    @property
    def display(self) -> str:
        """The path for people and logs; it cannot be turned back into the asset id."""
        return identity.display_text(self.asset_id)

    @property
    def kind(self) -> MediaKind:
        """The kind by extension."""
        return kind_of(self.asset_id)


@attrs.frozen(eq=False, repr=False)
class AssetStat(Value):
    """A fresh look at one asset."""

    size: int
    mtime_ns: int
    file_id: int | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """Size and mtime."""
        return Fingerprint(self.size, self.mtime_ns)


@attrs.frozen(eq=False, repr=False)
class RootIdentity(Value):
    """What tells the root of a source from another one that stands at the same path.

    `strong` names survive a remount (file-system UUID, volume serial, marker file): a difference means another place.
    `weak` ones may change although the place is the same (`st_dev`, inode). Either may be empty.
    """

    strong: str = ""
    weak: str = ""
    file_ids_stable: bool = False
    """True where a file id stays with its file across remounts."""


@attrs.frozen(eq=False)
class ResolvedMedia:
    """A file ready to be read. Every `open` gives a fresh stream from byte 0; whole files are never held in memory."""

    asset: MediaAsset
    mime_type: str
    open_stream: Callable[[int, int | None], BinaryIO] = attrs.field(repr=False)
    """`open_stream(offset, length)`: a new binary stream of `length` bytes from `offset` (None: to the end).

    It raises `AssetNotFound`, `SourceOfflineError`, `Snooze`, or `AssetChanged` where the file is not what it was.
    """
    metadata: MediaMetadata | None = None
    sha256: str | None = None
    """Hex, once known; None before."""

    @property
    def name(self) -> str:
        """The file name for the other side: UTF-8 where it is, else with U+FFFD in the place of stray bytes."""
        return self.asset.name.decode("utf-8", "replace")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.asset.size

    def open(self) -> BinaryIO:
        """A fresh stream from byte 0; the caller closes it."""
        return self.open_stream(0, None)

    def open_range(self, offset: int, length: int) -> BinaryIO:
        """A fresh stream of at most `length` bytes from `offset`; the caller closes it."""
        return self.open_stream(offset, length)
