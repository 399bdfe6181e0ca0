"""Commits a page of a scan: what was seen is written only after what has to be done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.moves import Move, Moves
from media_watch_tasks.manager.sources import Debt
from media_watch_tasks.manager.walk import Walk
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.events import (
    AssetChangedEvent,
    AssetDiscovered,
    AssetMoved,
    BaselineDebtPaid,
    ScanPageDone,
    TaskEnqueued,
)
from media_watch_tasks.model.reports import ScanReport
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import PageDiff
from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult, NewTask

__all__ = ["PageCommit"]


class _LeaseLost(Exception):  # noqa: N818 - takes back what a scanner has queued that slept past its lease
    pass


class PageCommit:
    """Diff, enqueue, seen, checkpoint: each idempotent, in this order, one transaction where the stores share one."""

    def __init__(self, core: ManagerCore, walk: Walk, debt: Debt, moves: Moves, on_commit: Callable[[], None]) -> None:
        self._core = core
        self._walk = walk
        self._debt = debt
        self._moves = moves
        self._on_commit = on_commit
        self._totals: Counter[str] = Counter()

    def page(self, page: ScanPage) -> None:
        """Commit one page."""
        for problem in page.problems:
            self._debt.problem(problem.path)
        diff = self._walk.diff(page)
        moves = self._moves.among(diff.new)
        moved = {asset.asset_id for _, asset in moves}
        arrived = attrs.evolve(diff, new=tuple(asset for asset in diff.new if asset.asset_id not in moved))
        to_send, to_record = self._debt.split(page.directory, arrived)
        totals = self._totals
        totals["assets"] += len(page.rows)
        totals["unchanged"] += diff.unchanged
        if diff.new or diff.changed:
            totals["new"] += len(arrived.new)
            totals["moved"] += len(moves)
            totals["changed"] += len(diff.changed)
            totals["baseline_recorded"] += len(to_record)
            enqueued = self._commit(page, diff, moves, to_send=to_send, to_record=to_record)
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
            moved=totals["moved"],
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
        moves: list[Move],
        *,
        to_send: tuple[MediaAsset, ...],
        to_record: tuple[MediaAsset, ...],
    ) -> int:
        core = self._core
        due_ns = core.clock.now_ns() + core.settle_ns
        found = [task for asset in (*to_send, *diff.changed) for task in core.new_tasks(asset, due_ns=due_ns)]

        def write(shared: bool) -> tuple[list[NewTask], Sequence[EnqueueResult]]:  # noqa: FBT001 - as `together` gives it
            tasks = [*found, *(task for move in moves for task in self._move(move, due_ns))]
            # Without a shared transaction the tasks must be on the disk before their files count as seen.
            results = core.tasks.enqueue_if_absent(tasks, durable=not shared) if tasks else ()
            if to_record:
                self._walk.record(page, diff, to_record, baseline=True)
            self._walk.record(page, diff, (*to_send, *(asset for _, asset in moves), *diff.changed))
            if shared and self._walk.lease_lost:
                raise _LeaseLost  # an exception is what takes a transaction back
            return tasks, results

        try:
            tasks, results = core.together(write)
        except _LeaseLost:
            return 0
        for result in results:
            if result.outcome is EnqueueOutcome.LIVE:
                self._totals["already_queued"] += 1
            elif result.outcome is EnqueueOutcome.DELIVERED:
                self._totals["already_delivered"] += 1
        if core.notifier.active:
            self._tell(page, diff, moves, to_record, tasks, results)
        return sum(result.outcome.is_new for result in results)

    def _move(self, move: Move, due_ns: int) -> list[NewTask]:
        """Let receipts and state follow the file; the tasks for destinations that do not have it yet."""
        core = self._core
        state, asset = move
        owed = []
        for task in core.new_tasks(asset, due_ns=due_ns):
            delivered = core.tasks.move(task.route, state.asset_id, asset.asset_id)
            if not state.baseline and (delivered is None or delivered.fingerprint != asset.fingerprint):
                owed.append(task)
        core.media_state.move_asset(core.source_id, state.asset_id, asset)
        return owed

    def _tell(  # noqa: PLR0917 - a page and all that was found on it
        self,
        page: ScanPage,
        diff: PageDiff,
        moves: list[Move],
        to_record: tuple[MediaAsset, ...],
        tasks: list[NewTask],
        results: Sequence[EnqueueResult],
    ) -> None:
        notifier = self._core.notifier
        at_ns, source_id = notifier.now_ns(), page.source_id
        moved = {asset.asset_id for _, asset in moves}
        for state, asset in moves:
            notifier.emit(
                AssetMoved(at_ns=at_ns, source_id=source_id, asset_id=asset.asset_id, moved_from=state.asset_id)
            )
        for asset in (asset for asset in diff.new if asset.asset_id not in moved):
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
