"""How work on a task ends."""

from __future__ import annotations

from media_watch_tasks.model.identity import Route, task_key
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.settlements import Cancelled, Dead, Delivered, Failed, Released, Settlement, Superseded
from media_watch_tasks.model.tasks import TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.memory.claiming import begin
from media_watch_tasks.stores.memory.task_book import SUPERSEDED, TaskBook
from media_watch_tasks.stores.memory.task_row import Row

__all__ = ["settle"]


def settle(book: TaskBook, settlement: Settlement) -> bool:
    """Write it; False if the claim was lost."""
    row = book.claimed(settlement.ref)
    if row is None:
        return False
    if isinstance(settlement, Delivered | Failed | Dead):
        begin(row)
    match settlement:
        case Delivered():
            book.deliver(row, settlement.receipt)
            row.action = settlement.action
            _end_pauses(book, row.route, settlement.receipt)
        case Failed():
            _keep_error(row, settlement.error)
            book.back(row, due_ns=settlement.retry_ns, wait=WaitReason.BACKOFF)
        case Dead():
            _keep_error(row, settlement.error)
            book.end(row, TaskState.DEAD, settlement.reason)
        case Released():
            _keep_error(row, settlement.note)
            if settlement.untouched:
                row.begins -= row.begun
                row.worker = ""
            book.release(row, due_ns=settlement.due_ns, wait=_own_wait(settlement.wait))
        case Cancelled():
            book.end(row, TaskState.CANCELLED, settlement.reason)
        case Superseded():
            _supersede(book, row, settlement)
    return True


def _keep_error(row: Row, text: str | None) -> None:
    if text is not None:
        row.error = redact(text)


def _end_pauses(book: TaskBook, route: Route, receipt: UploadReceipt) -> None:
    if receipt.deduplicated:
        return  # nothing was sent: the destination may still be away
    for pause in book.pauses.ended_by_delivery(route, book.now_ns):
        book.pauses.remove(pause.scope, pause.value)


def _own_wait(wait: WaitReason) -> WaitReason:
    """Whether a task is held or stands behind another, the store finds out by itself."""
    return WaitReason.SNOOZED if wait in {WaitReason.HELD, WaitReason.BEHIND} else wait


def _supersede(book: TaskBook, row: Row, settlement: Superseded) -> None:
    key = task_key(row.route, row.asset_id, settlement.found)
    _, behind = book.live(row.route, row.asset_id)
    if row.begun:
        row.attempts -= 1
    book.end(row, TaskState.CANCELLED, SUPERSEDED)
    is_there = (behind is not None and behind.key == key) or book.is_delivered(row.route, row.asset_id, key)
    if not is_there:
        if behind is not None:
            book.end(behind, TaskState.CANCELLED, SUPERSEDED)
        book.add(
            row.route,
            row.asset_id,
            settlement.found,
            due_ns=settlement.due_ns,
            priority=row.priority,
            tags=row.tags,
            constraints=row.constraints,
        )
