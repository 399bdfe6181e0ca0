"""Progress bars that follow a `TaskManager` by its events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.events import Event, TaskBegun, TaskEvent, TaskProgress, TaskSucceeded

if TYPE_CHECKING:
    from media_watch_tasks.cli._typer import Console, TaskID

__all__ = ["delivery_progress"]


@contextmanager
def delivery_progress(manager: TaskManager, *, console: Console | None = None) -> Iterator[Console]:
    """Show a bar for each running upload, and a line for each file that was delivered; gives where to print more.

    Raises:
        MissingDependencyError: rich is not installed (extra `cli`).
    """
    from media_watch_tasks.cli import _typer  # noqa: PLC0415 - needs the extra cli

    columns = (
        _typer.TextColumn("{task.description}", markup=False),
        _typer.BarColumn(),
        _typer.DownloadColumn(),
        _typer.TransferSpeedColumn(),
    )
    with _typer.Progress(*columns, console=console) as progress:
        bars: dict[int, TaskID] = {}

        def show(event: Event) -> None:
            if isinstance(event, TaskBegun):
                bars[event.task.id] = progress.add_task(event.task.display, total=event.task.fingerprint.size)
            elif isinstance(event, TaskProgress):
                if event.task.id in bars:
                    progress.update(bars[event.task.id], completed=event.progress.done)
            elif isinstance(event, TaskEvent) and event.task.id in bars:  # not begun: there is no bar
                progress.remove_task(bars.pop(event.task.id))
                if isinstance(event, TaskSucceeded):
                    how = "equal content is there already" if event.receipt.deduplicated else "delivered"
                    progress.console.print(f"  {event.task.display}: {how}", markup=False, highlight=False)

        unsubscribe = manager.subscribe(show)
        try:
            yield progress.console
        finally:
            unsubscribe()
