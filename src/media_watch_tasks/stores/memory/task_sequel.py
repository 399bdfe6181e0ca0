"""What follows a delivery: receipts that move with their file, after-upload actions, signs of life."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.model.identity import Route, split, task_key
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.stores.memory.task_book import SUPERSEDED, TaskBook
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.phases import Phase

__all__ = ["activity", "live_directories", "move", "pending_actions"]


def live_directories(book: TaskBook, source_id: str, *, limit: int) -> frozenset[bytes] | None:
    """Directories with an asset that has a live task; None if there are more of these than the limit."""
    live = [row.asset_id for row in book.rows.values() if row.is_live and row.route.source_id == source_id]
    return None if len(live) > limit else frozenset(split(asset_id)[0] for asset_id in live)


def move(book: TaskBook, route: Route, asset_id: bytes, to: bytes) -> Row | None:
    """Give the latest receipt to another path; what waits at the old path ends."""
    current, behind = book.live(route, asset_id)
    for waiting in (behind, current):
        if waiting is not None and waiting.phase is not Phase.RUNNING:
            book.end(waiting, TaskState.CANCELLED, SUPERSEDED)
    latest = book.latest(route, asset_id)
    if latest is None:
        return None
    replaced = book.latest(route, to)
    if replaced is not None:
        replaced.replaced = True
    book.move(latest, to, task_key(route, to, latest.fingerprint))
    return latest


def pending_actions(book: TaskBook, routes: Sequence[Route], *, limit: int) -> list[Row]:
    """Delivered tasks that owe an action, by id."""
    return [row for row in book.rows.values() if row.action is not None and row.route in routes][:limit]


def activity(book: TaskBook, routes: Sequence[Route]) -> tuple[int | None, int | None]:
    """(earliest due time of what waits for a worker, latest delivery)."""
    rows = [row for row in book.rows.values() if row.route in routes]
    waiting = (row.due_ns for row in rows if row.phase in {Phase.READY, Phase.WAITING})
    delivered = (row.delivered_ns for row in rows if row.delivered_ns is not None)
    return min(waiting, default=None), max(delivered, default=None)
