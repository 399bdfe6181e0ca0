"""Scans of the manager's source: the baseline, and the search for what is new or changed."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    OperationCancelled,
    SourceOfflineError,
)
from media_watch_tasks.manager.absence import Absence
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.listings import Listings
from media_watch_tasks.manager.moves import Moves
from media_watch_tasks.manager.page_commit import PageCommit
from media_watch_tasks.manager.roots import RootCheck, RootVerdict
from media_watch_tasks.manager.sources import Debt, SourceRecord
from media_watch_tasks.manager.walk import Walk
from media_watch_tasks.model.events import ScanFinished, ScanStarted
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.reports import BaselineReport, QuarantineReport, ScanReport
from media_watch_tasks.model.sources import BaselineState, ScanLease, SourceState
from media_watch_tasks.model.tasks import TaskState

__all__ = ["Scanning"]

_log = logging.getLogger(__name__)
_ANOTHER = "another scan is running"


class Scanning:
    """The scans of the manager's source."""

    def __init__(self, core: ManagerCore, record: SourceRecord) -> None:
        self._core = core
        self._record = record
        self._absence = Absence(core)

    @property
    def absence(self) -> Absence:
        """The judge of what is not there any more."""
        return self._absence

    def with_lease(self, work: Callable[[ScanLease], QuarantineReport]) -> QuarantineReport:
        """Do something to the source while nobody scans it."""
        lease = self._lease()
        if lease is None:
            return QuarantineReport(source_id=self._core.source_id, ended=False, skipped=_ANOTHER)
        try:
            return work(lease)
        finally:
            self._core.media_state.release_scan(lease)

    def baseline(self, cancel: CancelToken, *, restart: bool) -> BaselineReport:
        """Record everything as seen and enqueue nothing; goes on where an earlier call was cut off."""
        core = self._core
        state = self._record.open()
        if state.baseline is BaselineState.COMPLETE and not restart:
            present, _ = core.media_state.count_assets(core.source_id)
            return BaselineReport(source_id=core.source_id, complete=True, already_complete=True, assets=present)
        root = RootCheck(core, cancel)
        if root.before() is RootVerdict.OTHER:
            raise SourceOfflineError(f"another place stands at the root of {core.source_id}: {root.reason}")
        lease = self._lease()
        if lease is None:
            return BaselineReport(source_id=core.source_id, complete=False, skipped=_ANOTHER)
        try:
            return self._baseline(lease, root, cancel, restart=restart)
        finally:
            core.media_state.release_scan(lease)

    def scan(self, cancel: CancelToken, *, on_commit: Callable[[], None] = lambda: None) -> ScanReport:
        """List the source, enqueue what is new or changed; `on_commit()` is called after each page with new tasks."""
        core = self._core
        state = self._record.open()
        self._record.require_baseline(state)
        lease = self._lease()
        if lease is None:
            return ScanReport(source_id=core.source_id, skipped=_ANOTHER)
        try:
            return self._scan(lease, state, cancel, on_commit)
        finally:
            core.media_state.release_scan(lease)

    def _scan(
        self, lease: ScanLease, state: SourceState, cancel: CancelToken, on_commit: Callable[[], None]
    ) -> ScanReport:
        core = self._core
        debt = Debt(core, state)
        listings = Listings(core, state, filter_changed=debt.filter_spec != state.filter_spec)
        scan_number = state.scans + 1
        walk = Walk(core, lease, cancel, listings, scan_number=scan_number, resume_from=state.checkpoint)
        commit = PageCommit(core, walk, debt, Moves(core, cancel), on_commit)
        root = RootCheck(core, cancel)
        core.notifier.emit(
            ScanStarted(at_ns=core.notifier.now_ns(), source_id=core.source_id, resumed=walk.resumed)
        )  # fmt: skip
        error: str | None = None
        try:
            root.before()
            for page in walk.pages():
                commit.page(page)
            root.after()
        except (SourceOfflineError, AuthenticationRequiredError, OperationCancelled) as failure:
            error = redact(str(failure))
            _log.warning("scan ended early: %s", error, extra={"source_id": core.source_id})
        missing, quarantine = self._finish(
            lease,
            walk,
            debt=debt,
            listings=listings,
            other_root=root.reason,
            scan_number=scan_number,
            failed=error is not None,
        )
        report = attrs.evolve(
            commit.report(),
            complete=error is None and walk.problem_count == 0 and not walk.lease_lost,
            resumed=walk.resumed,
            directories=walk.directories,
            unlisted=walk.unlisted,
            missing=missing,
            quarantine=quarantine,
            problems=tuple(walk.problems),
            problem_count=walk.problem_count,
            error=error or ("the scan lease was lost to another scanner" if walk.lease_lost else None),
            elapsed=walk.elapsed(),
        )
        core.notifier.emit(
            ScanFinished(
                at_ns=core.notifier.now_ns(),
                source_id=core.source_id,
                complete=report.complete,
                assets=report.assets,
                new=report.new,
                changed=report.changed,
                enqueued=report.enqueued,
            )
        )
        return report

    def _lease(self) -> ScanLease | None:
        return self._core.media_state.acquire_scan(
            self._core.source_id, owner=self._core.worker_id, lease_ns=self._core.lease_ns
        )

    def _baseline(self, lease: ScanLease, root: RootCheck, cancel: CancelToken, *, restart: bool) -> BaselineReport:
        core = self._core
        state = core.media_state.source(core.source_id)
        if restart:
            self._refuse_restart_with_live_tasks()
            core.media_state.forget_seen(core.source_id)
            state = attrs.evolve(state, baseline=BaselineState.NONE, checkpoint=None, owed=frozenset())
        resumed = state.baseline is BaselineState.STARTED and state.checkpoint is not None
        core.media_state.save_source(attrs.evolve(state, baseline=BaselineState.STARTED), lease=lease)
        listings = Listings(core, state, filter_changed=True)
        checkpoint = state.checkpoint if resumed else None
        walk = Walk(core, lease, cancel, listings, resume_from=checkpoint, around=False)
        core.notifier.emit(
            ScanStarted(at_ns=core.notifier.now_ns(), source_id=core.source_id, resumed=resumed, baseline=True)
        )
        owed = set(state.owed) if resumed else set[bytes]()
        seen = recorded = 0
        for page in walk.pages():
            diff = walk.diff(page)
            seen += len(page.rows)
            recorded += len(diff.new) + len(diff.changed)
            known = len(owed)
            owed.update(problem.path for problem in page.problems)
            if len(owed) != known:
                # Owed before the checkpoint moves on: a crash in between must not forget the debt.
                latest = core.media_state.source(core.source_id)
                core.media_state.save_source(attrs.evolve(latest, owed=frozenset(owed)), lease=lease)
            walk.record(page, diff, (*diff.new, *diff.changed), baseline=True)
        root.after()
        latest = core.media_state.source(core.source_id)
        scanner_filter = Debt(core, latest).filter_spec
        complete = not walk.lease_lost and core.media_state.save_source(
            attrs.evolve(
                latest, baseline=BaselineState.COMPLETE, checkpoint=None, owed=frozenset(owed),
                filter_spec=scanner_filter, scans=latest.scans + 1, last_complete_ns=core.clock.now_ns(),
            ),
            lease=lease,
        )  # fmt: skip
        present, _ = core.media_state.count_assets(core.source_id)
        return BaselineReport(
            source_id=core.source_id,
            complete=complete,
            resumed=resumed,
            directories=walk.directories,
            recorded=recorded,
            assets=present,
            problems=tuple(walk.problems),
            problem_count=walk.problem_count,
            elapsed=walk.elapsed(),
        )

    def _refuse_restart_with_live_tasks(self) -> None:
        counts = self._core.tasks.counts(self._core.destinations.routes)
        live = sum(count for state, count in counts.items() if TaskState(state).is_live)
        if live:
            raise ConfigurationError(
                f"{live} tasks of {self._core.source_id} are not done: a new baseline would forget why they are there."
                " Let process() finish them or cancel() them first"
            )

    def _finish(
        self,
        lease: ScanLease,
        walk: Walk,
        *,
        debt: Debt,
        listings: Listings,
        other_root: str | None,
        scan_number: int,
        failed: bool,
    ) -> tuple[int, str | None]:
        """Write what a scan leaves behind: its checkpoint if it was cut short, else what it completes.

        Returns (how many assets are missing now, why absences are held in quarantine).
        """
        core = self._core
        state = core.media_state.source(core.source_id)
        if failed or walk.lease_lost:
            core.media_state.save_source(attrs.evolve(state, checkpoint=walk.reached), lease=lease)
            return 0, state.quarantine
        state = attrs.evolve(
            state,
            baseline=BaselineState.COMPLETE,
            checkpoint=None,
            owed=debt.left(to_the_end=True),
            stamps_lie=state.stamps_lie or listings.lies,
        )
        missing = 0
        if walk.problem_count == 0:
            now = core.clock.now_ns()
            state, missing = self._absence.judge(state, scan_number, other_root=other_root)
            state = attrs.evolve(
                state,
                filter_spec=debt.filter_spec,
                scans=scan_number,
                last_complete_ns=now,
                last_full_ns=now if listings.full else state.last_full_ns,
                scans_since_full=0 if listings.full else state.scans_since_full + 1,
            )
        core.media_state.save_source(state, lease=lease)
        return missing, state.quarantine
