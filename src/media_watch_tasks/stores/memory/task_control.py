"""What people do with tasks: cancel, retry, purge, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.tasks import TaskSelection, TaskState, WaitReason
from media_watch_tasks.stores.memory.task_book import TaskBook
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.phases import Phase

__all__ = ["cancel", "chosen", "counts", "purge", "retry"]

_RETRIED = frozenset({TaskState.DEAD, TaskState.CANCELLED, TaskState.FAILED})


def chosen(book: TaskBook, selection: TaskSelection) -> list[Row]:
    """The rows of a selection, by id."""
    return [row for row in book.rows.values() if row.is_chosen_by(selection)]


def cancel(book: TaskBook, selection: TaskSelection, *, reason: str) -> tuple[int, int]:
    """End what waits, ask what runs; (ended, asked)."""
    ended = asked = 0
    for row in chosen(book, selection):
        if row.phase is Phase.RUNNING:
            row.cancel_reason = reason
            asked += 1
        elif row.is_live:
            book.end(row, TaskState.CANCELLED, reason)
            ended += 1
    return ended, asked


def retry(book: TaskBook, selection: TaskSelection) -> tuple[Sequence[int], Mapping[int, str]]:
    """Make tasks eligible now; of several versions of an asset the newest."""
    retried: list[int] = []
    skipped: dict[int, str] = {}
    names_tasks = selection.ids is not None or selection.keys is not None or selection.asset_ids is not None
    for row in reversed(chosen(book, selection)):
        why_not = _why_not(book, row)
        if why_not is None:
            _start_afresh(book, row)
            retried.append(row.id)
        elif names_tasks or row.state in _RETRIED:
            skipped[row.id] = why_not
    return tuple(sorted(retried)), dict(sorted(skipped.items()))


def _why_not(book: TaskBook, row: Row) -> str | None:
    if row.is_live:
        failed = row.phase in {Phase.READY, Phase.WAITING, Phase.HELD} and (
            row.state is TaskState.FAILED or row.wait is WaitReason.BACKOFF
        )
        return None if failed else "not ended"
    if row.end is TaskState.SUCCESS:
        return "delivered"
    if any(version.is_live for version in book.versions(row.route, row.asset_id)):
        return "live task"
    latest = book.latest(row.route, row.asset_id)
    return "newer version delivered" if latest is not None and latest.id > row.id else None


def _start_afresh(book: TaskBook, row: Row) -> None:
    row.end = row.reason = None
    row.attempts = row.crashes = 0
    row.live_since_ns = row.updated_ns = book.now_ns
    book.place(row, due_ns=book.now_ns, wait=None)


def counts(book: TaskBook, routes: Sequence[Route] | None) -> Mapping[TaskState, int]:
    """One entry for each state."""
    found = Counter(row.state for row in book.rows.values() if routes is None or row.route in routes)
    return {state: found[state] for state in TaskState}


def _casts_doubt(book: TaskBook, row: Row) -> bool:
    """True if work on it may have overwritten what was delivered before."""
    latest = book.latest(row.route, row.asset_id)
    return bool(row.begins) and latest is not None and latest.id < row.id


def purge(book: TaskBook, selection: TaskSelection, *, before_ns: int) -> int:
    """Delete what has ended and answers no question any more."""
    old = [
        row
        for row in chosen(book, selection)
        if not row.is_live and not row.is_latest and row.updated_ns < before_ns and not _casts_doubt(book, row)
    ]
    for row in old:
        book.forget(row)
    return len(old)
