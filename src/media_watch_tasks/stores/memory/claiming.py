"""Who gets which task: taking back what dead workers held, and claiming."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.tasks import Claim, ClaimRequest, TaskState, WaitReason
from media_watch_tasks.stores.memory.task_book import TaskBook
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.phases import CRASHES_BEFORE_ALONE, Phase, crash_delay_ns

__all__ = ["begin", "claim", "take_back"]


def take_back(book: TaskBook, *, dead_after: int, backoff_ns: Sequence[int], asking: str | None = None) -> int:
    """Take back the tasks whose lease is over, except those of the asking worker; how many."""
    lapsed = [row for row in book.running() if _is_over(book, row) and row.worker != asking]
    for row in lapsed:
        if not row.begun:
            book.back(row, due_ns=row.due_ns, wait=None)
            continue
        row.attempts -= 1
        row.crashes += 1
        if row.crashes >= dead_after and row.cancel_reason is None:
            book.end(row, TaskState.DEAD, "crashed")
        else:
            book.back(row, due_ns=book.now_ns + crash_delay_ns(row.crashes, backoff_ns), wait=WaitReason.BACKOFF)
    return len(lapsed)


def claim(book: TaskBook, request: ClaimRequest) -> tuple[Claim, ...]:
    """Give the worker what it may have."""
    if request.limit < 1:
        return ()
    book.apply_pauses()
    _promote(book, request)
    chosen = _choose(book, [row for row in book.rows.values() if _is_eligible(book, row, request)], request)
    if not chosen:
        return ()
    book.token += 1
    return tuple(_give(book, row, request) for row in chosen)


def _is_over(book: TaskBook, row: Row) -> bool:
    return row.boot_id != book.clock.boot_id() or row.lease_end <= book.clock.boot_ns()


def _is_open(book: TaskBook, row: Row, request: ClaimRequest) -> bool:
    """True if tasks of this route with these constraints may be worked on now."""
    return (
        row.route in request.routes
        and not book.pauses.stops(row.route, book.now_ns)
        and not row.constraints & request.unmet
        and (request.share is None or request.share.takes(row.asset_id, row.tags))
    )


def _promote(book: TaskBook, request: ClaimRequest) -> None:
    """Waiting tasks that are due are ready from now on; a due time further off than it can be is pulled in."""
    furthest = book.now_ns + request.longest_delay_ns
    for row in book.rows.values():
        if row.phase is Phase.WAITING and _is_open(book, row, request):
            if row.due_ns <= book.now_ns:
                row.phase, row.wait = Phase.READY, None
            row.due_ns = min(row.due_ns, furthest)


def _is_eligible(book: TaskBook, row: Row, request: ClaimRequest) -> bool:
    return (
        _is_due(row, force=request.force)
        and _is_open(book, row, request)
        and not (request.floor is not None and row.worker == request.worker_id and row.token > request.floor)
        and (row.crashes >= CRASHES_BEFORE_ALONE) == request.alone
    )


def _is_due(row: Row, *, force: bool) -> bool:
    return row.phase is Phase.READY or (force and row.phase is Phase.WAITING and row.wait is WaitReason.BACKOFF)


def _choose(book: TaskBook, rows: list[Row], request: ClaimRequest) -> list[Row]:
    limit = 1 if request.alone else request.limit
    rows.sort(key=lambda row: (-row.priority, row.due_ns, row.id))
    chosen: list[Row] = []
    for destination in sorted({row.route.destination_id for row in rows}):
        of_destination = [row for row in rows if row.route.destination_id == destination]
        pause = book.pauses.half_open(destination, book.now_ns)
        if pause is None:
            chosen += of_destination
        elif not any(row.route.destination_id == destination for row in book.running()):
            # The task that the pause was set for may be the very reason: another one is the better probe.
            chosen += sorted(of_destination, key=lambda row: row.id == pause.task_id)[:1]
    chosen.sort(key=lambda row: (-row.priority, row.due_ns, row.id))
    return chosen[:limit]


def _give(book: TaskBook, row: Row, request: ClaimRequest) -> Claim:
    begun_before = row.begins > 0
    row.phase, row.wait = Phase.RUNNING, None
    row.token, row.worker = book.token, request.worker_id
    row.lease_end, row.boot_id = book.clock.boot_ns() + request.lease_ns, book.clock.boot_id()
    row.progress = None
    row.updated_ns = book.now_ns
    if request.begin:
        begin(row)
    return Claim(row.snapshot(book.now_ns, ever_begun=begun_before), row.token)


def begin(row: Row) -> None:
    """Count the attempt of a running claim, once."""
    if not row.begun:
        row.begun = True
        row.attempts += 1
        row.begins += 1
