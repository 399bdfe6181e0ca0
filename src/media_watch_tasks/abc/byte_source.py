"""ByteSource: random access to the bytes of one file, wherever it lies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

__all__ = ["ByteSource"]


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
