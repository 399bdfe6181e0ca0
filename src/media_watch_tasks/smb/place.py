"""SharePlace: the folder of a share whose files a resolver opens and changes, and what the server's refusals mean."""

from __future__ import annotations

from datetime import timedelta

import attrs

from media_watch_tasks.errors import AssetNotFound, MediaWatchError, Snooze, SourceOfflineError, TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.smb.paths import is_asset_id
from media_watch_tasks.smb.session import ShareSession
from media_watch_tasks.smb.statuses import GONE, NO_FILE, describe, error_for

__all__ = ["SharePlace"]


@attrs.frozen(kw_only=True)
class SharePlace:
    """A folder of a share, as a source."""

    session: ShareSession
    root: bytes
    source_id: str
    in_use_delay: timedelta

    def path(self, asset_id: bytes) -> bytes:
        """The path within the share. Raises `AssetNotFound` for an asset id that no scan can have given."""
        if not is_asset_id(asset_id):
            raise AssetNotFound(f"{self.shown(asset_id)} is not the path of a file of a share")
        return identity.join(self.root, asset_id)

    def shown(self, asset_id: bytes) -> str:
        """The file, for messages."""
        return f"{self.source_id}/{identity.display_text(asset_id)}"

    def refused(self, asset_id: bytes, status: int, *, action: str) -> MediaWatchError:
        """The exception that says what is to be done when the server refused to `open` or `change` the file.

        A file counts as gone only where the folder that it stood in, or one above that, can be listed without it.
        """
        shown = self.shown(asset_id)
        if status in NO_FILE:
            return AssetNotFound(f"{shown} is no file any more: {describe(status)}")
        error = error_for(status, f"cannot {action} {shown}")
        if isinstance(error, Snooze):
            return Snooze(self.in_use_delay, str(error))
        if status not in GONE:
            return error
        # Gone is what is gone from a folder that can be listed: a share that lost its disk answers the same status.
        try:
            there = self.session.is_listed(identity.join(self.root, asset_id), top=self.root)
        except (SourceOfflineError, TransientError) as other:
            return type(other)(f"{error}; {other}")
        return TransientError(f"{shown} is listed, and the server says {describe(status)}") if there else error
