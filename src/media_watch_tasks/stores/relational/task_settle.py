"""How work on tasks ends: deliveries by one statement for a batch, all else by one for each kind of move."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.settlements import Cancelled, Dead, Delivered, Failed, Released, Settlement, Superseded
from media_watch_tasks.model.tasks import ClaimRef, WaitReason
from media_watch_tasks.model.uploads import UploadProgress
from media_watch_tasks.stores.relational.task_codec import CANCELLED, DEAD, progress_to_sql, receipt_to_row, wait_number
from media_watch_tasks.stores.relational.task_core import SUPERSEDED, Again, End, Held, TaskCore
from media_watch_tasks.stores.relational.task_database import Row
from media_watch_tasks.stores.relational.task_enqueue import TaskEnqueue
from media_watch_tasks.stores.relational.task_sequel import TaskSequel
from media_watch_tasks.stores.relational.text_codec import to_sql

__all__ = ["PROGRESS", "TaskSettle"]

_EARLIER = "(SELECT e.id FROM task AS e WHERE e.route = task.route AND e.asset_id = task.asset_id AND e.slot = 2)"
# A batch is a JSON object, {"id": token, …}, in parameter 2; one claim is id and token in parameters 2 and 3.
_DELIVER = """
UPDATE task SET phase = 5, state = 3, slot = 2, attempts = attempts + (begun = 0), begins = begins + (begun = 0),
    begun = 0, error = NULL, resume_state = NULL, progress = NULL, cancel_reason = NULL, updated_ns = ?1
{which}
"""
_TELL = """
RETURNING task.id, task.lane, (SELECT names_version FROM task_store), EXISTS (SELECT 1 FROM task WHERE phase = 3)
"""
_ONE = "WHERE task.phase = 4 AND task.id = ?2 AND task.token = ?3"
_MANY = """
FROM json_each(?2) AS claim
WHERE task.phase = 4 AND task.id = CAST(claim.key AS INTEGER) AND task.token = claim.value
"""
# Nothing follows from this one: no earlier version (the unique index tells of it, and the row is passed over), nobody
# behind it, the small tables as they are known.
_SIMPLE = """
    AND NOT EXISTS (SELECT 1 FROM task WHERE phase = 3) AND (SELECT names_version FROM task_store) = ?4
"""
_DELIVER_SIMPLY = _DELIVER.replace("UPDATE task", "UPDATE OR IGNORE task", 1)
_DELIVER_ONE_SIMPLY = _DELIVER_SIMPLY.format(which=_ONE + _SIMPLE)
_DELIVER_MANY_SIMPLY = _DELIVER_SIMPLY.format(which=_MANY + _SIMPLE)
_DELIVER_FIRSTS = _DELIVER.format(which=f"{_MANY} AND {_EARLIER} IS NULL") + _TELL
_DELIVER_REST = _DELIVER.format(which=_MANY) + _TELL
_REPLACE_EARLIER = f"""
UPDATE task SET slot = NULL, counted = NULL
WHERE id IN (
    SELECT {_EARLIER} FROM json_each(?1) AS claim
    JOIN task ON task.phase = 4 AND task.id = CAST(claim.key AS INTEGER) AND task.token = claim.value
)
"""  # noqa: S608 - a constant
_RECEIPT = "INSERT INTO task_receipt VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_EXTEND = """
UPDATE task SET lease_end = ?1, boot = ?3
FROM json_each(?2) AS claim
WHERE task.phase = 4 AND task.id = CAST(claim.key AS INTEGER) AND task.token = claim.value
RETURNING task.id
"""
PROGRESS = "UPDATE task SET progress = ? WHERE id = ?"
_RESUME = "UPDATE task SET resume_state = ? WHERE id = ? AND token = ? AND phase = 4 RETURNING id"
_BACKOFF = wait_number(WaitReason.BACKOFF)


class _NotAllSimpleError(Exception):
    """Takes back the simple deliveries of a batch with one that is not."""


class TaskSettle:
    """`settle`, `extend`, `save_resume_state`. Every method needs a transaction."""

    def __init__(self, core: TaskCore, enqueue: TaskEnqueue, sequel: TaskSequel) -> None:
        self._core = core
        self._enqueue = enqueue
        self._sequel = sequel

    def settle(self, settlements: Sequence[Settlement]) -> frozenset[int]:
        """See `TaskStore.settle`; without the claim that may follow."""
        deliveries = {item.ref.task_id: item for item in settlements if isinstance(item, Delivered)}
        if deliveries and len(deliveries) == len(settlements):
            return self._deliver(deliveries)
        deliveries.clear()
        others: list[Settlement] = []
        seen: set[int] = set()
        for settlement in settlements:
            task_id = settlement.ref.task_id
            if isinstance(settlement, Delivered) and task_id not in seen:
                deliveries[task_id] = settlement
            else:
                others.append(settlement)
            seen.add(task_id)
        settled = self._deliver(deliveries) if deliveries else frozenset[int]()
        return settled | self._settle_each(others) if others else settled

    def extend(
        self, refs: Sequence[ClaimRef], *, lease_ns: int, progress: Mapping[int, UploadProgress] | None
    ) -> frozenset[int]:
        """See `TaskStore.extend`."""
        core = self._core
        boot = core.names.boot(core.names.current())
        claims = json.dumps({ref.task_id: ref.token for ref in refs})
        rows = core.database.execute(_EXTEND, (core.clock.boot_ns() + lease_ns, claims, boot))
        extended = frozenset(row[0] for row in rows)
        if progress:
            known = [(progress_to_sql(progress[task_id]), task_id) for task_id in extended & progress.keys()]
            core.database.executemany(PROGRESS, known)
        return extended

    def save_resume_state(self, ref: ClaimRef, state: str | None) -> bool:
        """See `TaskStore.save_resume_state`; takes JSON."""
        return bool(self._core.database.execute(_RESUME, (state, ref.task_id, ref.token)))

    # ---- deliveries

    def _deliver(self, deliveries: Mapping[int, Delivered]) -> frozenset[int]:
        if self._deliver_simply(deliveries):
            self._keep_receipts(deliveries.values())
            return frozenset(deliveries)
        execute = self._core.database.execute
        now = self._core.clock.now_ns()
        rows = execute(_DELIVER_FIRSTS, (now, _claims(deliveries.values())))
        if len(rows) < len(deliveries):
            there = {row[0] for row in rows}
            rest = _claims(delivery for task_id, delivery in deliveries.items() if task_id not in there)
            execute(_REPLACE_EARLIER, (rest,))
            rows = [*rows, *execute(_DELIVER_REST, (now, rest))]
        if rows:
            self._keep_receipts([deliveries[row[0]] for row in rows])
            self._after_delivery(rows, deliveries)
        return frozenset(row[0] for row in rows)

    def _deliver_simply(self, deliveries: Mapping[int, Delivered]) -> bool:
        """Deliver all of them, if each is a plain first delivery of a task that is still held; else none."""
        database = self._core.database
        now = self._core.clock.now_ns()
        names = self._core.names.latest_known()
        if names.pauses:
            return False
        if len(deliveries) == 1:
            ((task_id, token),) = (delivery.ref for delivery in deliveries.values())
            return database.write(_DELIVER_ONE_SIMPLY, (now, task_id, token, names.version)) == 1
        values = (now, _claims(deliveries.values()), None, names.version)
        with suppress(_NotAllSimpleError), database.transaction():
            if database.write(_DELIVER_MANY_SIMPLY, values) == len(deliveries):
                return True
            raise _NotAllSimpleError
        return False

    def _keep_receipts(self, deliveries: Collection[Delivered]) -> None:
        """What was delivered, and the after-upload actions that this owes."""
        self._insert_receipts([receipt_to_row(delivery.ref[0], delivery.receipt) for delivery in deliveries])
        owed = [(delivery.ref.task_id, delivery.action) for delivery in deliveries if delivery.action]
        if owed:
            self._sequel.owe(owed)

    def _insert_receipts(self, rows: Sequence[Row]) -> None:
        self._core.database.executemany(_RECEIPT, rows)

    def _after_delivery(self, rows: Sequence[Row], deliveries: Mapping[int, Delivered]) -> None:
        _, _, version, behind = rows[0]
        names = self._core.names.at(version)
        if names.pauses:
            now = self._core.clock.now_ns()
            # A shared receipt proves nothing: the destination may still be away.
            lanes = {lane for task_id, lane, _, _ in rows if not deliveries[task_id].receipt.deduplicated}
            ended = {pause for lane in lanes for pause in names.pauses.ended_by_delivery(names.lanes[lane][0], now)}
            self._core.names.remove_pauses(names, sorted(ended, key=lambda pause: (pause.scope, pause.value)))
        if behind:
            self._core.free_behind(names)

    # ---- all else

    def _settle_each(self, settlements: Sequence[Settlement]) -> frozenset[int]:
        core = self._core
        names = core.names.current()
        running = {task.id: task for task in core.running({item.ref.task_id for item in settlements})}
        if any(isinstance(item, Superseded) for item in settlements) or any(task.behind for task in running.values()):
            core.database.require_alone()
        settled: dict[int, Held] = {}
        ended: list[End] = []
        again: list[Again] = []
        found: list[tuple[Held, Superseded]] = []
        delivered: dict[int, Delivered] = {}
        for settlement in settlements:
            task = running.get(settlement.ref.task_id)
            if task is None or task.token != settlement.ref.token:
                continue
            settled[task.id] = running.pop(task.id)
            if isinstance(settlement, Delivered):
                delivered[task.id] = settlement
            elif isinstance(settlement, Failed | Released):
                again.append(_again(task, settlement))
            else:
                ended.append(_end(task, settlement))
            if isinstance(settlement, Superseded):
                found.append((task, settlement))
        core.end(ended)
        core.back(names, again)
        for task, settlement in found:
            self._enqueue.add_found(names, task, found=settlement.found, due_ns=settlement.due_ns)
        if any(task.behind is not None for task in settled.values()):
            core.free_behind(names)
        if delivered:
            self._deliver(delivered)
        return frozenset(settled)


def _claims(deliveries: Iterable[Delivered]) -> str:
    return "{" + ",".join(['"%d":%d' % item.ref for item in deliveries]) + "}"  # noqa: UP031 - of a pair, and quicker


def _again(task: Held, settlement: Failed | Released) -> Again:
    if isinstance(settlement, Failed):
        counts = (task.attempts + (not task.begun), task.crashes, task.begins + (not task.begun))
        return Again(task, settlement.retry_ns, _BACKOFF, *counts, redact(settlement.error))
    due = task.due_ns if settlement.due_ns is None else settlement.due_ns
    note = None if settlement.note is None else redact(settlement.note)
    begins = task.begins - (task.begun if settlement.untouched else 0)
    counts = (task.attempts - task.begun, task.crashes, begins)
    return Again(task, due, wait_number(settlement.wait), *counts, note, settlement.untouched)


def _end(task: Held, settlement: Dead | Cancelled | Superseded) -> End:
    match settlement:
        case Dead():
            error = None if settlement.error is None else redact(settlement.error)
            counts = (task.attempts + (not task.begun), task.crashes, task.begins + (not task.begun))
            return End(task, DEAD, to_sql(settlement.reason), *counts, error)
        case Cancelled():
            return End(task, CANCELLED, to_sql(settlement.reason), task.attempts, task.crashes, task.begins)
        case Superseded():
            return End(task, CANCELLED, SUPERSEDED, task.attempts - task.begun, task.crashes, task.begins)
