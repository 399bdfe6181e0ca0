"""The workers: their names, their lock files, and who of them is dead."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.stores.sqlite.task_codec import json_of_ids
from media_watch_tasks.stores.sqlite.task_core import TaskCore
from media_watch_tasks.stores.sqlite.text_codec import to_sql
from media_watch_tasks.stores.sqlite.worker_locks import WorkerLocks, host_id

__all__ = ["TaskWorkers"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

_REGISTER = "INSERT INTO task_worker (worker_id, name, host, registered_ns) VALUES (?, ?, ?, ?) RETURNING id"
_NUMBER = "SELECT id FROM task_worker WHERE worker_id = ? AND NOT ended"
_ENDED = "UPDATE task_worker SET ended = 1 WHERE id IN (SELECT value FROM json_each(?))"
# The highest number stays, so that none is used again: tasks remember the number of who claimed them last.
_FORGET = "DELETE FROM task_worker WHERE ended AND id < (SELECT max(id) FROM task_worker)"
_BUSY = """
SELECT DISTINCT w.id, w.worker_id FROM task AS t JOIN task_worker AS w ON w.id = t.worker
WHERE t.phase = 4 AND w.host = ? AND NOT w.ended
"""
_ALIVE = "SELECT id, worker_id FROM task_worker WHERE host = ? AND NOT ended"


class TaskWorkers:
    """The workers of one database. Every method that writes needs a transaction."""

    def __init__(self, core: TaskCore, *, on_end: Callable[[Sequence[str]], None]) -> None:
        """`on_end(worker_ids)` is called, inside the transaction, for workers that end or were found dead."""
        self._core = core
        self._on_end = on_end
        self._locks = WorkerLocks(core.database.path)
        self._host = host_id()
        self._numbers: dict[str, int] = {}
        """The workers that this object has registered."""

    def register(self, name: str) -> str:
        """See `TaskStore.register_worker`."""
        execute = self._core.database.execute
        alive = execute(_ALIVE, (self._host,))
        # Before anybody is buried in this transaction, which may not come to its end. All the living stand in the
        # table: a worker that registers makes its file and its row in one transaction.
        self._locks.sweep(keep={alive_id for _, alive_id in alive})
        self._bury(alive, keep_busy=True)
        execute(_FORGET)
        worker_id = uuid.uuid4().hex
        try:
            self._locks.hold(worker_id)
        except OSError as error:
            # The queue works without: a death is then seen when the lease ends.
            logger.warning("no lock file for the worker: %s", error, extra={"worker_id": worker_id})
        values = (worker_id, to_sql(name), self._host, self._core.clock.now_ns())
        self._numbers[worker_id] = execute(_REGISTER, values)[0][0]
        return worker_id

    def unregister(self, worker_id: str) -> None:
        """See `TaskStore.unregister_worker`."""
        number = self.known_number(worker_id)
        self._numbers.pop(worker_id, None)
        if number is not None:
            self._core.release(self._core.names.current(), self._core.held_by([number]))
            self._core.database.execute(_ENDED, (json_of_ids([number]),))
            self._on_end([worker_id])

    def forget_lock(self, worker_id: str) -> None:
        """Delete the lock file, once the release is committed."""
        self._locks.remove(worker_id)

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

    def bury_dead(self) -> Sequence[int]:
        """The numbers of workers that hold tasks although their processes have died."""
        return self._bury(self._core.database.execute(_BUSY, (self._host,)))

    def close(self) -> None:
        """Let go of the lock files: peers may take back what is still held."""
        self._locks.close()

    def _bury(self, workers: Sequence[tuple[int, str]], *, keep_busy: bool = False) -> Sequence[int]:
        dead = [(number, worker_id) for number, worker_id in workers if self._locks.is_dead(worker_id)]
        if dead:
            self._on_end([worker_id for _, worker_id in dead])
        if keep_busy:
            busy = {number for number, _ in self._core.database.execute(_BUSY, (self._host,))}
            dead = [(number, worker_id) for number, worker_id in dead if number not in busy]
        if dead:
            # Their files stay until this is committed: without them nobody could find out again if this process dies.
            self._core.database.execute(_ENDED, (json_of_ids([number for number, _ in dead]),))
            for number, worker_id in dead:
                logger.warning("worker died", extra={"worker_id": worker_id, "number": number})
        return [number for number, _ in dead]
