"""Delivering with one request a file."""

from media_watch_tasks.uploaders.http.uploader import HttpUploader

__all__ = ["HttpUploader"]
