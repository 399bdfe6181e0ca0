"""What speaks HTTP: a byte source over range requests."""

from media_watch_tasks.http.byte_source import HttpByteSource

__all__ = ["HttpByteSource"]
