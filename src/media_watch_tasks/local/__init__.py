"""Folders of this machine, and shares that are mounted on it."""

from media_watch_tasks.local.byte_source import LocalByteSource
from media_watch_tasks.local.resolver import LocalMediaResolver
from media_watch_tasks.local.scanner import LocalMediaScanner

__all__ = ["LocalByteSource", "LocalMediaResolver", "LocalMediaScanner"]
