"""The commands that reach a source and a destination: run, watch, check, health, verify, quarantine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Annotated, Literal

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.cli._options import (
    AsJson,
    DatabaseOption,
    Dedup,
    DestinationArgument,
    DestinationChanged,
    Everything,
    Exclude,
    Kinds,
    Settle,
    SourceArgument,
    Workers,
    media_filter,
    task_options,
)
from media_watch_tasks.cli._typer import Console, typer
from media_watch_tasks.cli.output import told, written
from media_watch_tasks.cli.places import open_destination, open_source, open_stores
from media_watch_tasks.cli.progress import delivery_progress
from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.reports import RunReport
from media_watch_tasks.model.tasks import TaskState, WaitReason
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.schedulers import IntervalScheduler

__all__ = ["COMMANDS"]

_PORTION = 1_000


def run(
    source: SourceArgument,
    destination: DestinationArgument,
    database: DatabaseOption,
    *,
    everything: Everything = False,
    settle: Settle = 10.0,
    workers: Workers = 3,
    dedup: Dedup = False,
    kind: Kinds = None,
    exclude: Exclude = None,
    destination_changed: DestinationChanged = None,
    wait: Annotated[bool, typer.Option(help="Wait for new files that must stand still first.")] = True,
    as_json: AsJson = False,
) -> None:
    """Scan once, and deliver what is new: for cron and timers.

    The first run records what is there as the baseline and sends nothing of it. Files that fail are tried again by a
    later run.
    """
    options = task_options(
        everything=everything, settle=settle, workers=workers, dedup=dedup, destination_changed=destination_changed
    )
    only = media_filter(kind, exclude)
    good = True
    with _manager(source, destination, database, only=only, options=options, create=True) as manager, _shown(
        manager, as_json=as_json
    ) as console:  # fmt: skip
        if not everything:
            _baseline(manager, console, as_json=as_json)
        settling, first = _some_settle(manager), True
        while True:
            report = manager.run_once()
            if as_json or first or report.scan.enqueued or report.process.taken:
                _tell(report, console, as_json=as_json)
            first = False
            good = good and _is_good(report)
            # What became due after this run had looked is no longer settling, and not yet sent either.
            due = settling or report.scan.enqueued or report.process.superseded
            settling = _some_settle(manager)
            if not wait or report.scan.error or not (due or settling):
                break
            time.sleep(min(1.0, settle) if settling else 0)
        held = _held(manager)
    for each in held:
        typer.echo(each, err=True)
    raise typer.Exit(0 if good and not held else 1)


def watch(
    source: SourceArgument,
    destination: DestinationArgument,
    database: DatabaseOption,
    *,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds from one scan to the next.")] = 60.0,
    everything: Everything = False,
    settle: Settle = 10.0,
    workers: Workers = 3,
    dedup: Dedup = False,
    kind: Kinds = None,
    exclude: Exclude = None,
    destination_changed: DestinationChanged = None,
    as_json: AsJson = False,
) -> None:
    """Scan and deliver again and again, until Ctrl-C or SIGTERM.

    A run that fails is logged, and the next one goes on.
    """
    options = task_options(
        everything=everything, settle=settle, workers=workers, dedup=dedup, destination_changed=destination_changed
    )
    only = media_filter(kind, exclude)
    with _manager(source, destination, database, only=only, options=options, create=True) as manager, _shown(
        manager, as_json=as_json
    ) as console:  # fmt: skip

        def job(cancel: CancelToken) -> None:
            if not everything:
                _baseline(manager, console, as_json=as_json, cancel=cancel)
            _tell(manager.run_once(cancel), console, as_json=as_json)

        IntervalScheduler(timedelta(seconds=every)).run_until_signal(job)


def check(source: SourceArgument, destination: DestinationArgument, database: DatabaseOption) -> None:
    """Can source and destination be reached and used? Changes nothing there."""
    with _manager(source, destination, database, create=True) as manager:
        report = manager.check()
    _problems(report.problems, unchecked=report.unchecked)


def health(
    source: SourceArgument,
    destination: DestinationArgument,
    database: DatabaseOption,
    *,
    max_age: Annotated[float, typer.Option(min=0, help="Hours that a complete scan may lie back.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Is everything being delivered? For monitoring: exit code 1 and the reasons where it is not."""
    with _manager(source, destination, database) as manager:
        report = manager.health(max_age=timedelta(hours=max_age))
    if as_json:
        typer.echo(written(report))
        raise typer.Exit(0 if report.ok else 1)
    _problems(report.problems)


def verify(
    source: SourceArgument,
    destination: DestinationArgument,
    database: DatabaseOption,
    *,
    sample: Annotated[float, typer.Option(min=0, max=1, help="Share of the deliveries to look at.")] = 1.0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Queue again what is not there any more; the next run sends it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the destination whether it still holds what was delivered."""
    with _manager(source, destination, database) as manager:
        report = manager.verify(sample=sample, repair=repair)
    if as_json:
        typer.echo(written(report))
    else:
        typer.echo(
            f"{report.good} good, {len(report.bad)} bad, {report.unchecked} not checked, {report.repaired} queued again"
        )
        for task_id in report.bad:
            typer.echo(f"bad: task {task_id}", err=True)
        for error in report.errors:
            typer.echo(f"not checked: {error}", err=True)
    raise typer.Exit(0 if not report.bad and not report.errors else 1)


def quarantine(
    answer: Annotated[Literal["confirm", "reject"], typer.Argument(help="Are the absent files really gone?")],
    source: SourceArgument,
    destination: DestinationArgument,
    database: DatabaseOption,
) -> None:
    """End a quarantine: `confirm` calls what is held missing, `reject` forgets the absences."""
    with _manager(source, destination, database) as manager:
        report = manager.confirm_quarantine() if answer == "confirm" else manager.reject_quarantine()
    if report.skipped:
        typer.echo(f"not done: {report.skipped}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{report.missing} files are called missing" if report.ended else "there was no quarantine")


COMMANDS = (run, watch, check, health, verify, quarantine)


@contextmanager
def _manager(
    source: str,
    destination: str,
    database: str,
    *,
    only: MediaFilter | None = None,
    options: TaskManagerOptions | None = None,
    create: bool = False,
) -> Iterator[TaskManager]:
    with ExitStack() as stack:
        scanner, resolver = stack.enter_context(open_source(source, only))
        uploader = open_destination(destination)
        stores = open_stores(database, create=create)
        stack.callback(stores.close)
        yield stack.enter_context(
            TaskManager(
                media_scanner=scanner,
                media_resolver=resolver,
                media_state_store=stores.media_state,
                task_store=stores.tasks,
                uploader=uploader,
                options=options,
            )
        )


@contextmanager
def _shown(manager: TaskManager, *, as_json: bool) -> Iterator[Console]:
    console = Console()
    if as_json:
        yield console
        return
    with delivery_progress(manager, console=console) as shared:
        yield shared


def _baseline(manager: TaskManager, console: Console, *, as_json: bool, cancel: CancelToken | None = None) -> None:
    report = manager.initialize_baseline(cancel)
    if not report.already_complete and not as_json:
        console.print(f"baseline: {report.assets} files are known and will not be sent", highlight=False)


def _tell(report: RunReport, console: Console, *, as_json: bool) -> None:
    if as_json:
        typer.echo(written(report))
        return
    for line in told(report.scan, report.process):
        console.print(line, markup=False, highlight=False)


def _is_good(report: RunReport) -> bool:
    scan, process = report.scan, report.process
    return not (scan.error or scan.skipped or scan.problem_count or scan.quarantine or process.failed or process.dead)


def _held(manager: TaskManager) -> list[str]:
    """Why nothing is sent, where source or destination is paused."""
    return [
        pause.summary
        for source in manager.sources()
        if source.source_id == manager.source_id
        for pause in source.pauses
    ]


def _some_settle(manager: TaskManager) -> bool:
    after = 0
    while portion := manager.tasks(states=[TaskState.PENDING], limit=_PORTION, after_id=after):
        if any(task.waits_for is WaitReason.SETTLING for task in portion):
            return True
        after = portion[-1].id
    return False


def _problems(problems: tuple[str, ...], *, unchecked: tuple[str, ...] = ()) -> None:
    for each in unchecked:
        typer.echo(f"not checked: {each}")
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("good")
