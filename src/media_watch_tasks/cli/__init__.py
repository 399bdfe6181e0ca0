"""The command `mwt`: watch a place, deliver what is new, and look after the queue (extra `cli`)."""

from media_watch_tasks.cli._program import main

__all__ = ["main"]
