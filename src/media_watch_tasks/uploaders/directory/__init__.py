"""Delivering into a folder."""

from media_watch_tasks.uploaders.directory.uploader import DirectoryUploader

__all__ = ["DirectoryUploader"]
