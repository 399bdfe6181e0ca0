"""ByteSource: random access to the bytes of one file, wherever it lies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import MediaAsset

__all__ = ["ByteSource", "OpensByteSources"]


class ByteSource(ABC):
    """Reads ranges. One thread at a time uses a byte source; `close` may come from another."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The true size in bytes, never that of a cut-off view."""

    @abstractmethod
    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only at the end of the file, none beyond it.

        Raises:
            AssetNotFound, AssetChanged, SourceOfflineError, TransientError: as for `MediaResolver`.
        """

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Read several (offset, length) ranges, in one round trip where the place can do that."""
        return [self.read_at(offset, length) for offset, length in ranges]

    def close(self) -> None:
        """Release what it holds. May be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class OpensByteSources(ABC):
    """Capability of a `MediaResolver`: random access to an asset without opening a stream for each range."""

    @abstractmethod
    def open_byte_source(self, asset: MediaAsset, *, cancel: CancelToken) -> ByteSource:
        """Open the asset; the caller closes it. Thread-safe.

        Raises:
            AssetNotFound, AssetChanged, Snooze, SourceOfflineError, AuthenticationRequiredError, TransientError: as
                `MediaResolver.resolve_for_upload`.
        """
