"""After-upload actions: what becomes of a file at its source once it is delivered. Without one it stays."""

from media_watch_tasks.actions.delete import DeleteSource
from media_watch_tasks.actions.move import MoveSource

__all__ = ["DeleteSource", "MoveSource"]
