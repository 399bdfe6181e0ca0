"""Writing one file: a hidden copy, synced and compared, then its name."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

import attrs

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import AlreadyExists, AssetChanged, DestinationFull, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders.directory.copying import copy_and_hash, hash_of_file
from media_watch_tasks.uploaders.directory.decision import Decision, Place, SameBytes
from media_watch_tasks.uploaders.directory.failures import naming, sync_folder
from media_watch_tasks.uploaders.directory.placing import place_new, place_over
from media_watch_tasks.uploaders.directory.temporary import TemporaryFiles

__all__ = ["FileWriter", "VerifyBy"]

VerifyBy = Literal["hash", "size", "none"]
"""How the finished copy is compared with what was read."""

_MOST_TRIES = 8
"""How many times a target is looked at again because something took the name meanwhile."""


@attrs.frozen(eq=False)
class FileWriter:
    """Writes files into folders that the caller has opened. Thread-safe."""

    temporaries: TemporaryFiles
    verify: VerifyBy
    sync: bool

    def deliver(
        self, decision: Decision, media: ResolvedMedia, context: UploadContext, *, folder_fd: int, folder: bytes
    ) -> UploadReceipt:
        """Bring the file to where the decision says, or find its bytes there.

        Args:
            decision: about this upload.
            media: the file.
            context: of the upload.
            folder_fd: the folder of the target.
            folder: its path below the destination.
        """
        chosen = decision.decide(folder_fd)
        if isinstance(chosen, SameBytes):
            return self.there_already(decision, chosen, folder_fd)
        fd, temporary = self.temporaries.create(folder_fd, context.key)
        try:
            try:
                now_ns, again = os.fstat(fd).st_ctime_ns, context.attempt > 1
                self.temporaries.sweep(folder_fd, folder, key=context.key, now_ns=now_ns, again=again)
                self._fill(decision, media, context, fd)
            finally:
                os.close(fd)
            return self._make_visible(decision, chosen, context, folder_fd, temporary)
        finally:
            self.temporaries.discard(folder_fd, temporary)

    def there_already(self, decision: Decision, found: SameBytes, folder_fd: int) -> UploadReceipt:
        """The receipt for bytes that stand there; raises `AlreadyExists` with it where they may be another asset's."""
        self._sync_names(folder_fd)
        receipt = decision.receipt(found.name, verified=True, shared=found.shared)
        if found.shared:
            raise AlreadyExists(f"{decision.shown} at the destination has the same bytes already", receipt=receipt)
        return receipt

    def _fill(self, decision: Decision, media: ResolvedMedia, context: UploadContext, fd: int) -> None:
        """Everything up to the name: bytes, time, mark, sync, comparison."""
        _check_room(fd, media.size)
        sha256 = copy_and_hash(media, context, fd, sync=self.sync)
        if decision.sha256 not in {None, sha256}:
            raise AssetChanged(f"{media.asset.display} hashes otherwise than when it was read before")
        decision.sha256 = sha256
        # A file system that cannot hold this time (or any) is no reason to refuse the bytes.
        with contextlib.suppress(OSError, OverflowError):
            os.utime(fd, ns=(os.fstat(fd).st_atime_ns, media.asset.mtime_ns))
        decision.mark().write(fd)
        if self.sync:
            os.fsync(fd)
        if self.verify == "none":
            return
        size = os.fstat(fd).st_size
        if size != media.size:
            raise TransientError(f"the copy of {media.asset.display} has {size} bytes instead of {media.size}")
        if self.verify == "hash":
            found, _ = hash_of_file(
                fd,
                progress=lambda done: context.progress(done, total=media.size, stage=Stage.FINALISE),
                from_device=True,
            )
            if found != sha256:
                raise TransientError(
                    f"the copy of {media.asset.display} reads back otherwise than it was written: is the disk damaged?"
                )

    def _make_visible(
        self, decision: Decision, place: Place, context: UploadContext, folder_fd: int, temporary: bytes
    ) -> UploadReceipt:
        for _ in range(_MOST_TRIES):
            context.confirm()
            if self._place(place, folder_fd, temporary):
                self._sync_names(folder_fd)
                return decision.receipt(place.name, verified=self.verify == "hash")
            # Something took the name while the copy was made: the question is asked again.
            chosen = decision.decide(folder_fd)
            if isinstance(chosen, SameBytes):
                return self.there_already(decision, chosen, folder_fd)
            place = chosen
        raise TransientError(f"{decision.shown} at the destination changes all the time")

    def _place(self, place: Place, folder_fd: int, temporary: bytes) -> bool:
        with naming(place.name):
            if place.over is None:
                try:
                    place_new(folder_fd, temporary, place.name)
                except FileExistsError:
                    return False
                return True
            if not place.over.is_still(folder_fd, place.name):
                return False
            place_over(folder_fd, temporary, place.name)
            return True

    def _sync_names(self, folder_fd: int) -> None:
        # The temporary name is gone by then: one sync makes both the new name and its absence durable.
        if self.sync:
            sync_folder(folder_fd)


def _check_room(fd: int, size: int) -> None:
    """Refuse before the copy what cannot fit, so that a large file does not fill the disk first."""
    room = os.fstatvfs(fd)
    # Some network file systems do not know: they say that they have no blocks at all.
    if room.f_blocks and size > (room.f_bfree if os.geteuid() == 0 else room.f_bavail) * room.f_frsize:
        raise DestinationFull(f"{size} bytes do not fit into the destination; make room there")
