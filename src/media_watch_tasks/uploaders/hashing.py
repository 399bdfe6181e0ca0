"""The SHA-256 of a file at its source, in one streaming pass."""

from __future__ import annotations

import hashlib
from contextlib import closing

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.http.bodies import exactly, whole_file
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage

__all__ = ["source_sha256"]


def source_sha256(media: ResolvedMedia, context: UploadContext) -> str:
    """Hex; known already, or read now, with progress of the stage `hash`.

    Raises:
        AssetChanged: the file is shorter or longer than the asset says.
        TransientError: it cannot be read.
    """
    if media.sha256 is not None:
        return media.sha256
    digest = hashlib.sha256()
    done = 0
    with closing(whole_file(media)) as stream:
        for part in exactly(stream, media):
            digest.update(part)
            done += len(part)
            context.progress(done, total=media.size, stage=Stage.HASH)
    return digest.hexdigest()
