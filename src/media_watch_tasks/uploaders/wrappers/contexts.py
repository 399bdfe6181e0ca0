"""A context around another one, for wrappers that change what an uploader is told or tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.uploads import Stage, UploadReceipt

__all__ = ["ContextAround"]


class ContextAround(UploadContext):
    """Passes everything on; subclasses override what they change."""

    def __init__(self, outer: UploadContext) -> None:
        self.outer = outer

    @property
    def key(self) -> str:
        """That of the task."""
        return self.outer.key

    @property
    def attempt(self) -> int:
        """That of the task."""
        return self.outer.attempt

    @property
    def tags(self) -> frozenset[str]:
        """Those of the task."""
        return self.outer.tags

    @property
    def deadline(self) -> datetime | None:
        """That of the attempt."""
        return self.outer.deadline

    @property
    def cancel(self) -> CancelToken:
        """That of the attempt."""
        return self.outer.cancel

    @property
    def resume_state(self) -> Mapping[str, Any] | None:
        """That of the task."""
        return self.outer.resume_state

    @property
    def previous(self) -> UploadReceipt | None:
        """That of the asset."""
        return self.outer.previous

    def progress(self, done: int, *, total: int | None = None, stage: Stage = Stage.TRANSFER) -> None:
        """Pass it on."""
        self.outer.progress(done, total=total, stage=stage)

    def watch(self, stream: BinaryIO, *, offset: int = 0) -> BinaryIO:
        """Pass it on."""
        return self.outer.watch(stream, offset=offset)

    def save_resume_state(self, state: Mapping[str, Any] | None) -> None:
        """Pass it on."""
        self.outer.save_resume_state(state)

    def confirm(self) -> None:
        """Pass it on."""
        self.outer.confirm()
