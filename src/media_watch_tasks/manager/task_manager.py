"""TaskManager: the facade that an application uses."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from media_watch_tasks.abc.constraint import Constraint
from media_watch_tasks.abc.payloads import PayloadStore
from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.abc.scanner import MediaScanner
from media_watch_tasks.abc.stores import KeepsTime, MediaStateStore, TaskStore
from media_watch_tasks.abc.uploader import Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.model.tasks import Task, TaskState
from media_watch_tasks.options import TaskManagerOptions

if TYPE_CHECKING:
    from media_watch_tasks.manager.notifier import Listener
    from media_watch_tasks.model.reports import (
        BaselineReport,
        CheckReport,
        DescribeReport,
        EnqueueReport,
        ForeverReport,
        HealthReport,
        ProcessReport,
        QuarantineReport,
        RetryReport,
        RunReport,
        ScanReport,
        SelectionReport,
        SourceReport,
        VerifyReport,
    )

__all__ = ["TaskManager"]

_Report = TypeVar("_Report")


class TaskManager:
    """Scans one source, and delivers what is new there to one destination, or to several.

    It is a context manager. `close` ends what runs, and closes the uploader; scanner, resolver and stores belong to
    whoever made them. All methods are thread-safe; one scan and one run of the queue go on at a time.

    Every method may raise `StoreError`: the database cannot do it, nothing is lost, and the next call tries again.
    """

    def __init__(
        self,
        *,
        media_scanner: MediaScanner,
        media_resolver: MediaResolver,
        media_state_store: MediaStateStore,
        task_store: TaskStore,
        uploader: Uploader,
        options: TaskManagerOptions | None = None,
        constraints: Sequence[Constraint] = (),
        clock: Clock | None = None,
        rng: random.Random | None = None,
        pending: PayloadStore | None = None,
    ) -> None:
        """Put the parts together; nothing is started.

        Args:
            media_scanner: lists the source.
            media_resolver: reads from the same source.
            media_state_store: remembers what was seen.
            task_store: the durable queue.
            uploader: where files go; `AllOf` for several destinations.
            options: settings; the defaults suit a NAS and a few upload threads.
            constraints: conditions that tasks may ask for by name.
            clock: the time; give the stores the same one. By default that of the stores where they have one of their
                own (`KeepsTime`: PostgreSQL goes by the server's), else the machine's.
            rng: randomness for the jitter of back-offs.
            pending: keeps the bytes of failed uploads whose source may vanish (`spool.PendingStore`); None: nothing is
                kept.

        Raises:
            ConfigurationError: scanner and resolver are of different sources, two destinations have one id, a
                destination lies in the folder that is watched (and is not excluded from the scan), or the source was
                run with another destination and the options do not say what to do about it.
        """
        # A program that makes no manager does not load what works in one.
        from media_watch_tasks.manager.control import Control  # noqa: PLC0415
        from media_watch_tasks.manager.core import ManagerCore  # noqa: PLC0415
        from media_watch_tasks.manager.describing import Describing  # noqa: PLC0415
        from media_watch_tasks.manager.destinations import Destinations  # noqa: PLC0415
        from media_watch_tasks.manager.processing import Processing  # noqa: PLC0415
        from media_watch_tasks.manager.scanning import Scanning  # noqa: PLC0415
        from media_watch_tasks.manager.sources import SourceRecord  # noqa: PLC0415
        from media_watch_tasks.manager.verifying import Verifying  # noqa: PLC0415

        if media_scanner.source_id != media_resolver.source_id:
            raise ConfigurationError(
                f"the scanner is of {media_scanner.source_id!r}, the resolver of {media_resolver.source_id!r}:"
                " they must be of one source"
            )
        chosen = options or TaskManagerOptions()
        known = {constraint.name for constraint in constraints}
        unknown = sorted(set(chosen.constraints) - known)
        if unknown:
            raise ConfigurationError(f"the options ask for the constraints {unknown}, which were not given")
        destinations = Destinations(media_scanner.source_id, uploader)
        destinations.refuse_watched(media_scanner)
        self._core = ManagerCore(
            scanner=media_scanner,
            resolver=media_resolver,
            media_state=media_state_store,
            tasks=task_store,
            destinations=destinations,
            options=chosen,
            clock=clock or (task_store.clock if isinstance(task_store, KeepsTime) else SystemClock()),
            constraints=constraints,
            rng=rng or random.Random(),  # noqa: S311 - spreads retries, guards nothing
            pending=pending,
        )
        self._record = SourceRecord(self._core)
        self._scanning = Scanning(self._core, self._record)
        self._processing = Processing(self._core)
        self._control = Control(self._core)
        self._describing = Describing(self._core)
        self._verifying = Verifying(self._core, self._core.rng)
        self._record.check_destinations()

    @property
    def source_id(self) -> str:
        """The source of this manager."""
        return self._core.source_id

    def initialize_baseline(self, cancel: CancelToken | None = None, *, restart: bool = False) -> BaselineReport:
        """Record everything that is at the source as seen, and enqueue nothing.

        It may be called at every start: where the baseline is complete it changes nothing, and files that arrived
        meanwhile belong to the next scan. One that was cut off goes on where it stood.

        Args:
            cancel: ends it early; the next call goes on.
            restart: forget what was seen and begin again.

        Raises:
            SourceOfflineError: the root cannot be reached, or another place stands there.
            OperationCancelled: `cancel` was cancelled.
            ConfigurationError: a restart was asked for while tasks are not done.
        """
        return self._told(lambda: self._scanning.baseline(self._open(cancel), restart=restart))

    def scan_and_enqueue_new(self, cancel: CancelToken | None = None) -> ScanReport:
        """List the source once and enqueue every file that is new or changed.

        A source that cannot be reached gives a report with `error`, not an exception.

        Raises:
            BaselineRequiredError: there is no baseline, and the options do not say `first_scan="enqueue"`.
        """
        return self._told(lambda: self._scanning.scan(self._open(cancel)))

    def process(
        self,
        cancel: CancelToken | None = None,
        *,
        limit: int | None = None,
        time_budget: timedelta | None = None,
        force: bool = False,
    ) -> ProcessReport:
        """Deliver what is eligible now, each task at most once; it does not wait for back-offs.

        Args:
            cancel: begin no new task; running ones get `shutdown_grace` to end and are then released.
            limit: take at most so many tasks.
            time_budget: begin no new task after this time; then as with `cancel`.
            force: take tasks in back-off too. Files that still settle, pauses and constraints are respected.
        """
        token = self._open(cancel)
        return self._told(lambda: self._processing.run(token, limit=limit, time_budget=time_budget, force=force))

    def run_once(self, cancel: CancelToken | None = None) -> RunReport:
        """Scan, deliver from the first committed page on, until nothing is eligible: a job for a scheduler."""
        from media_watch_tasks.manager.forever import run_once  # noqa: PLC0415 - as in the constructor

        return self._told(lambda: run_once(self._scanning, self._processing, self._open(cancel)))

    def run_forever(self, *, scan_every: timedelta, cancel: CancelToken | None = None) -> ForeverReport:
        """Scan on time while uploads run; returns when `cancel` is cancelled or the manager is closed."""
        from media_watch_tasks.manager.forever import run_forever  # noqa: PLC0415 - as in the constructor

        token = self._open(cancel)
        return self._told(
            lambda: run_forever(self._core, self._scanning, self._processing, token, scan_every=scan_every)
        )

    def describe(
        self,
        cancel: CancelToken | None = None,
        *,
        limit: int | None = None,
        time_budget: timedelta | None = None,
        workers: int = 4,
    ) -> DescribeReport:
        """Probe assets that have no current description, those of the baseline too; uploads nothing.

        What is found is kept at once: a call after a crash goes on. A file that cannot be described is tried again when
        it changes; one that could not be read now, at the next call.

        Args:
            cancel: ends it early.
            limit: probe at most so many.
            time_budget: begin no new probe after this time.
            workers: how many are probed at once.

        Raises:
            ConfigurationError: the resolver of this manager describes nothing.
        """
        token = self._open(cancel)
        return self._describing.run(token, limit=limit, time_budget=time_budget, workers=workers)

    def verify(
        self, cancel: CancelToken | None = None, *, sample: float = 1.0, repair: bool = False
    ) -> VerifyReport:  # fmt: skip
        """Ask the destinations whether they still hold what the latest receipts say.

        Args:
            cancel: ends it early.
            sample: share of the receipts to check, chosen at random, 0.0 to 1.0.
            repair: queue again what is not there any more, as it stands at the source: due at once, or, where that is
                another version than was delivered, when it has stood still.
        """
        return self._verifying.verify(self._open(cancel), sample=sample, repair=repair)

    def check(self, cancel: CancelToken | None = None) -> CheckReport:
        """Can this manager do its work? Reaches source, destinations and constraints, and changes nothing."""
        return self._verifying.check(self._open(cancel))

    def health(self, *, max_age: timedelta) -> HealthReport:
        """Does it do its work? Old scans, waiting tasks older than `max_age`, pauses, dead tasks, a quarantine."""
        return self._verifying.health(max_age=max_age)

    def confirm_quarantine(self, cancel: CancelToken | None = None) -> QuarantineReport:
        """What a scan did not find is really gone (and the root is the right one): mark it missing."""
        token = self._open(cancel)
        return self._told(lambda: self._scanning.with_lease(lambda lease: self._scanning.absence.confirm(lease, token)))

    def reject_quarantine(self) -> QuarantineReport:
        """What a scan did not find is not gone: forget the absences. The next scan judges anew."""
        return self._told(lambda: self._scanning.with_lease(self._scanning.absence.reject))

    def enqueue(
        self,
        asset_ids: Sequence[bytes | str],
        *,
        priority: int | None = None,
        tags: Collection[str] | None = None,
        force: bool = False,
        cancel: CancelToken | None = None,
    ) -> EnqueueReport:
        """Queue these files as they stand at the source now, files of the baseline too.

        Args:
            asset_ids: paths relative to the root.
            priority: higher goes first; None: as the options say.
            tags: None: as the options say.
            force: send again what was delivered, and take the place of a waiting task.
            cancel: ends the look at the source early.

        Raises:
            SourceOfflineError: the source cannot be reached.
            ConfigurationError: an id is no relative path.
        """
        self._open(cancel)
        self._record.open()
        report = self._control.enqueue(
            asset_ids, priority=priority, tags=tags, force=force, cancel=cancel or CancelToken()
        )
        self._processing.wake()
        return report

    def cancel(
        self,
        *,
        ids: Collection[int] | None = None,
        keys: Collection[str] | None = None,
        asset_ids: Collection[bytes | str] | None = None,
        states: Collection[TaskState | str] | None = None,
        tag: str | None = None,
        everything: bool = False,
    ) -> SelectionReport:
        """End live tasks `cancelled: user`; running ones, here or in other processes, stop within seconds.

        Every argument narrows the selection; `everything=True` stands for no argument at all.
        """
        if not everything and all(value is None for value in (ids, keys, asset_ids, states, tag)):
            raise ConfigurationError("say which tasks to cancel, or everything=True")
        selection = self._control.selection(ids=ids, keys=keys, asset_ids=asset_ids, states=states, tag=tag)
        return self._control.cancel(selection)

    def retry(
        self,
        *,
        ids: Collection[int] | None = None,
        keys: Collection[str] | None = None,
        asset_ids: Collection[bytes | str] | None = None,
        states: Collection[TaskState | str] | None = None,
        tag: str | None = None,
    ) -> RetryReport:
        """Make tasks eligible now, with attempts, crashes and age afresh; by default all that are dead or failed.

        Tasks whose file has a live task or a newer delivered version are skipped and named.
        """
        chosen = states
        if states is None and ids is None and keys is None:
            chosen = (TaskState.DEAD, TaskState.FAILED)
        report = self._control.retry(
            self._control.selection(ids=ids, keys=keys, asset_ids=asset_ids, states=chosen, tag=tag)
        )
        self._processing.wake()
        return report

    def pause(
        self,
        *,
        tag: str | None = None,
        source: str | None = None,
        destination: str | None = None,
        until: datetime | None = None,
        reason: str = "",
    ) -> Pause:
        """Pause a tag, a source or a destination; without an argument the whole database.

        Nothing of it is claimed, and what runs is released within seconds. `until` (aware) ends it by itself.
        """
        scope, value = PauseScope.party(tag=tag, source=source, destination=destination)
        return self._control.pause(scope, value, until=until, reason=reason)

    def resume(
        self, *, tag: str | None = None, source: str | None = None, destination: str | None = None
    ) -> bool:  # fmt: skip
        """End the pause that the same arguments made; False if there was none."""
        scope, value = PauseScope.party(tag=tag, source=source, destination=destination)
        ended = self._control.resume(scope, value)
        self._processing.wake()
        return ended

    def credentials_refreshed(self) -> int:
        """End the pauses that source and destinations asked for, for example after a sign-in; how many."""
        ended = self._control.credentials_refreshed()
        self._processing.wake()
        return ended

    def tasks(
        self,
        *,
        ids: Collection[int] | None = None,
        keys: Collection[str] | None = None,
        asset_ids: Collection[bytes | str] | None = None,
        states: Collection[TaskState | str] | None = None,
        tag: str | None = None,
        limit: int = 100,
        after_id: int = 0,
    ) -> Sequence[Task]:
        """Tasks of this manager by id, above `after_id`, at most `limit`."""
        selection = self._control.selection(ids=ids, keys=keys, asset_ids=asset_ids, states=states, tag=tag)
        return self._control.tasks(selection, limit=limit, after_id=after_id)

    def counts(self) -> Mapping[str, int]:
        """Exact numbers of this manager's tasks, one entry for each state; `TaskState` values are texts too."""
        return self._control.counts()

    def sources(self) -> Sequence[SourceReport]:
        """Every source of the database, with its baseline, counts and pauses."""
        return self._control.sources()

    def purge(
        self, *, older_than: timedelta, states: Collection[TaskState | str] | None = None
    ) -> SelectionReport:  # fmt: skip
        """Delete tasks that ended longer ago than this, but for receipts of latest versions: they prevent resends."""
        return self._control.purge(self._control.selection(states=states), older_than=older_than)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event)` for everything that happens from now on; returns a function that ends it.

        Listeners run on a thread of their own: they neither slow uploads nor break them. When a call like `process`
        returns, its events have been handed over.
        """
        return self._core.notifier.subscribe(listener)

    def close(self) -> None:
        """End what runs within `shutdown_grace`, leave nothing `uploading`, close the uploader. May be called again."""
        self._core.closing.cancel()
        with ExitStack() as stack:  # in reverse order, each of them whatever the others raise
            stack.callback(self._core.destinations.close)
            stack.callback(self._core.notifier.close)
            stack.callback(self._core.unregister_worker)
            stack.callback(self._processing.finish)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, cancel: CancelToken | None) -> CancelToken:
        if self._core.closing.cancelled:
            raise ConfigurationError("this TaskManager is closed")
        return cancel or CancelToken()

    def _told(self, call: Callable[[], _Report]) -> _Report:
        try:
            return call()
        finally:
            self._core.notifier.flush()
