"""ResumableFakeUploader: keeps parts of cut-off uploads, and goes on where they ended."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

from media_watch_tasks.abc.uploader import Resumable, UploadContext, Uploader
from media_watch_tasks.errors import AssetChanged
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt

__all__ = ["ResumableFakeUploader"]


class ResumableFakeUploader(Uploader, Resumable):
    """A destination in memory that takes files in parts, as multipart and tus servers do.

    Args:
        destination_id: what `destination_id` answers.
        part_size: bytes of a part; the state is saved after each one.
    """

    def __init__(self, destination_id: str = "fake-resumable", *, part_size: int = 512 * 1024) -> None:
        self._destination_id = destination_id
        self._part_size = part_size
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.unfinished: dict[str, bytes] = {}
        """Upload id -> the bytes that have arrived."""
        self.objects: dict[str, bytes] = {}
        """key -> bytes of what was delivered."""
        self.aborted: list[str] = []
        """The upload ids that `abort` was given."""

    @property
    def destination_id(self) -> str:
        """As given."""
        return self._destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Send the parts that have not arrived, then make the object visible."""
        upload_id = str((context.resume_state or {}).get("upload_id", ""))
        with self._lock:
            if upload_id not in self.unfinished:
                upload_id = f"upload-{next(self._numbers)}"
                self.unfinished[upload_id] = b""
        sent = len(self.unfinished[upload_id])
        with media.open_range(sent, media.size) as body:
            watched = context.watch(body)
            while part := _read_part(watched, self._part_size):
                self.unfinished[upload_id] += part
                context.save_resume_state({"upload_id": upload_id})
        data = self.unfinished[upload_id]
        if len(data) != media.size:
            raise AssetChanged(f"{media.asset.display}: {len(data)} bytes came, {media.size} were announced")
        context.confirm()
        with self._lock:
            self.objects[context.key] = self.unfinished.pop(upload_id)
        return UploadReceipt(context.key, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Forget the parts."""
        upload_id = str(resume_state.get("upload_id", ""))
        self.aborted.append(upload_id)
        with self._lock:
            self.unfinished.pop(upload_id, None)


def _read_part(stream: BinaryIO, size: int) -> bytes:
    """A whole part, unless the file ends: a stream may give less than it was asked for."""
    pieces = []
    while size and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
