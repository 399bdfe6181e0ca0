"""What becomes of a task that is to be enqueued."""

from __future__ import annotations

from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult, NewTask, TaskState
from media_watch_tasks.stores.memory.task_book import SUPERSEDED, TaskBook
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.phases import Phase

__all__ = ["enqueue"]


def enqueue(book: TaskBook, new: NewTask) -> EnqueueResult:
    """Write the task unless it is there already."""
    current, behind = book.live(new.route, new.asset_id)
    running = current if current is not None and current.phase is Phase.RUNNING else None
    there = _same(new, running, None if new.force else current, None if new.force else behind)
    if there is not None:
        return EnqueueResult(EnqueueOutcome.LIVE, there.id)
    if not new.force and book.is_delivered(new.route, new.asset_id, new.key):
        return EnqueueResult(EnqueueOutcome.DELIVERED)
    waiting = behind if running is not None else current
    if waiting is not None:
        book.end(waiting, TaskState.CANCELLED, SUPERSEDED)
    row = book.add(
        new.route,
        new.asset_id,
        new.fingerprint,
        due_ns=new.due_ns,
        priority=new.priority,
        tags=new.tags,
        constraints=new.constraints,
        asks_first=not new.force,
    )
    if running is not None:
        return EnqueueResult(EnqueueOutcome.BEHIND, row.id)
    return EnqueueResult(EnqueueOutcome.ENQUEUED if waiting is None else EnqueueOutcome.SUPERSEDED, row.id)


def _same(new: NewTask, *candidates: Row | None) -> Row | None:
    return next((row for row in candidates if row is not None and row.key == new.key), None)
