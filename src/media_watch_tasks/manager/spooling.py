"""Keeps the bytes of pending uploads, for sources that vanish, and frees them when nobody needs them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from media_watch_tasks.abc.payloads import KeptPayload
from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.outcomes import Outcome
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.events import PayloadFreed, PayloadKept
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.settlements import Cancelled, Dead, Delivered, Failed, PauseScope, Superseded
from media_watch_tasks.model.tasks import Task, TaskSelection, TaskState

__all__ = ["Spooling"]

_log = logging.getLogger(__name__)
_PORTION = 500


class Spooling:
    """Does nothing where the manager was given no store."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core
        self._store = core.pending

    def kept(self, task: Task) -> KeptPayload | None:
        """What is kept of this version of the file."""
        return None if self._store is None else self._store.get(task.key)

    @property
    def before_sending(self) -> bool:
        """Bytes are kept before anything is sent."""
        return self._store is not None and self._store.keep == "always"

    def wanted_after(self, outcome: Outcome) -> bool:
        """A failure that is the destination's, and will be tried again."""
        if self._store is None or self._store.keep == "off":
            return False
        paused = outcome.pause is not None and outcome.pause.scope is PauseScope.DESTINATION
        return paused or isinstance(outcome.settlement, Failed)

    def keep(self, task: Task, media: ResolvedMedia) -> KeptPayload | None:
        """Read the file and keep it; None where that cannot be, which is logged and changes nothing else."""
        if self._store is None:
            return None
        try:
            payload = self._store.put(task.key, task.route, media)
        except (MediaWatchError, OSError) as error:
            _log.warning(
                "not kept, a retry depends on the source: %s",
                redact(str(error)),
                extra={"task_id": task.id, "asset": task.display},
            )
            return None
        if payload is not None:
            notifier = self._core.notifier
            notifier.emit(PayloadKept(at_ns=notifier.now_ns(), task=task, size=payload.size))
        return payload

    def forget(self, task: Task, *, reason: str) -> None:
        """Free what is kept for a task, and say so."""
        freed = None if self._store is None else self._store.free(task.key)
        if freed is None:
            return
        level = logging.DEBUG if reason == "delivered" else logging.WARNING
        _log.log(level, "kept bytes freed: %s", reason, extra={"task_id": task.id, "asset": task.display})
        notifier = self._core.notifier
        notifier.emit(PayloadFreed(at_ns=notifier.now_ns(), task=task, size=freed, reason=reason))

    def settled(self, outcome: Outcome) -> None:
        """An outcome stands in the database: only now may bytes go."""
        if self._store is None:
            return
        match outcome.settlement:
            case Delivered():
                self.forget(outcome.claim.task, reason="delivered")
            case Dead() if not self._store.keep_dead:
                self.forget(outcome.claim.task, reason="dead")
            case Cancelled(reason=why):
                self.forget(outcome.claim.task, reason=f"cancelled: {why}")
            case Superseded():
                self.forget(outcome.claim.task, reason="cancelled: superseded")
            case _:
                pass

    def sweep(self) -> None:
        """Free what belongs to tasks that ended otherwise (waiting ones that were cancelled), or is too old."""
        if self._store is None:
            return
        for route in self._core.destinations.routes:
            keys = list(self._store.keys(route))
            for start in range(0, len(keys), _PORTION):
                self._sweep(keys[start : start + _PORTION])

    def _sweep(self, keys: Sequence[str]) -> None:
        store = self._store
        if store is None:
            return
        latest: dict[str, Task] = {}
        selection = TaskSelection(
            routes=self._core.destinations.routes, keys=frozenset(bytes.fromhex(key) for key in keys)
        )
        after = 0
        while page := self._core.tasks.tasks(selection, limit=_PORTION, after_id=after):
            latest.update({task.key: task for task in page})
            after = page[-1].id
        for key in keys:
            task = latest.get(key)
            if task is None:
                # A database that was purged, or restored from an older copy.
                _log.warning("kept bytes freed: no task has their key", extra={"key": key})
                store.free(key)
                continue
            payload = store.get(key)
            if not task.state.is_live and not (task.state is TaskState.DEAD and store.keep_dead):
                self.forget(task, reason=f"the task ended: {task.state}")
            elif payload is None:
                self.forget(task, reason="the bytes are gone or of another length")
            elif store.ttl is not None and payload.age > store.ttl:
                self.forget(task, reason="expired")
