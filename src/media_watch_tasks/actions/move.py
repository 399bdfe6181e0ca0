"""MoveSource: a file that is delivered for certain is moved to another folder of its source."""

from __future__ import annotations

from media_watch_tasks.abc.action import AfterUploadAction, ChangesSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import join

__all__ = ["MoveSource"]


class MoveSource(AfterUploadAction):
    """Moves delivered files below a folder of the source, which keeps their paths.

    The folder has to be out of the scanner's sight: its name begins with a dot by default, which the default filter
    leaves out. Nothing is overwritten there: a later version of a file gets a number.
    """

    def __init__(self, folder: str = ".delivered") -> None:
        """Take the folder, relative to the root of the source."""
        path = folder.encode("utf-8", "surrogateescape").strip(b"/")
        if not path or b"\0" in path or not {b"", b".", b".."}.isdisjoint(path.split(b"/")):
            raise ConfigurationError(f"{folder!r} is no folder below the root of a source")
        self._folder = path

    @property
    def name(self) -> str:
        """`move`."""
        return "move"

    @property
    def keeps_below(self) -> bytes:
        """The folder, relative to the root."""
        return self._folder

    def perform(
        self, source: ChangesSource, aside: bytes, asset: MediaAsset, *, cancel: CancelToken
    ) -> None:  # fmt: skip
        """Move the file from where it stands now."""
        source.move_to(aside, join(self._folder, asset.asset_id), cancel=cancel)
