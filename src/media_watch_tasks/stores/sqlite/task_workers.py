"""The workers of an SQLite file: each has a lock file, by which its peers see whether it is alive."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence

from media_watch_tasks.stores.relational.task_core import TaskCore
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.relational.worker_records import WorkerRecords
from media_watch_tasks.stores.sqlite.worker_locks import WorkerLocks, host_id

__all__ = ["TaskWorkers"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

_REGISTER = "INSERT INTO task_worker (worker_id, name, host, registered_ns) VALUES (?, ?, ?, ?) RETURNING id"
_BUSY = """
SELECT DISTINCT w.id, w.worker_id FROM task AS t JOIN task_worker AS w ON w.id = t.worker
WHERE t.phase = 4 AND w.host = ? AND NOT w.ended
"""
_ALIVE = "SELECT id, worker_id FROM task_worker WHERE host = ? AND NOT ended"


class TaskWorkers(WorkerRecords):
    """The workers of one database. Every method that writes needs a transaction."""

    def __init__(self, core: TaskCore, *, path: str, on_end: Callable[[Sequence[str]], None]) -> None:
        """`path`: of the database file, beside which the lock files stand. `on_end`: see `WorkerRecords`."""
        super().__init__(core, on_end=on_end)
        self._locks = WorkerLocks(path)
        self._host = host_id()

    def register(self, name: str) -> str:
        """See `TaskStore.register_worker`."""
        execute = self._core.database.execute
        alive = execute(_ALIVE, (self._host,))
        # Before anybody is buried in this transaction, which may not come to its end. All the living stand in the
        # table: a worker that registers makes its file and its row in one transaction.
        self._locks.sweep(keep={alive_id for _, alive_id in alive})
        self._bury(self._dead(alive), busy={number for number, _ in execute(_BUSY, (self._host,))})
        self._forget_ended()
        worker_id = uuid.uuid4().hex
        try:
            self._locks.hold(worker_id)
        except OSError as error:
            # The queue works without: a death is then seen when the lease ends.
            logger.warning("no lock file for the worker: %s", error, extra={"worker_id": worker_id})
        values = (worker_id, to_sql(name), self._host, self._core.clock.now_ns())
        self._numbers[worker_id] = execute(_REGISTER, values)[0][0]
        return worker_id

    def forget_lock(self, worker_id: str) -> None:
        """Delete the lock file, once the release is committed."""
        self._locks.remove(worker_id)

    def bury_dead(self) -> Sequence[int]:
        """The numbers of workers that hold tasks although their processes have died."""
        # Their files stay until this is committed: without them nobody could find out again if this process dies.
        return self._bury(self._dead(self._core.database.execute(_BUSY, (self._host,))))

    def close(self) -> None:
        """Let go of the lock files: peers may take back what is still held."""
        self._locks.close()

    def _dead(self, workers: Sequence[tuple[int, str]]) -> Sequence[tuple[int, str]]:
        return [(number, worker_id) for number, worker_id in workers if self._locks.is_dead(worker_id)]
