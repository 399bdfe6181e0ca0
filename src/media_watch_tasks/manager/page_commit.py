"""Commits a page of a scan: what was seen is written only after what has to be done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.sources import Debt
from media_watch_tasks.manager.walk import Walk
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.events import (
    AssetChangedEvent,
    AssetDiscovered,
    BaselineDebtPaid,
    ScanPageDone,
    TaskEnqueued,
)
from media_watch_tasks.model.reports import ScanReport
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import PageDiff
from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult, NewTask

__all__ = ["PageCommit"]


class PageCommit:
    """Diff, enqueue, seen, checkpoint: each idempotent, in this order, one transaction where the stores share one."""

    def __init__(self, core: ManagerCore, walk: Walk, debt: Debt, on_commit: Callable[[], None]) -> None:
        self._core = core
        self._walk = walk
        self._debt = debt
        self._on_commit = on_commit
        self._totals: Counter[str] = Counter()

    def page(self, page: ScanPage) -> None:
        """Commit one page."""
        for problem in page.problems:
            self._debt.problem(problem.path)
        diff = self._walk.diff(page)
        to_send, to_record = self._debt.split(page.directory, diff)
        totals = self._totals
        totals["assets"] += len(page.rows)
        totals["unchanged"] += diff.unchanged
        if diff.new or diff.changed:
            totals["new"] += len(diff.new)
            totals["changed"] += len(diff.changed)
            totals["baseline_recorded"] += len(to_record)
            enqueued = self._commit(page, diff, to_send=to_send, to_record=to_record)
            totals["enqueued"] += enqueued
            if enqueued:
                self._on_commit()
        else:
            enqueued = 0
            self._walk.record(page, diff, diff.new)
        notifier = self._core.notifier
        if notifier.active:
            notifier.emit(
                ScanPageDone(
                    at_ns=notifier.now_ns(),
                    source_id=page.source_id,
                    directory=page.directory,
                    assets=len(page.rows),
                    enqueued=enqueued,
                )
            )

    def report(self) -> ScanReport:
        """The numbers so far."""
        totals = self._totals
        return ScanReport(
            source_id=self._core.source_id,
            assets=totals["assets"],
            new=totals["new"],
            changed=totals["changed"],
            unchanged=totals["unchanged"],
            enqueued=totals["enqueued"],
            already_queued=totals["already_queued"],
            already_delivered=totals["already_delivered"],
            baseline_recorded=totals["baseline_recorded"],
        )

    def _commit(
        self,
        page: ScanPage,
        diff: PageDiff,
        *,
        to_send: tuple[MediaAsset, ...],
        to_record: tuple[MediaAsset, ...],
    ) -> int:
        core = self._core
        due_ns = core.clock.now_ns() + core.settle_ns
        tasks = [task for asset in (*to_send, *diff.changed) for task in core.new_tasks(asset, due_ns=due_ns)]
        with core.together() as shared:
            # Without a shared transaction the tasks must be on the disk before their files count as seen.
            results = core.tasks.enqueue_if_absent(tasks, durable=not shared) if tasks else ()
            if to_record:
                self._walk.record(page, diff, to_record, baseline=True)
            self._walk.record(page, diff, (*to_send, *diff.changed))
        for result in results:
            if result.outcome is EnqueueOutcome.LIVE:
                self._totals["already_queued"] += 1
            elif result.outcome is EnqueueOutcome.DELIVERED:
                self._totals["already_delivered"] += 1
        if core.notifier.active:
            self._tell(page, diff, to_record, tasks, results)
        return sum(result.outcome.is_new for result in results)

    def _tell(
        self,
        page: ScanPage,
        diff: PageDiff,
        to_record: tuple[MediaAsset, ...],
        tasks: list[NewTask],
        results: Sequence[EnqueueResult],
    ) -> None:
        notifier = self._core.notifier
        at_ns, source_id = notifier.now_ns(), page.source_id
        for asset in diff.new:
            notifier.emit(AssetDiscovered(at_ns=at_ns, source_id=source_id, asset_id=asset.asset_id))
        for asset in diff.changed:
            notifier.emit(AssetChangedEvent(at_ns=at_ns, source_id=source_id, asset_id=asset.asset_id))
        if to_record:
            debt = BaselineDebtPaid(
                at_ns=at_ns, source_id=source_id, directory=page.directory, assets=len(to_record)
            )  # fmt: skip
            notifier.emit(debt)
        for task, result in zip(tasks, results, strict=True):
            if result.outcome.is_new and result.task_id is not None:
                notifier.emit(
                    TaskEnqueued(
                        at_ns=at_ns,
                        task_id=result.task_id,
                        source_id=source_id,
                        destination_id=task.route.destination_id,
                        asset_id=task.asset_id,
                    )
                )
