"""What an application asks of the queue from outside: enqueue, cancel, retry, pause, look, purge."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS, to_ns
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.manager.absence import Absence
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.unfinished import remove_unfinished
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.events import Paused, Resumed
from media_watch_tasks.model.reports import EnqueueReport, RetryReport, SelectionReport, SourceReport
from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.model.sources import AssetState, SourceState
from media_watch_tasks.model.tasks import EnqueueOutcome, NewTask, Task, TaskSelection, TaskState

__all__ = ["Control"]

_PORTION = 1_000
_UNKNOWN = -1


class Control:
    """Short calls; each is one transaction or a few, and none waits for an upload."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core

    def enqueue(
        self,
        asset_ids: Sequence[bytes | str],
        *,
        priority: int | None,
        tags: Collection[str] | None,
        force: bool,
        cancel: CancelToken,
    ) -> EnqueueReport:
        """Queue these assets as they stand at the source now."""
        wanted = list(dict.fromkeys(_asset_id(item) for item in asset_ids))
        outcomes: list[EnqueueOutcome] = []
        not_found: list[bytes] = []
        for start in range(0, len(wanted), _PORTION):
            portion = wanted[start : start + _PORTION]
            found, gone = self._look(portion, cancel)
            not_found += gone
            tasks = [
                task
                for asset, due_ns in found
                for task in self._new_tasks(asset, due_ns, priority=priority, tags=tags, force=force)
            ]
            if tasks:
                # Durable: nothing would find an application's wish again, as the next scan finds a file.
                results = self._core.tasks.enqueue_if_absent(tasks, durable=True)
                outcomes += [result.outcome for result in results]
        return EnqueueReport(
            enqueued=sum(outcome.is_new for outcome in outcomes),
            already_queued=outcomes.count(EnqueueOutcome.LIVE),
            already_delivered=outcomes.count(EnqueueOutcome.DELIVERED),
            not_found=tuple(not_found),
        )

    def selection(
        self,
        *,
        ids: Collection[int] | None = None,
        keys: Collection[str] | None = None,
        asset_ids: Collection[bytes | str] | None = None,
        states: Collection[TaskState | str] | None = None,
        tag: str | None = None,
    ) -> TaskSelection:
        """The tasks of this manager that all given arguments name."""
        return TaskSelection(
            routes=self._core.destinations.routes,
            ids=None if ids is None else frozenset(ids),
            keys=None if keys is None else frozenset(bytes.fromhex(key) for key in keys),
            asset_ids=None if asset_ids is None else frozenset(_asset_id(item) for item in asset_ids),
            states=None if states is None else frozenset(TaskState(state) for state in states),
            tag=tag,
        )

    def cancel(self, selection: TaskSelection) -> SelectionReport:
        """End waiting tasks, ask running ones to stop."""
        ended, running = self._core.tasks.cancel(selection)
        if ended:
            remove_unfinished(self._core)
        return SelectionReport(tasks=ended + running, running=running)

    def retry(self, selection: TaskSelection) -> RetryReport:
        """Make ended or failed tasks eligible now."""
        retried, skipped = self._core.tasks.retry(selection)
        return RetryReport(retried=len(retried), skipped=dict(skipped))

    def pause(self, scope: PauseScope, value: str, *, until: datetime | None, reason: str) -> Pause:
        """Stop claims and running work of a party or tag."""
        pause = Pause(scope=scope, value=value, until_ns=None if until is None else to_ns(until), reason=reason)
        self._core.tasks.pause(pause)
        self._core.notifier.emit(Paused(at_ns=self._core.notifier.now_ns(), pause=pause))
        return pause

    def resume(self, scope: PauseScope, value: str) -> bool:
        """End a pause; False if there was none."""
        found = next(
            (pause for pause in self._core.tasks.pauses() if (pause.scope, pause.value) == (scope, value)), None
        )
        ended = self._core.tasks.resume(scope, value)
        if ended and found is not None:
            self._core.notifier.emit(Resumed(at_ns=self._core.notifier.now_ns(), pause=found))
        return ended

    def credentials_refreshed(self) -> int:
        """End the pauses that this manager's source and destinations asked for; how many there were."""
        core = self._core
        parties = {(PauseScope.SOURCE, core.source_id)}
        parties |= {(PauseScope.DESTINATION, destination) for destination in core.destinations.ids}
        automatic = [
            pause for pause in core.tasks.pauses() if pause.automatic and (pause.scope, pause.value) in parties
        ]  # fmt: skip
        return sum(self.resume(pause.scope, pause.value) for pause in automatic)

    def tasks(self, selection: TaskSelection, *, limit: int, after_id: int) -> Sequence[Task]:
        """Tasks by id."""
        return self._core.tasks.tasks(selection, limit=limit, after_id=after_id)

    def counts(self) -> Mapping[str, int]:
        """Exact numbers of this manager's tasks, one entry per state."""
        return {state.value: count for state, count in self._core.tasks.counts(self._core.destinations.routes).items()}

    def purge(self, selection: TaskSelection, *, older_than: timedelta) -> SelectionReport:
        """Delete ended tasks."""
        before = self._core.clock.now_ns() - to_ns(older_than)
        return SelectionReport(tasks=self._core.tasks.purge(selection, before_ns=before))

    def sources(self) -> Sequence[SourceReport]:
        """Every source of the database."""
        pauses = self._core.tasks.pauses()
        return tuple(self._source_report(state, pauses) for state in self._core.media_state.sources())

    def _source_report(self, state: SourceState, pauses: Sequence[Pause]) -> SourceReport:
        core = self._core
        present, missing = core.media_state.count_assets(state.source_id)
        last = state.last_complete_ns
        return SourceReport(
            source_id=state.source_id,
            baseline=state.baseline,
            destinations=state.destinations,
            assets=present,
            missing=missing,
            owed_directories=len(state.owed),
            complete_scans=state.scans,
            seconds_since_complete_scan=None if last is None else (core.clock.now_ns() - last) / NANOSECONDS,
            quarantine=state.quarantine,
            held_absences=Absence(core).held(state) if state.source_id == core.source_id else 0,
            pauses=tuple(
                pause
                for pause in pauses
                if pause.scope is PauseScope.ALL
                or (pause.scope is PauseScope.SOURCE and pause.value == state.source_id)
                or (pause.scope is PauseScope.DESTINATION and pause.value in state.destinations)
            ),
        )

    def _look(
        self, asset_ids: Sequence[bytes], cancel: CancelToken
    ) -> tuple[list[tuple[MediaAsset, int]], list[bytes]]:
        """(assets as they stand now with the time at which they are due, ids that are not there)."""
        core = self._core
        known = core.media_state.assets(core.source_id, asset_ids)
        wanted = [MediaAsset(core.source_id, asset_id, _UNKNOWN, 0) for asset_id in asset_ids]
        stats = core.resolver.stat(wanted, cancel=cancel)
        now = core.clock.now_ns()
        found: list[tuple[MediaAsset, int]] = []
        gone: list[bytes] = []
        for asset_id, state, stat in zip(asset_ids, known, stats, strict=True):
            if stat is None:
                gone.append(asset_id)
                continue
            since = _unchanged_since(state, MediaAsset(core.source_id, asset_id, stat.size, stat.mtime_ns), now)
            asset = MediaAsset(core.source_id, asset_id, stat.size, stat.mtime_ns, stat.file_id)
            found.append((asset, max(now, since + core.settle_ns)))
        return found, gone

    def _new_tasks(
        self, asset: MediaAsset, due_ns: int, *, priority: int | None, tags: Collection[str] | None, force: bool
    ) -> list[NewTask]:
        chosen = None if tags is None else frozenset(tags)
        return self._core.new_tasks(asset, due_ns=due_ns, priority=priority, tags=chosen, force=force)


def _unchanged_since(state: AssetState | None, asset: MediaAsset, now: int) -> int:
    return state.unchanged_since_ns if state is not None and state.fingerprint == asset.fingerprint else now


def _asset_id(value: bytes | str) -> bytes:
    asset_id = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if not asset_id or asset_id.startswith(b"/") or b"\0" in asset_id or b".." in asset_id.split(b"/"):
        raise ConfigurationError(f"{value!r} is no asset id: give the path relative to the source's root")
    return asset_id
