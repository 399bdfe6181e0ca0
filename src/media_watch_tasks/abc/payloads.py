"""PayloadStore: keeps the bytes of files whose source may vanish before they are delivered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import BinaryIO, Literal

import attrs

from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.values import Value

__all__ = ["KeepPayloads", "KeptPayload", "PayloadStore"]

KeepPayloads = Literal["off", "on_failure", "always"]
"""When bytes are kept: never, after a failure that is the destination's, or before anything is sent."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class KeptPayload(Value):
    """The bytes of one version of a file."""

    key: str
    """The idempotency key of the task they belong to, 64 hex digits."""
    size: int
    sha256: str
    """Hex."""
    mime_type: str
    age: timedelta
    """Since they were kept."""
    open_stream: Callable[[int, int | None], BinaryIO] = attrs.field(repr=False, eq=False)
    """As `ResolvedMedia.open_stream`."""


class PayloadStore(ABC):
    """Thread-safe. Equal bytes of several tasks are kept once."""

    @property
    @abstractmethod
    def keep(self) -> KeepPayloads:
        """When the manager hands bytes over."""

    @property
    @abstractmethod
    def keep_dead(self) -> bool:
        """True: the bytes of a task that is dead stay for its `retry`."""

    @property
    @abstractmethod
    def ttl(self) -> timedelta | None:
        """How long bytes are kept at the most; None: as long as their task needs them."""

    @abstractmethod
    def put(self, key: str, route: Route, media: ResolvedMedia) -> KeptPayload | None:
        """Read the file and keep it durably under the task's key; None where there is no room for it.

        Raises:
            OSError: the store's disk fails.
            AssetChanged: the file is shorter or longer than the asset says.
            anything that the source raises, unchanged.
        """

    @abstractmethod
    def get(self, key: str) -> KeptPayload | None:
        """What is kept under the key, whole; None otherwise."""

    @abstractmethod
    def free(self, key: str) -> int | None:
        """Forget the key; the bytes that this made free (0 where another key has them too), None if it was unknown."""

    @abstractmethod
    def keys(self, route: Route) -> Iterator[str]:
        """The keys that are kept for tasks of this route."""
