"""The workers as the task store knows them: their numbers, and what happens when one ends or is found dead."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.stores.relational.task_codec import json_of_ids
from media_watch_tasks.stores.relational.task_core import TaskCore
from media_watch_tasks.stores.relational.text_codec import to_sql

__all__ = ["WorkerRecords"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

_NUMBER = "SELECT id FROM task_worker WHERE worker_id = ? AND ended = 0"
_ENDED = "UPDATE task_worker SET ended = 1 WHERE id IN (SELECT value FROM json_each(?))"
# The highest number stays, so that none is used again: tasks remember the number of who claimed them last.
_FORGET = "DELETE FROM task_worker WHERE ended = 1 AND id < (SELECT max(id) FROM task_worker)"


class WorkerRecords(ABC):
    """The workers of one database. Every method that writes needs a transaction."""

    def __init__(self, core: TaskCore, *, on_end: Callable[[Sequence[str]], None]) -> None:
        """`on_end(worker_ids)` is called, inside the transaction, for workers that end or were found dead."""
        self._core = core
        self._on_end = on_end
        self._numbers: dict[str, int] = {}
        """The workers that this object has registered."""

    @abstractmethod
    def register(self, name: str) -> str:
        """See `TaskStore.register_worker`."""

    @abstractmethod
    def forget_lock(self, worker_id: str) -> None:
        """Let go of the lock of a worker, once the release of its work is committed."""

    @abstractmethod
    def bury_dead(self) -> Sequence[int]:
        """The numbers of workers that hold tasks although they have died."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all locks: peers may take back what is still held."""

    def unregister(self, worker_id: str) -> None:
        """See `TaskStore.unregister_worker`."""
        number = self.known_number(worker_id)
        self._numbers.pop(worker_id, None)
        if number is not None:
            self._core.release(self._core.names.current(), self._core.held_by([number]))
            self._core.database.execute(_ENDED, (json_of_ids([number]),))
            self._on_end([worker_id])

    def number_of(self, worker_id: str) -> int:
        """The number by which tasks name a worker that is alive."""
        number = self.known_number(worker_id)
        if number is None:
            raise ConfigurationError(f"worker {worker_id!r} is not registered: call register_worker() first")
        return number

    def known_number(self, worker_id: str) -> int | None:
        """The number of a worker that is alive, else None."""
        number = self._numbers.get(worker_id)
        if number is None:
            rows = self._core.database.execute(_NUMBER, (to_sql(worker_id),))
            number = rows[0][0] if rows else None
        return number

    def _bury(self, dead: Sequence[tuple[int, str]], *, busy: Collection[int] = ()) -> Sequence[int]:
        """Record that workers are dead, except those whose work has to be taken back first; the numbers of the others.

        `dead`: (number, id) of each.
        """
        if dead:
            self._on_end([worker_id for _, worker_id in dead])
        buried = [(number, worker_id) for number, worker_id in dead if number not in busy]
        if buried:
            self._core.database.execute(_ENDED, (json_of_ids([number for number, _ in buried]),))
            for number, worker_id in buried:
                logger.warning("worker died", extra={"worker_id": worker_id, "number": number})
        return [number for number, _ in buried]

    def _forget_ended(self) -> None:
        self._core.database.execute(_FORGET)
