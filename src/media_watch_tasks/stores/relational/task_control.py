"""What people do with tasks: cancel, retry, pause, resume, purge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.model.tasks import TaskSelection, WaitReason
from media_watch_tasks.stores.phases import Phase
from media_watch_tasks.stores.relational.task_codec import (
    CANCELLED,
    DEAD,
    FAILED,
    SUCCESS,
    json_of_ids,
    tag_to_sql,
    tags_from_sql,
    wait_number,
)
from media_watch_tasks.stores.relational.task_core import TaskCore
from media_watch_tasks.stores.relational.task_database import Row
from media_watch_tasks.stores.relational.task_selection import RUNNING_IDS, WAITING_IDS, conditions
from media_watch_tasks.stores.relational.text_codec import to_sql

__all__ = ["TaskControl"]

_CANCEL_WAITING = """
UPDATE task AS t SET phase = 5, slot = NULL, counted = NULL, wait = NULL, state = 5, reason = ?, updated_ns = ?
WHERE t.id IN ({ids}) AND {condition}
"""
_ASK_TO_STOP = "UPDATE task AS t SET cancel_reason = ? WHERE t.phase = 4 AND t.id IN ({ids}) AND {condition}"
_TO_RETRY = """
SELECT t.id, t.phase, t.state, t.wait, t.route, t.asset_id, t.tags,
    EXISTS (SELECT 1 FROM task AS l WHERE l.route = t.route AND l.asset_id = t.asset_id AND l.slot IN (0, 1)),
    (SELECT d.id FROM task AS d WHERE d.route = t.route AND d.asset_id = t.asset_id AND d.slot = 2)
FROM task AS t WHERE {condition} AND {wanted}
"""
_BACKOFF = wait_number(WaitReason.BACKOFF)
_WANTED = f"(t.state IN ({DEAD}, {CANCELLED}, {FAILED}) OR (t.phase IN (1, 2) AND t.wait = {_BACKOFF}))"
_RETRY = """
UPDATE task SET phase = ?, wait = NULL, state = 0, slot = 0, counted = 1, reason = NULL, attempts = 0, crashes = 0,
    due_ns = ?, live_since_ns = ?, updated_ns = ?
WHERE id = ?
"""
_OLD = """
SELECT t.id, t.tags FROM task AS t
WHERE t.phase = 5 AND t.slot IS NULL AND t.updated_ns < ? AND {condition}
    AND NOT (t.begins > 0 AND EXISTS (
        SELECT 1 FROM task AS d WHERE d.route = t.route AND d.asset_id = t.asset_id AND d.slot = 2 AND d.id < t.id
    ))
LIMIT ?
"""
_FORGET = "DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"
_FORGET_TASKS = _FORGET.format(table="task", column="id")
_FORGET_RECEIPTS = _FORGET.format(table="task_receipt", column="task_id")
_FORGET_TAG = "DELETE FROM task_tag WHERE tag = ? AND task_id = ?"
_KEEP_HIGHEST_ID = "UPDATE task_store SET purged_id = max(purged_id, ?)"
_PORTION = 2_000
"""So many tasks are purged in one transaction, so that nobody waits long for his turn."""


class TaskControl:
    """`cancel`, `retry`, `pause`, `resume`, `purge`. All but `purge` need a transaction."""

    def __init__(self, core: TaskCore) -> None:
        self._core = core

    def cancel(self, selection: TaskSelection, *, reason: str) -> tuple[int, int]:
        """See `TaskStore.cancel`."""
        database = self._core.database
        ended = asked = 0
        for condition, params in conditions(selection, self._core.names.current(), self._core.database.one_of):
            now = self._core.clock.now_ns()
            sql = _CANCEL_WAITING.format(ids=WAITING_IDS, condition=condition)
            ended += database.write(sql, (to_sql(reason), now, *params))
            sql = _ASK_TO_STOP.format(ids=RUNNING_IDS, condition=condition)
            asked += database.write(sql, (to_sql(reason), *params))
        return ended, asked

    def retry(self, selection: TaskSelection) -> tuple[Sequence[int], Mapping[int, str]]:
        """See `TaskStore.retry`."""
        core = self._core
        names = core.names.current()
        names_tasks = selection.ids is not None or selection.keys is not None or selection.asset_ids is not None
        wanted = "TRUE" if names_tasks else _WANTED
        rows = [
            row
            for condition, params in conditions(selection, names, core.database.one_of)
            for row in core.database.execute(_TO_RETRY.format(condition=condition, wanted=wanted), params)
        ]
        now = core.clock.now_ns()
        retried: dict[int, int] = {}
        skipped: dict[int, str] = {}
        revived: set[tuple[int, bytes]] = set()
        for row in sorted(rows, reverse=True):
            task_id, _, _, _, route, asset_id, tags, _, _ = row
            why_not = _why_not(row, revived)
            if why_not is None:
                retried[task_id], _ = core.place(names, tags=tags, due_ns=now, wait=None)
                revived.add((route, asset_id))
            else:
                skipped[task_id] = why_not
        core.database.executemany(_RETRY, [(phase, now, now, now, task_id) for task_id, phase in retried.items()])
        core.to_their_lanes(names, sorted(retried))
        return tuple(sorted(retried)), dict(sorted(skipped.items()))

    def pause(self, pause: Pause) -> None:
        """See `TaskStore.pause`."""
        names = self._core.names.current()
        self._core.names.put_pause(names, pause)
        if pause.scope is PauseScope.TAG:
            self._core.hold(names, pause.value)
        self._core.end_past_pauses(names)

    def resume(self, scope: PauseScope, value: str) -> bool:
        """See `TaskStore.resume`."""
        names = self._core.names.current()
        self._core.end_past_pauses(names)
        found = [
            pause
            for pause in names.pauses.listed(self._core.clock.now_ns())
            if (pause.scope, pause.value) == (scope, value)
        ]
        self._core.names.remove_pauses(names, found)
        if found and scope is PauseScope.TAG:
            self._core.let_go(names)
        return bool(found)

    def purge(self, selection: TaskSelection, *, before_ns: int) -> int:
        """See `TaskStore.purge`."""
        database = self._core.database
        purged = 0
        for condition, params in conditions(selection, self._core.names.current(), self._core.database.one_of):
            sql = _OLD.format(condition=condition)
            while True:
                with self._portion():
                    rows = database.execute(sql, (before_ns, *params, _PORTION))
                    if rows:
                        self._forget(rows)
                purged += len(rows)
                if len(rows) < _PORTION:
                    break
        return purged

    def _forget(self, rows: Sequence[Row]) -> None:
        database = self._core.database
        ids = json_of_ids([task_id for task_id, _ in rows])
        self._keep_highest_id(max(task_id for task_id, _ in rows))
        database.execute(_FORGET_TASKS, (ids,))
        database.execute(_FORGET_RECEIPTS, (ids,))
        tagged = [(tag_to_sql(tag), task_id) for task_id, tags in rows for tag in tags_from_sql(tags)]
        if tagged:
            database.executemany(_FORGET_TAG, tagged)

    def _portion(self) -> AbstractContextManager[None]:
        """The transaction of one portion of a purge."""
        return self._core.database.transaction()

    def _keep_highest_id(self, task_id: int) -> None:
        """Let no task have an id again."""
        self._core.database.execute(_KEEP_HIGHEST_ID, (task_id,))


def _why_not(row: Row, revived: set[tuple[int, bytes]]) -> str | None:
    task_id, phase, state, wait, route, asset_id, _, has_live, delivered = row
    if phase != Phase.ENDED:
        fails = phase in {Phase.READY, Phase.WAITING, Phase.HELD} and (state == FAILED or wait == _BACKOFF)
        return None if fails else "not ended"
    if state == SUCCESS:
        return "delivered"
    if has_live or (route, asset_id) in revived:
        return "live task"
    return "newer version delivered" if delivered is not None and delivered > task_id else None
