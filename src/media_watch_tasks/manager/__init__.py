"""TaskManager and its parts."""

from media_watch_tasks.manager.task_manager import TaskManager

__all__ = ["TaskManager"]
