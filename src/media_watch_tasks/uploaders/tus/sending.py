"""One attempt at one upload: find out what has arrived, and send the rest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import AssetChanged, PermanentError, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders.tus.portions import AT_HAND, PassingFile, Portion
from media_watch_tasks.uploaders.tus.protocol import TusProtocol, UploadGone
from media_watch_tasks.uploaders.tus.state import UploadUrls

__all__ = ["Sending"]

_PAUSE_SECONDS = 1.0
"""Before an attempt goes on after a trouble that came after some progress."""
_MOST_SESSIONS = 2
"""How many uploads an attempt creates, where the server forgets them."""


class _Interrupted(Exception):  # noqa: N818 - a finding: the server, not the source, is in trouble
    def __init__(self, error: TransientError) -> None:
        super().__init__()
        self.error = error


class Sending:
    """The state of an attempt."""

    def __init__(
        self,
        media: ResolvedMedia,
        context: UploadContext,
        protocol: TusProtocol,
        urls: UploadUrls,
        *,
        chunk_size: int,
        metadata: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._media = media
        self._context = context
        self._protocol = protocol
        self._urls = urls
        self._chunk_size = chunk_size
        self._metadata = metadata
        self._clock = clock
        self._file = PassingFile(media, context)
        self._sha256: str | None = media.sha256
        self._sessions = 0
        self.url: str | None = None
        """Of the unfinished upload, once there is one."""
        self.confirming = False
        """The context was asked to confirm, and has not said yes."""

    def run(self) -> UploadReceipt:
        """Send everything that is missing; the receipt."""
        with closing(self._file):
            return self._run()

    def _run(self) -> UploadReceipt:
        media, context = self._media, self._context
        context.progress(0, total=media.size, stage=Stage.INITIALISE)
        offered = self._protocol.offered(context.cancel)
        if offered.max_size is not None and media.size > offered.max_size:
            raise PermanentError(f"{media.asset.display} has {media.size} bytes, the server takes {offered.max_size}")
        if offered.checksum is not None:
            self._chunk_size = min(self._chunk_size, AT_HAND)
        offset = self._resumed()
        trouble_at = offset or 0
        while offset is None or offset < media.size:
            try:
                if offset is None:
                    offset = self._create(with_upload="creation-with-upload" in offered.extensions)
                offset = self._send(offset)
            except UploadGone:
                offset = self.url = None
            except _Interrupted as interrupted:
                offset = self._after_trouble(interrupted.error)
                if offset is not None and offset <= trouble_at:
                    raise interrupted.error from interrupted
                trouble_at = offset or 0
        self._urls.complete(context.key, self.url)
        return UploadReceipt(self.url, size=media.size, sha256=self._sha256)

    def _resumed(self) -> int | None:
        """How many bytes have arrived in an upload of an earlier attempt; None if there is none to go on with."""
        key = self._context.key
        url = self._urls.url(self._context.resume_state, key)
        if url is None and self._context.attempt > 1:
            url = self._urls.delivered(key)
        if url is None:
            return None
        self.url = self._protocol.checked(url)
        offset = self._protocol.offset(self.url, self._media.size, self._context.cancel)
        if offset is None:
            self.url = None
        return offset

    def _create(self, *, with_upload: bool) -> int:
        if self._sessions >= _MOST_SESSIONS:
            raise TransientError("the server forgets its uploads: each one that was created was gone again")
        self._sessions += 1
        media, context = self._media, self._context
        first = None
        if not media.size:
            self._release()
        elif with_upload and media.size <= min(self._chunk_size, AT_HAND):
            first = self._portion(0, media.size)
        created = self._protocol.create(media.size, self._metadata, key=context.key, first=first, cancel=context.cancel)
        self.url = created.url
        if created.offset < media.size:
            context.save_resume_state(self._urls.state(context.key, created.url, media.size))
        return created.offset

    def _send(self, offset: int) -> int:
        """Send from the offset to the end; the new offset."""
        size, url = self._media.size, self.url
        while offset < size and url is not None:
            portion = self._portion(offset, min(self._chunk_size, size - offset))
            try:
                offset = self._protocol.patch(url, offset, portion, self._context.cancel)
            except TransientError as error:
                if portion.source_failed:
                    raise
                raise _Interrupted(error) from error
        return offset

    def _portion(self, offset: int, length: int) -> Portion:
        return Portion(self._file, offset=offset, length=length, before_the_end=self._release)

    def _after_trouble(self, error: TransientError) -> int | None:
        """What has arrived by now; None if the upload is gone. A server that names a delay is left alone."""
        if error.retry_after is not None or self.url is None:
            raise error
        self._clock.wait(self._context.cancel.event, _PAUSE_SECONDS)
        self._context.cancel.raise_if_cancelled()
        offset = self._protocol.offset(self.url, self._media.size, self._context.cancel)
        if offset is None:
            self.url = None
        return offset

    def _release(self) -> None:
        """All was read, and the last of it is about to leave."""
        found = self._file.sha256
        if found is not None:
            if self._sha256 not in {None, found}:
                raise AssetChanged(f"{self._media.asset.display} is not the file that was hashed before")
            self._sha256 = found
        self.confirming = True
        self._context.confirm()
        self.confirming = False
        self._context.progress(self._media.size, total=self._media.size, stage=Stage.FINALISE)
