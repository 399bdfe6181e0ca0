"""Uploaders: one module or folder a destination."""

from media_watch_tasks.uploaders.directory import DirectoryUploader

__all__ = ["DirectoryUploader"]
