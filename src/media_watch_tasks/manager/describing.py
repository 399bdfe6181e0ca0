"""Describes assets that nobody has described yet; uploads nothing."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta

from media_watch_tasks.abc.prober import DescribesMedia
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import to_ns
from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    OperationCancelled,
    Snooze,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.reports import DescribeReport
from media_watch_tasks.model.sources import AssetState

__all__ = ["Describing"]

_log = logging.getLogger(__name__)
_PORTION = 200
_USUAL_KINDS = frozenset({MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMAGE})
_Found = tuple[AssetState, MediaMetadata | None]


class Describing:
    """Probes assets through the resolver, some at once. What is found is kept at once, so that a crash loses little."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core
        self._one_at_a_time = threading.Lock()

    def run(
        self, cancel: CancelToken, *, limit: int | None, time_budget: timedelta | None, workers: int
    ) -> DescribeReport:
        """Describe until nothing is left, or a limit ends it."""
        with self._one_at_a_time:
            return _Run(self._core, cancel, limit=limit, time_budget=time_budget, workers=workers).report()


class _Run:
    def __init__(
        self, core: ManagerCore, cancel: CancelToken, *, limit: int | None, time_budget: timedelta | None, workers: int
    ) -> None:
        self._core = core
        self._cancel = cancel
        self._limit = limit
        self._workers = workers
        resolver = core.resolver
        self._kinds = resolver.described_kinds if isinstance(resolver, DescribesMedia) else _USUAL_KINDS
        self._began_ns = core.clock.monotonic_ns()
        self._deadline_ns = None if time_budget is None else self._began_ns + to_ns(time_budget)
        self._counts: Counter[str] = Counter()
        self._stopped_by: str | None = None

    def report(self) -> DescribeReport:
        core = self._core
        running: set[Future[_Found]] = set()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="mwt-describe") as pool:
            for state in self._undescribed():
                if self._must_stop():
                    break
                running.add(pool.submit(self._describe, state))
                self._counts["taken"] += 1
                if len(running) >= self._workers:
                    running = self._collect(running)
            while running:
                running = self._collect(running)
        return DescribeReport(
            described=self._counts["described"],
            failed=self._counts["failed"],
            skipped=self._counts["skipped"],
            left=next(self._undescribed(), None) is not None,
            stopped_by=self._stopped_by or "empty",
            elapsed=timedelta(microseconds=(core.clock.monotonic_ns() - self._began_ns) // 1_000),
        )

    def _undescribed(self) -> Iterator[AssetState]:
        """Assets without metadata, of the kinds that get some."""
        core = self._core
        after: bytes | None = None
        while portion := core.media_state.undescribed(core.source_id, after=after, limit=_PORTION):
            after = portion[-1].asset_id
            yield from (state for state in portion if state.asset.kind in self._kinds)

    def _must_stop(self) -> bool:
        if self._stopped_by is None:
            now = self._core.clock.monotonic_ns()
            if self._core.closing.cancelled:
                self._stopped_by = "closed"
            elif self._cancel.cancelled:
                self._stopped_by = "cancelled"
            elif self._limit is not None and self._counts["taken"] >= self._limit:
                self._stopped_by = "limit"
            elif self._deadline_ns is not None and now >= self._deadline_ns:
                self._stopped_by = "time_budget"
        return self._stopped_by is not None

    def _describe(self, state: AssetState) -> _Found:
        media = self._core.resolver.resolve_for_upload(state.asset, cancel=self._cancel)
        return state, media.metadata

    def _collect(self, running: set[Future[_Found]]) -> set[Future[_Found]]:
        done, left = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            error = future.exception()
            if error is None:
                self._keep(*future.result())
            else:
                self._pass_over(error)
        return left

    def _pass_over(self, error: BaseException) -> None:
        """Count a file that could not be read now: another call takes it."""
        if isinstance(error, ConfigurationError) or not isinstance(error, Exception):
            raise error
        self._counts["skipped"] += 1
        if isinstance(error, SourceOfflineError | AuthenticationRequiredError):
            self._stopped_by = f"source offline: {error}"
        elif not isinstance(error, AssetNotFound | AssetChanged | Snooze | TransientError | OperationCancelled):
            _log.error("a file could not be resolved for its description", exc_info=error)

    def _keep(self, state: AssetState, metadata: MediaMetadata | None) -> None:
        core = self._core
        if metadata is None:
            raise ConfigurationError(
                "the resolver describes nothing: give the manager one that probes, for example"
                " ProbingResolver(resolver, prober)"
            )
        if metadata.transient:
            # The trouble was one of the reading. Kept, it would stand for a verdict on the file until that changes.
            self._counts["skipped"] += 1
            _log.warning(
                "a file could not be read for its description",
                extra={"asset": state.asset.display, "error": metadata.error},
            )
            return
        core.media_state.save_metadata(core.source_id, state.asset_id, state.fingerprint, metadata)
        self._counts["failed" if metadata.error else "described"] += 1
