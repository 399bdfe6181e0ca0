"""Uploaders: one module or folder a destination, and wrappers for uploaders in `wrappers`."""

from media_watch_tasks.uploaders.asynchronous import CHUNK_SIZE, AsyncUploader, iter_chunks
from media_watch_tasks.uploaders.directory import DirectoryUploader
from media_watch_tasks.uploaders.http import HttpUploader, WebdavUploader
from media_watch_tasks.uploaders.presigned import PresignedUploader
from media_watch_tasks.uploaders.s3 import S3Uploader
from media_watch_tasks.uploaders.tus import TusUploader
from media_watch_tasks.uploaders.wrappers import (
    AllOf,
    BandwidthLimit,
    DryRun,
    RateLimit,
    SharedLimit,
    Then,
    Transform,
    VerifyAfterUpload,
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
