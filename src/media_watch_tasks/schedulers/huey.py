"""HueyScheduler: the consumers of a Huey queue run a job, one of them at a time.

Huey is the trigger and never the queue of record: what is to be delivered stands in the task store. A Huey task that is
lost, doubled or late therefore costs nothing; the next one finds all the work.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

from media_watch_tasks.abc.scheduler import Job, Scheduler
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.clock import Clock, SystemClock, to_ns
from media_watch_tasks.errors import ConfigurationError, MissingDependencyError
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.schedulers.running import run_job
from media_watch_tasks.schedulers.shared_leases import SharedLease, lease_for

__all__ = ["HueyScheduler"]

_log = logging.getLogger(__name__)
_RENEWALS = 3
"""So many times a lease is renewed in its length."""
_LATEST_SLACK = timedelta(seconds=30)


class HueyScheduler(Scheduler):
    """Runs a job every so often in the consumers of a Huey queue, on any number of machines.

    Make it, and call `start`, where the module of the application is imported, which every consumer does; the runs come
    once a consumer works (`huey_consumer app.huey`). Each consumer asks once a minute whether a run is due; of all of
    them together one begins it, and none begins the next while it lasts. A consumer that dies in mid-run gives its turn
    to others when its lease ends.

        huey = RedisHuey("media-watch", host="redis.example")
        HueyScheduler(huey, timedelta(minutes=15)).start(job)

    The job runs in a worker of the consumer, which may be a forked process: let it open its own stores and manager.

    Args:
        huey: a `RedisHuey` (any of its kinds) or `SqliteHuey`.
        every: the interval between the beginnings of two runs, a minute at the least.
        name: of the schedule; two schedules on one queue need two names.
        at_once: how many runs there may be at the same time, on all consumers together; each keeps to the interval.
            More than one is for work that shares itself out, as `TaskManager.process` does.
        lease: how long after the death of a consumer in mid-run another may run the job.
        clock: time. The clocks of the machines should agree within a tenth of the interval.

    Raises:
        ConfigurationError: an interval below a minute, or arguments out of range.
        MissingDependencyError: what is given is no Huey instance.
    """

    def __init__(
        self,
        huey: Any,  # noqa: ANN401 - importing this needs no Huey; `_is_huey` looks
        every: timedelta,
        *,
        name: str = "media-watch",
        at_once: int = 1,
        lease: timedelta = timedelta(seconds=60),
        clock: Clock | None = None,
    ) -> None:
        if not all(hasattr(huey, part) for part in ("periodic_task", "storage", "name")):
            raise MissingDependencyError(
                f"HueyScheduler, which takes a Huey instance and not {type(huey).__name__},",
                package="huey", extra="huey",
            )  # fmt: skip
        if not isinstance(every, timedelta) or every < timedelta(minutes=1):
            raise ConfigurationError(f"every must be a minute at the least, as Huey looks once a minute: {every!r}")
        if at_once < 1:
            raise ConfigurationError(f"at_once must be 1 or more: {at_once}")
        if lease < timedelta(seconds=1):
            raise ConfigurationError(f"lease must be a second at the least: {lease!r}")
        self._huey = huey
        self._every = every
        self._name = f"media_watch_tasks.{name}"
        self._length = lease
        self._clock = clock or SystemClock()
        self._at_once = at_once
        self._lease(0)  # a storage that cannot hold leases is found out here
        self._changed = threading.Condition()
        self._task: Any = None
        self._cancel = CancelToken()
        self._running: dict[int, threading.Thread] = {}

    def start(self, job: Job) -> None:
        """Make the job known to Huey, and return; consumers that import the same module run it.

        Raises:
            ConfigurationError: the schedule has a job already, or another one on this queue has its name.
        """
        with self._changed:
            if self._task is not None or self._running:
                raise ConfigurationError("this scheduler runs a job already: stop() it first, until it says True")
            cancel = CancelToken()

            def tick() -> None:
                self._tick(job, cancel)

            try:
                self._task = self._huey.periodic_task(lambda _now: True, name=self._name)(tick)
            except ValueError as error:
                raise ConfigurationError(f"this Huey queue has a schedule of that name already: {error}") from error
            self._cancel = cancel

    def stop(self, *, timeout: timedelta | None = None) -> bool:
        """Forget the job in this process, cancel its token and wait for runs of this process.

        True if they have ended within `timeout` of real time. Other consumers go on.
        """
        self._cancel.cancel(CancelReason.SHUTDOWN)
        with self._changed:
            if self._task is not None:
                self._huey._registry.unregister(self._task.task_class)  # noqa: SLF001 - Huey has no other way
                self._task = None
            if threading.current_thread() in self._running.values():
                return False
            seconds = None if timeout is None else max(0.0, timeout.total_seconds())
            return self._changed.wait_for(lambda: not self._running, seconds)

    def _tick(self, job: Job, cancel: CancelToken) -> None:
        for slot in range(self._at_once):
            if cancel.cancelled:
                return
            lease = self._lease(slot)
            if not lease.acquire():
                continue
            try:
                if self._begin(slot):
                    self._hold_and_run(slot, lease, job, cancel)
                    return
            finally:
                lease.release()

    def _lease(self, slot: int) -> SharedLease:
        return lease_for(self._huey, f"{self._name}.lease.{slot}", length=self._length, clock=self._clock)

    def _begin(self, slot: int) -> bool:
        """Note that a run begins now, unless it is too early for one. Only the holder of the lease calls it."""
        key = f"{self._name}.began.{slot}"
        before = self._huey.storage.peek_data(key)
        now_ns, every_ns = self._clock.now_ns(), to_ns(self._every)
        slack_ns = min(every_ns // 10, to_ns(_LATEST_SLACK))
        # Consumers ask once a minute each, a little sooner or later; a time to come is a clock that was set back.
        if isinstance(before, bytes) and -slack_ns <= now_ns - int(before) < every_ns - slack_ns:
            return False
        self._huey.storage.put_data(key, b"%d" % now_ns)
        return True

    def _hold_and_run(self, slot: int, lease: SharedLease, job: Job, cancel: CancelToken) -> None:
        token, ended = cancel.child(), threading.Event()
        keeper = threading.Thread(
            target=self._keep, args=(lease, token, ended), name="media-watch-huey-lease", daemon=True
        )
        with self._changed:
            self._running[slot] = threading.current_thread()
        keeper.start()
        try:
            run_job(job, token, every=self._every)
        finally:
            ended.set()
            keeper.join()
            token.detach()
            with self._changed:
                del self._running[slot]
                self._changed.notify_all()

    def _keep(self, lease: SharedLease, token: CancelToken, ended: threading.Event) -> None:
        # In real time: the lease, too, runs out by the clock of a server.
        until = time.monotonic() + self._length.total_seconds()
        while not ended.wait(self._length.total_seconds() / _RENEWALS):
            try:
                if not lease.renew():
                    _log.warning("another consumer runs the job: this run is cancelled")
                    token.cancel(CancelReason.LEASE_LOST)
                    return
                until = time.monotonic() + self._length.total_seconds()
            except Exception as error:  # noqa: BLE001 - whatever the client of the storage raises
                _log.warning("the lease of the run cannot be renewed: %s", redact(str(error)))
                if time.monotonic() > until:
                    token.cancel(CancelReason.LEASE_LOST)
                    return
