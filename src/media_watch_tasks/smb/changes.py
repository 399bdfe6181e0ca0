"""Renames, moves and deletes files of a share: what after-upload actions do."""

from __future__ import annotations

import os

from media_watch_tasks.abc.action import ChangesSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetNotFound, TransientError
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.smb import operations
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.place import SharePlace
from media_watch_tasks.smb.statuses import Status, describe

__all__ = ["SmbChanges"]

_DELETE = b"\1"
_MOST_NUMBERS = 10_000


class SmbChanges(ChangesSource):
    """Changes files below a folder of a share, one frame each way for each change.

    The server is asked to refuse (`Snooze`) while another client has the file open for writing. Nothing is ever
    overwritten: a rename to a name that is taken is refused by the server itself. A change whose answer was lost with
    the connection is not repeated here, since it may have been made: `SourceOfflineError`, and the caller looks again.
    """

    _place: SharePlace

    def set_aside(self, asset: MediaAsset, aside: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`."""
        status = self._rename(asset.asset_id, aside, cancel)
        if status != Status.SUCCESS:
            raise self._place.refused(asset.asset_id, status, action="rename")

    def put_back(self, aside: bytes, asset_id: bytes, *, cancel: CancelToken) -> bool:
        """See `ChangesSource`."""
        status = self._rename(aside, asset_id, cancel)
        if status not in {Status.SUCCESS, Status.OBJECT_NAME_COLLISION}:
            raise self._place.refused(aside, status, action="rename")
        return status == Status.SUCCESS

    def remove(self, asset_id: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`. Where another client reads the file it is gone once that one closes it."""
        status = self._change(asset_id, operations.DELETION, _DELETE, cancel)
        if status == Status.SUCCESS:
            return
        refused = self._place.refused(asset_id, status, action="delete")
        if not isinstance(refused, AssetNotFound):
            raise refused

    def move_to(self, asset_id: bytes, target: bytes, *, cancel: CancelToken) -> None:
        """See `ChangesSource`. Where something stands at the target, the name gets a number."""
        self._place.path(target)
        self._make_folders(identity.split(target)[0], cancel)
        stem, extension = os.path.splitext(target)
        for number in range(_MOST_NUMBERS):
            wanted = b"%s (%d)%s" % (stem, number, extension) if number else target
            status = self._rename(asset_id, wanted, cancel)
            if status == Status.SUCCESS:
                return
            if status != Status.OBJECT_NAME_COLLISION:
                break
        raise self._place.refused(asset_id, status, action="move")

    def _rename(self, asset_id: bytes, target: bytes, cancel: CancelToken) -> int:
        name = operations.new_name(to_share(self._place.path(target)))
        return self._change(asset_id, operations.RENAME, name, cancel)

    def _change(self, asset_id: bytes, information_class: int, data: bytes, cancel: CancelToken) -> int:
        cancel.raise_if_cancelled()
        return self._place.session.change(self._place.path(asset_id), information_class, data)

    def _make_folders(self, directory: bytes, cancel: CancelToken) -> None:
        parts = directory.split(b"/") if directory else []
        for depth in range(1, len(parts) + 1):
            cancel.raise_if_cancelled()
            folder = b"/".join(parts[:depth])
            status = self._place.session.make_folder(self._place.path(folder))
            if status != Status.SUCCESS:
                raise TransientError(f"cannot make the folder {self._place.shown(folder)}: {describe(status)}")
