"""DryRun: says what would be sent, and sends nothing."""

from __future__ import annotations

import logging
import threading

import attrs

from media_watch_tasks.abc.uploader import Checks, LocalDestination, UploadContext, Uploader
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper

__all__ = ["DryRun", "WouldSend"]

_log = logging.getLogger(__name__)


@attrs.frozen
class WouldSend:
    """A file that would have been sent."""

    asset: str
    """Its path, for people."""
    size: int
    """Bytes."""
    key: str


class DryRun(Wrapper):
    """Notes each file instead of sending it; the destination is never called, but for `check`.

    It has a destination id of its own: what a dry run "delivered" counts as delivered to the dry run alone. Use a
    database of its own, or `destination_changed`, to go over to the real destination.

    Args:
        inner: the uploader whose files are noted.
    """

    passes_on = (Checks, LocalDestination)

    def __init__(self, inner: Uploader) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self.noted: list[WouldSend] = []
        """Every file, in the order it came."""

    @property
    def destination_id(self) -> str:
        """`DryRun` and the id of the uploader inside."""
        return f"DryRun({self.inner.destination_id})"

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Note the file."""
        context.progress(0, total=media.size)
        context.confirm()
        with self._lock:
            self.noted.append(WouldSend(media.asset.display, media.size, context.key))
        _log.info("would send", extra={"asset": media.asset.display, "size": media.size})
        return UploadReceipt(None, size=media.size, details={"dry_run": "nothing was sent"})
