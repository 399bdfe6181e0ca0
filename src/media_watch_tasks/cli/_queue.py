"""The commands that need the database alone: status, tasks, retry, cancel, pause, resume, backup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from media_watch_tasks.cli._options import AsJson, DatabaseOption
from media_watch_tasks.cli._typer import Console, Table, typer
from media_watch_tasks.cli.output import task_fields, written
from media_watch_tasks.cli.places import open_stores
from media_watch_tasks.clock import from_ns, to_ns
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.model.tasks import TaskSelection, TaskState
from media_watch_tasks.stores.sqlite import SqliteStores

__all__ = ["COMMANDS"]

States = Annotated[list[TaskState] | None, typer.Option("--state", help="Only tasks in this state; may be repeated.")]
Ids = Annotated[list[int] | None, typer.Option("--id", help="Only this task; may be repeated.")]
TagOption = Annotated[str | None, typer.Option("--tag", help="Only tasks with this tag.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="Everything of this source; see `mwt status`.")]
DestinationOption = Annotated[str | None, typer.Option("--destination", help="Everything for this destination.")]

_MOST_SHOWN = 1_000_000


def status(database: DatabaseOption, *, as_json: AsJson = False) -> None:
    """Show sources, pauses, and how many tasks are in which state."""
    with open_stores(database, create=False) as stores:
        counts = {state.value: count for state, count in stores.tasks.counts().items()}
        pauses = stores.tasks.pauses()
        sources = [
            (source, *stores.media_state.count_assets(source.source_id)) for source in stores.media_state.sources()
        ]
    if as_json:
        fields = [
            {
                "source_id": source.source_id,
                "destinations": source.destinations,
                "baseline": source.baseline,
                "assets": present,
                "missing": missing,
                "last_complete_scan": _moment(source.last_complete_ns),
                "quarantine": source.quarantine,
            }
            for source, present, missing in sources
        ]
        typer.echo(written({"sources": fields, "tasks": counts, "pauses": pauses}))
        return
    table = _table("source", "files", "missing", "last complete scan", "destinations", "")
    for source, present, missing in sources:
        held = f"quarantine: {source.quarantine}" if source.quarantine else ""
        last = _moment(source.last_complete_ns) or "none yet"
        table.add_row(source.source_id, str(present), str(missing), last, "\n".join(sorted(source.destinations)), held)
    console = Console(markup=False, highlight=False)
    console.print(table)
    console.print("tasks: " + (", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"))
    for pause in pauses:
        console.print(pause.summary)


def tasks(
    database: DatabaseOption,
    *,
    state: States = None,
    tag: TagOption = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST_SHOWN, help="Show at most so many.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Only tasks with a higher id than this.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List tasks with their last error; all states by default."""
    with open_stores(database, create=False) as stores:
        found = stores.tasks.tasks(_selection(state=state, tag=tag), limit=limit, after_id=after)
    if as_json:
        for task in found:
            typer.echo(written(task_fields(task)))
        return
    table = _table("id", "state", "attempts", "file", "why")
    for task in found:
        why = ": ".join(filter(None, (task.waits_for, task.reason, task.error)))
        table.add_row(str(task.id), task.state, str(task.attempts), task.display, display_text(why.encode()))
    Console(markup=False, highlight=False).print(table)


def retry(database: DatabaseOption, *, ids: Ids = None, state: States = None, tag: TagOption = None) -> None:
    """Make tasks due now, with all attempts before them; by default all that are dead or failed."""
    chosen = state if state or ids else [TaskState.DEAD, TaskState.FAILED]
    with open_stores(database, create=False) as stores:
        retried, skipped = stores.tasks.retry(_selection(ids=ids, state=chosen, tag=tag))
    typer.echo(f"{len(retried)} tasks will be tried again")
    for task_id, reason in skipped.items():
        typer.echo(f"task {task_id} was left: {reason}")


def cancel(
    database: DatabaseOption,
    *,
    ids: Ids = None,
    state: States = None,
    tag: TagOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every task that has not ended.")] = False,
) -> None:
    """End tasks that have not ended; running ones are stopped within seconds, wherever they run."""
    if not (ids or state or tag or everything):
        raise ConfigurationError("say which tasks to cancel: --id, --state, --tag, or --all")
    with open_stores(database, create=False) as stores:
        ended, asked = stores.tasks.cancel(_selection(ids=ids, state=state, tag=tag))
    typer.echo(f"{ended} tasks cancelled, {asked} running ones asked to stop")


def pause(
    database: DatabaseOption,
    *,
    tag: TagOption = None,
    source: SourceOption = None,
    destination: DestinationOption = None,
    minutes: Annotated[float | None, typer.Option("--for", min=0, help="End it by itself after these minutes.")] = None,
    reason: Annotated[str, typer.Option(help="Shown to whoever asks why nothing is sent.")] = "",
) -> None:
    """Begin no upload of a tag, source or destination, or of the whole database, until it is resumed."""
    scope, value = PauseScope.party(tag=tag, source=source, destination=destination)
    until = None if minutes is None else to_ns(datetime.now(UTC) + timedelta(minutes=minutes))
    with open_stores(database, create=False) as stores:
        stores.tasks.pause(Pause(scope=scope, value=value, until_ns=until, reason=reason))
    typer.echo(f"paused: {scope} {value}".rstrip())


def resume(
    database: DatabaseOption,
    *,
    tag: TagOption = None,
    source: SourceOption = None,
    destination: DestinationOption = None,
) -> None:
    """End the pause that the same options made."""
    scope, value = PauseScope.party(tag=tag, source=source, destination=destination)
    with open_stores(database, create=False) as stores:
        ended = stores.tasks.resume(scope, value)
    typer.echo(f"resumed: {scope} {value}".rstrip() if ended else "there was no such pause")
    raise typer.Exit(0 if ended else 1)


def backup(database: DatabaseOption, copy: Annotated[str, typer.Argument(help="The file to write.")]) -> None:
    """Write a complete, verified copy of the database while it is in use."""
    with open_stores(database, create=False) as stores:
        if not isinstance(stores, SqliteStores):
            raise ConfigurationError("a PostgreSQL database is backed up by the server's own tools: see pg_dump")
        stores.backup(copy)
    typer.echo(f"written: {copy}")


COMMANDS = (status, tasks, retry, cancel, pause, resume, backup)


def _table(*names: str) -> Table:
    """A table whose cells are folded, never cut: an id that is cut off serves nobody."""
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _selection(
    *, ids: list[int] | None = None, state: list[TaskState] | None = None, tag: str | None = None
) -> TaskSelection:
    return TaskSelection(
        ids=frozenset(ids) if ids else None, states=frozenset(state) if state else None, tag=tag
    )  # fmt: skip


def _moment(ns: int | None) -> str | None:
    return None if ns is None else from_ns(ns).isoformat(timespec="seconds")
