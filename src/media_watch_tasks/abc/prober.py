"""MediaProber: describes a file from a few kilobytes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.metadata import MediaMetadata

__all__ = ["DescribesMedia", "MediaProber"]


class MediaProber(ABC):
    """Finds out what a media file is. Thread-safe."""

    @abstractmethod
    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        """Describe the file. Reads as little as it can; the caller closes the source.

        A file that cannot be described gives a `MediaMetadata` with `error` set, never an exception: a probe never
        costs an upload. What is unknown stays None. A reading error that is none of those below gives such a value too,
        with `transient` set: it says nothing about the file.

        Args:
            source: the bytes.
            name: the file name, a hint for formats that their content does not tell apart.
            cancel: ends the probe early.

        Raises:
            SourceOfflineError, AuthenticationRequiredError, AssetNotFound, AssetChanged: from reading the source.
            OperationCancelled: `cancel` was cancelled.
        """

    def close(self) -> None:
        """Release what it holds (worker processes). May be called again."""


class DescribesMedia(ABC):
    """Capability of a `MediaResolver`: what it resolves comes with metadata."""

    @property
    @abstractmethod
    def described_kinds(self) -> frozenset[MediaKind]:
        """The kinds, by extension, whose assets come with metadata; those of other kinds come without."""
