"""Uploaders: one module or folder a destination, and wrappers for uploaders in `wrappers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media_watch_tasks.uploaders.asynchronous import CHUNK_SIZE, AsyncUploader, iter_chunks
    from media_watch_tasks.uploaders.directory.uploader import DirectoryUploader
    from media_watch_tasks.uploaders.http.uploader import HttpUploader
    from media_watch_tasks.uploaders.http.webdav import WebdavUploader
    from media_watch_tasks.uploaders.presigned.uploader import PresignedUploader
    from media_watch_tasks.uploaders.s3.uploader import S3Uploader
    from media_watch_tasks.uploaders.tus.uploader import TusUploader
    from media_watch_tasks.uploaders.wrappers.all_of import AllOf
    from media_watch_tasks.uploaders.wrappers.bandwidth import BandwidthLimit
    from media_watch_tasks.uploaders.wrappers.dry_run import DryRun
    from media_watch_tasks.uploaders.wrappers.rate_limit import RateLimit
    from media_watch_tasks.uploaders.wrappers.shared_limit import SharedLimit
    from media_watch_tasks.uploaders.wrappers.then import Then
    from media_watch_tasks.uploaders.wrappers.transform import Transform
    from media_watch_tasks.uploaders.wrappers.verify import VerifyAfterUpload
else:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "CHUNK_SIZE": "uploaders.asynchronous",
            "AllOf": "uploaders.wrappers.all_of",
            "AsyncUploader": "uploaders.asynchronous",
            "BandwidthLimit": "uploaders.wrappers.bandwidth",
            "DirectoryUploader": "uploaders.directory.uploader",
            "DryRun": "uploaders.wrappers.dry_run",
            "HttpUploader": "uploaders.http.uploader",
            "PresignedUploader": "uploaders.presigned.uploader",
            "RateLimit": "uploaders.wrappers.rate_limit",
            "S3Uploader": "uploaders.s3.uploader",
            "SharedLimit": "uploaders.wrappers.shared_limit",
            "Then": "uploaders.wrappers.then",
            "Transform": "uploaders.wrappers.transform",
            "TusUploader": "uploaders.tus.uploader",
            "VerifyAfterUpload": "uploaders.wrappers.verify",
            "WebdavUploader": "uploaders.http.webdav",
            "iter_chunks": "uploaders.asynchronous",
        },
    )

__all__ = [
    "CHUNK_SIZE",
    "AllOf",
    "AsyncUploader",
    "BandwidthLimit",
    "DirectoryUploader",
    "DryRun",
    "HttpUploader",
    "PresignedUploader",
    "RateLimit",
    "S3Uploader",
    "SharedLimit",
    "Then",
    "Transform",
    "TusUploader",
    "VerifyAfterUpload",
    "WebdavUploader",
    "iter_chunks",
]
