"""VerifyAfterUpload: no receipt before the destination was looked at."""

from __future__ import annotations

from typing import cast

import attrs

from media_watch_tasks.abc.uploader import UploadContext, Uploader, Verifies
from media_watch_tasks.errors import ConfigurationError, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper
from media_watch_tasks.uploaders.written import mark_as_ours

__all__ = ["VerifyAfterUpload"]


class VerifyAfterUpload(Wrapper):
    """Asks the destination, after each upload, whether it holds what the receipt says; such receipts are `verified`.

    What does not verify is an upload that failed: it is sent again, over what stands there.

    Args:
        inner: an uploader that can verify (`Verifies`).

    Raises:
        ConfigurationError: it cannot.
    """

    def __init__(self, inner: Uploader) -> None:
        super().__init__(inner)
        if not isinstance(inner, Verifies):
            raise ConfigurationError(f"{type(inner).__name__} cannot verify what it has delivered (Verifies)")

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Upload with the uploader inside, and verify.

        Raises:
            TransientError: the destination does not hold what was sent.
        """
        receipt = self.inner.upload(media, context)
        context.progress(media.size, total=media.size, stage=Stage.FINALISE)
        if not cast("Verifies", self.inner).verify(media, receipt):
            mark_as_ours(context)
            raise TransientError(f"{media.asset.display}: the destination does not hold what was sent")
        return attrs.evolve(receipt, verified=True)
