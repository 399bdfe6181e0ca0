"""The workers of a PostgreSQL schema: each has an advisory lock, by which its peers see whether it is alive."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from media_watch_tasks.stores.postgres.arrays import numbers
from media_watch_tasks.stores.postgres.presence import Presence
from media_watch_tasks.stores.postgres.task_core import PostgresTaskCore
from media_watch_tasks.stores.relational.worker_records import WorkerRecords

__all__ = ["PostgresTaskWorkers"]

_REGISTER = "INSERT INTO task_worker (worker_id, name, session, registered_ns) VALUES ($1, $2, '', $3) RETURNING id"
_SESSION = "UPDATE task_worker SET session = $1, ended = 0 WHERE id = ANY ($2::bigint[])"
_BUSY = "SELECT DISTINCT worker FROM task WHERE phase = 4"


class PostgresTaskWorkers(WorkerRecords):
    """The workers of one schema. Every method needs a transaction."""

    def __init__(self, core: PostgresTaskCore, *, on_end: Callable[[Sequence[str]], None]) -> None:
        """`on_end`: see `WorkerRecords`."""
        super().__init__(core, on_end=on_end)
        self._database = core.database
        self._presence = Presence(core.database)
        self._locked: dict[str, int] = {}

    def register(self, name: str) -> str:
        """See `TaskStore.register_worker`."""
        execute = self._database.execute
        worker_id = uuid.uuid4().hex
        number = execute(_REGISTER, (worker_id, name, self._core.clock.now_ns()))[0][0]
        self.come_back()  # the connection of the others' locks may be lost, which this one's is taken on
        self._presence.hold(number)
        execute(_SESSION, (self._presence.session, numbers([number])))
        # Now that there is a lock of this server's run, those of the others can be judged.
        dead = self._presence.gone(busy=False)
        self._bury(dead, busy={row[0] for row in execute(_BUSY)} if dead else ())
        self._forget_ended()
        self._core.names.boot(self._core.names.current())
        self._numbers[worker_id] = self._locked[worker_id] = number
        return worker_id

    def forget_lock(self, worker_id: str) -> None:
        """Let go of the lock of a worker, once the release of its work is committed."""
        number = self._locked.pop(worker_id, None)
        if number is not None:
            self._presence.remove(number)

    def come_back(self) -> None:
        """Take the locks of this process again where the connection that held them was lost."""
        revived = self._presence.revive()
        if revived:
            self._database.execute(_SESSION, (self._presence.session, numbers(revived)))

    def somebody_is_gone(self) -> bool:
        """True if a worker of another process holds tasks although it is gone."""
        return bool(self._presence.gone(busy=True))

    def bury_dead(self) -> Sequence[int]:
        """The numbers of workers that hold tasks although they are gone."""
        return self._bury(self._presence.gone(busy=True))

    def close(self) -> None:
        """Let go of the locks: peers may take back what is still held."""
        self._presence.close()
