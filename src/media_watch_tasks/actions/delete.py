"""DeleteSource: a file that is delivered for certain is deleted at its source."""

from __future__ import annotations

from media_watch_tasks.abc.action import AfterUploadAction, ChangesSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import MediaAsset

__all__ = ["DeleteSource"]


class DeleteSource(AfterUploadAction):
    """Deletes the version that was delivered, and no other."""

    @property
    def name(self) -> str:
        """`delete`."""
        return "delete"

    def perform(
        self, source: ChangesSource, aside: bytes, asset: MediaAsset, *, cancel: CancelToken  # noqa: ARG002 - it stands aside
    ) -> None:  # fmt: skip
        """Delete the file where it stands now."""
        source.remove(aside, cancel=cancel)
