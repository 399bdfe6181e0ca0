"""After-upload actions: what becomes of a file at its source once it is delivered for certain."""

from __future__ import annotations

from abc import ABC, abstractmethod

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import MediaAsset

__all__ = ["AfterUploadAction", "ChangesSource"]


class ChangesSource(ABC):
    """Capability of a resolver: its files can be renamed, moved and removed. Thread-safe.

    Every method raises `SourceOfflineError`, `AssetNotFound` or `TransientError` as those of `MediaResolver` do.
    """

    @abstractmethod
    def set_aside(self, asset: MediaAsset, aside: bytes, *, cancel: CancelToken) -> None:
        """Rename the file to the asset id `aside`, in the same directory, where nothing stands."""

    @abstractmethod
    def put_back(self, aside: bytes, asset_id: bytes, *, cancel: CancelToken) -> bool:
        """Rename it back; False if something stands there by now (the file then stays where it is)."""

    @abstractmethod
    def remove(self, asset_id: bytes, *, cancel: CancelToken) -> None:
        """Delete the file; nothing happens if it is gone."""

    @abstractmethod
    def move_to(self, asset_id: bytes, target: bytes, *, cancel: CancelToken) -> None:
        """Rename the file to another path below the root; folders are made, and nothing is overwritten.

        Where something stands at the target, the name gets a number: `clip (1).mov`.
        """


class AfterUploadAction(ABC):
    """What to do with a delivered file. The manager sees to it that only the delivered version is touched."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A stable word; it stands in the database while the action is owed."""

    @property
    def keeps_below(self) -> bytes | None:
        """The folder of the source into which files go; None (the default) if they go nowhere in it."""
        return None

    @abstractmethod
    def perform(self, source: ChangesSource, aside: bytes, asset: MediaAsset, *, cancel: CancelToken) -> None:
        """Act on the file, which stands at `aside` now and was delivered as `asset`. Repeated after a crash."""
