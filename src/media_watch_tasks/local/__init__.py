"""Folders of this machine, and shares that are mounted on it."""

from media_watch_tasks.local.resolver import LocalMediaResolver
from media_watch_tasks.local.scanner import LocalMediaScanner
from media_watch_tasks.scanning.local_byte_source import LocalByteSource

__all__ = ["LocalByteSource", "LocalMediaResolver", "LocalMediaScanner"]
