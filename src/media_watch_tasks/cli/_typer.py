"""The one place that imports typer and rich: what the commands of this room are made with."""

from __future__ import annotations

from media_watch_tasks.errors import MissingDependencyError

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
    from rich.table import Table
except ImportError as error:
    raise MissingDependencyError("the command mwt", package=error.name or "typer", extra="cli") from error

__all__ = [
    "BarColumn",
    "Console",
    "DownloadColumn",
    "Progress",
    "Table",
    "TaskID",
    "TextColumn",
    "TransferSpeedColumn",
    "typer",
]
