"""PendingStore: the bytes of uploads that failed, on this machine's disk, for when their source has vanished."""

from media_watch_tasks.spool.pending import PendingStore

__all__ = ["PendingStore"]
