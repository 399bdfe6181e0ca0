"""Delivering with one request a file, and to WebDAV servers under a temporary name first."""

from media_watch_tasks.uploaders.http.uploader import HttpUploader
from media_watch_tasks.uploaders.http.webdav import WebdavUploader

__all__ = ["HttpUploader", "WebdavUploader"]
