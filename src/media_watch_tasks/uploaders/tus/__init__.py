"""Delivering by tus, the protocol of resumable uploads."""

from media_watch_tasks.uploaders.tus.uploader import TusUploader

__all__ = ["TusUploader"]
