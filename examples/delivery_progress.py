"""A rich progress bar that follows a `TaskManager` by its events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from media_watch_tasks import TaskManager
from media_watch_tasks.model.events import Event, TaskBegun, TaskEvent, TaskProgress, TaskSucceeded


@contextmanager
def delivery_progress(manager: TaskManager) -> Iterator[Progress]:
    """Show one bar for each running upload and a line for each delivered file."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns) as progress:
        bars = {}

        def show(event: Event) -> None:
            if isinstance(event, TaskBegun):
                bars[event.task.id] = progress.add_task(event.task.display, total=event.task.fingerprint.size)
            elif isinstance(event, TaskProgress):
                progress.update(bars[event.task.id], completed=event.progress.done)
            elif isinstance(event, TaskEvent):
                progress.remove_task(bars.pop(event.task.id))
                if isinstance(event, TaskSucceeded):
                    how = "equal content is there already" if event.receipt.deduplicated else "delivered"
                    progress.console.print(f"  {event.task.display}: {how}")

        unsubscribe = manager.subscribe(show)
        try:
            yield progress
        finally:
            unsubscribe()
