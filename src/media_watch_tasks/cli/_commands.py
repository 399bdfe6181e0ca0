"""All commands of `mwt`, put together."""

from __future__ import annotations

from media_watch_tasks.cli import _delivering, _queue
from media_watch_tasks.cli._typer import typer

__all__ = ["app"]

app = typer.Typer(
    help="Watch a place where media files appear, and deliver each one durably, exactly as found.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (*_delivering.COMMANDS, *_queue.COMMANDS):
    app.command()(command)
