"""The pages of one scan in the order they are worked on, and the record of how far it has come."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.listings import Listings
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.events import ScanProblemFound
from media_watch_tasks.model.identity import join, order_key
from media_watch_tasks.model.scans import ScanPage, ScanProblem
from media_watch_tasks.model.sources import PageDiff, PageRecord, ScanLease

__all__ = ["Walk"]

_log = logging.getLogger(__name__)
_KEPT_PROBLEMS = 100
_CHECKPOINT_EVERY_NS = NANOSECONDS


class Walk:
    """The pages of a scan, from a checkpoint to the end and then, `around`, from the start to the checkpoint.

    Going around means that a scan which was cut off makes progress and still misses nothing that arrived before it.
    """

    def __init__(
        self,
        core: ManagerCore,
        lease: ScanLease,
        cancel: CancelToken,
        listings: Listings,
        *,
        scan_number: int = 0,
        resume_from: str | None,
        around: bool = True,
    ) -> None:
        self._core = core
        self._lease = lease
        self._cancel = cancel
        self._listings = listings
        self._scan_number = scan_number
        self._resume_from = resume_from
        self._around = around
        self._began_ns = core.clock.monotonic_ns()
        self._extended_ns = self._began_ns
        self._checkpoint_ns = self._began_ns
        self._after: bytes | None = None
        self._directory: bytes | None = None
        self._earlier = PageDiff()
        self._earlier_of: bytes | None = None
        self.resumed = resume_from is not None
        self.reached = resume_from
        self.lease_lost = False
        self.directories = 0
        self.unlisted = 0
        self.problems: list[ScanProblem] = []
        self.problem_count = 0

    def pages(self) -> Iterator[ScanPage]:
        """Every page; stops early when the scan lease is lost."""
        first_directory: bytes | None = None
        for page in self._from(self._resume_from):
            if first_directory is None:
                first_directory = page.directory
            yield page
        if self._resume_from is None or not self._around or self.lease_lost:
            return
        for page in self._from(None):
            if first_directory is not None and order_key(page.directory) >= order_key(first_directory):
                return
            yield page

    def diff(self, page: ScanPage) -> PageDiff:
        """The page against the database."""
        if page.unchanged:
            return PageDiff()
        after = self._after if page.directory == self._directory else None
        self._directory = page.directory
        self._after = page.rows[-1][0] if page.rows else after
        return self._core.media_state.diff_page(page, after=after)

    def record(
        self, page: ScanPage, diff: PageDiff, seen: tuple[MediaAsset, ...], *, baseline: bool = False
    ) -> None:  # fmt: skip
        """Write what was seen; nothing where nothing changed, but the checkpoint once a second."""
        now = self._core.clock.monotonic_ns()
        first_listing = page.complete and not diff.listed_before
        if page.checkpoint is not None:
            self.reached = page.checkpoint
        whole = self._whole(page, diff)
        seen = (*seen, *diff.found_again)
        listing = self._listings.after(page, whole)
        gone = tuple(join(page.directory, name) for name in self._listings.gone_below(page, whole))
        worth_it = bool(seen or first_listing or listing or diff.missing or gone)
        if not worth_it and now - self._checkpoint_ns < _CHECKPOINT_EVERY_NS:
            return
        self._checkpoint_ns = now
        record = PageRecord(
            directory=page.directory,
            seen=seen,
            complete=page.complete,
            checkpoint=page.checkpoint,
            listing=listing,
            scan_number=self._scan_number,
            absent=diff.missing,
            absent_directories=gone,
        )
        if not self._core.media_state.record_page(self._lease, record, baseline=baseline):
            self.lease_lost = True

    def _whole(self, page: ScanPage, diff: PageDiff) -> PageDiff:
        """The diff of all pages of the directory so far: a directory is quiet only if every page of it is."""
        earlier = self._earlier if page.directory == self._earlier_of else PageDiff()
        whole = attrs.evolve(
            diff,
            new=diff.new or earlier.new,
            changed=diff.changed or earlier.changed,
            missing=diff.missing or earlier.missing,
        )
        self._earlier, self._earlier_of = whole, page.directory
        return whole

    def elapsed(self) -> timedelta:
        """Time since the walk began."""
        return timedelta(microseconds=(self._core.clock.monotonic_ns() - self._began_ns) // 1_000)

    def _from(self, checkpoint: str | None) -> Iterator[ScanPage]:
        known = None if self._listings.full else self._listings
        pages = self._core.scanner.scan_assets(known=known, resume_from=checkpoint, cancel=self._cancel)
        for page in pages:
            self._cancel.raise_if_cancelled()
            self._core.closing.raise_if_cancelled()
            self._keep_lease()
            if self.lease_lost:
                return
            self._note(page)
            yield page

    def _keep_lease(self) -> None:
        now = self._core.clock.monotonic_ns()
        if now - self._extended_ns >= self._core.lease_ns // 3:
            self._extended_ns = now
            self.lease_lost = not self._core.media_state.extend_scan(self._lease, lease_ns=self._core.lease_ns)

    def _note(self, page: ScanPage) -> None:
        if page.complete:
            self.directories += 1
            self.unlisted += page.unchanged
        for problem in page.problems:
            self.problem_count += 1
            if len(self.problems) < _KEPT_PROBLEMS:
                self.problems.append(problem)
            _log.warning("cannot list %s: %s", problem.display, problem.message, extra={"source_id": page.source_id})
            notifier = self._core.notifier
            notifier.emit(ScanProblemFound(at_ns=notifier.now_ns(), source_id=page.source_id, problem=problem))
