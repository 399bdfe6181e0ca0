"""What the commands can be told, and what it means for the scanner and the manager."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from media_watch_tasks.cli._typer import typer
from media_watch_tasks.cli.places import HTTP_PASSWORD, HTTP_TOKEN, SMB_PASSWORD
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.scanning import DEFAULT_EXCLUDED_NAMES, MediaFilter

__all__ = [
    "AsJson",
    "DatabaseOption",
    "Dedup",
    "DestinationArgument",
    "DestinationChanged",
    "Everything",
    "Exclude",
    "Kinds",
    "Settle",
    "SourceArgument",
    "Workers",
    "media_filter",
    "task_options",
]

SourceArgument = Annotated[
    str, typer.Argument(help=f"A folder, or smb://user@host/share/folder with the password in {SMB_PASSWORD}.")
]
DestinationArgument = Annotated[
    str,
    typer.Argument(
        help=f"A folder, https://host/{{path}}, tus+https://host/files/ (a token in {HTTP_TOKEN}, or user@host and the"
        f" password in {HTTP_PASSWORD}) or s3://bucket/folder."
    ),
]
DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        envvar="MWT_DATABASE",
        help="A file on a local disk, or postgresql://user@host/database with the password in PGPASSWORD or ~/.pgpass.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Everything = Annotated[
    bool, typer.Option("--all", help="Also deliver what is there at the first run; without it that is the baseline.")
]
Settle = Annotated[float, typer.Option(min=0, help="Seconds that a file must stand still before it is sent.")]
Workers = Annotated[int, typer.Option(min=1, help="Uploads at a time.")]
Dedup = Annotated[bool, typer.Option("--dedup", help="Send equal content once.")]
Kinds = Annotated[
    list[MediaKind] | None, typer.Option("--kind", help="Only files of this kind, by their extension; may be repeated.")
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        help="Leave out files and folders with such a name (wildcards), or, with a slash before or in it, such a path"
        " below the source; may be repeated."
    ),
]
DestinationChanged = Annotated[
    Literal["keep", "resend"] | None,
    typer.Option(
        help="Deliver to another destination than before: only what is new from now on (keep), or all that was not part"
        " of the baseline (resend)."
    ),
]


def media_filter(kinds: list[MediaKind] | None, exclude: list[str] | None) -> MediaFilter:
    """The files that belong to the source; what every scan leaves out stays left out."""
    given = [pattern.rstrip("/") for pattern in exclude or ()]
    return MediaFilter(
        kinds=frozenset(kinds) if kinds else None,
        exclude_names=(*DEFAULT_EXCLUDED_NAMES, *(pattern for pattern in given if "/" not in pattern)),
        exclude_paths=tuple(pattern.removeprefix("/") for pattern in given if "/" in pattern),
    )


def task_options(
    *,
    everything: bool,
    settle: float,
    workers: int,
    dedup: bool,
    destination_changed: Literal["keep", "resend"] | None,
) -> TaskManagerOptions:
    """The options of a manager that scans and delivers."""
    return TaskManagerOptions(
        settle_for=timedelta(seconds=settle),
        workers=workers,
        enable_hash_dedup=dedup,
        first_scan="enqueue" if everything else "refuse",
        destination_changed=destination_changed,
    )
