"""Uploaders that wrap other uploaders."""

from media_watch_tasks.uploaders.wrappers.all_of import AllOf

__all__ = ["AllOf"]
