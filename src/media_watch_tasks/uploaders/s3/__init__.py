"""S3Uploader: delivers into a bucket of S3, or of a service that speaks its protocol."""

from media_watch_tasks.uploaders.s3.uploader import S3Uploader

__all__ = ["S3Uploader"]
