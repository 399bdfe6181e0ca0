"""Looks whether what was delivered still stands, and whether everything that is needed can be reached."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

from media_watch_tasks.abc.uploader import Checks, Verifies
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import AssetChanged, AssetNotFound, MediaWatchError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.roots import RootCheck, RootVerdict
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.reports import CheckReport, HealthReport, VerifyReport
from media_watch_tasks.model.settlements import PauseScope
from media_watch_tasks.model.tasks import NewTask, Task, TaskSelection, TaskState

__all__ = ["Verifying"]

_PORTION = 500


class Verifying:
    """Reads only, but for a repair."""

    def __init__(self, core: ManagerCore, rng: random.Random) -> None:
        self._core = core
        self._rng = rng

    def verify(self, cancel: CancelToken, *, sample: float, repair: bool) -> VerifyReport:
        """Ask the destinations for what the latest receipts say."""
        good = unchecked = repaired = 0
        bad: list[int] = []
        errors: dict[str, None] = {}
        for task in self._delivered():
            if cancel.cancelled or self._core.closing.cancelled:
                break
            if sample < 1 and self._rng.random() >= sample:
                continue
            try:
                stands = self._stands(task, cancel)
            except Exception as error:  # noqa: BLE001 - an uploader is foreign code: its errors are told, and the rest goes on
                errors[redact(f"{type(error).__name__}: {error}")] = None
                stands = None
            if stands is None:
                unchecked += 1
            elif stands:
                good += 1
            else:
                bad.append(task.id)
                repaired += self._repair(task, cancel) if repair else 0
        return VerifyReport(
            checked=good + len(bad), good=good, bad=tuple(bad), unchecked=unchecked, repaired=repaired,
            errors=tuple(errors),
        )  # fmt: skip

    def check(self, cancel: CancelToken) -> CheckReport:
        """Reach the source, the database and the destinations."""
        core = self._core
        problems: list[str] = []
        unchecked: list[str] = []
        try:
            root = RootCheck(core, cancel)
            if root.before() is RootVerdict.OTHER:
                problems.append(f"source {core.source_id}: {root.reason}")
        except MediaWatchError as error:
            problems.append(redact(f"source {core.source_id}: {error}"))
        for route in core.destinations.routes:
            uploader = core.destinations.uploader(route)
            if not isinstance(uploader, Checks):
                unchecked.append(route.destination_id)
                continue
            try:
                uploader.check()
            except Exception as error:  # noqa: BLE001 - as in verify
                problems.append(redact(f"destination {route.destination_id}: {error or type(error).__name__}"))
        problems += [f"constraint {name}: {said}" for name, said in core.conditions.look().unmet.items()]
        return CheckReport(problems=tuple(problems), unchecked=tuple(unchecked))

    def health(self, *, max_age: timedelta) -> HealthReport:
        """See whether scans and deliveries happen."""
        core = self._core
        now = core.clock.now_ns()
        state = core.media_state.source(core.source_id)
        problems: list[str] = []
        since_scan = None if state.last_complete_ns is None else (now - state.last_complete_ns) / NANOSECONDS
        if since_scan is None:
            problems.append("no scan has been complete yet")
        elif since_scan > max_age.total_seconds():
            problems.append(f"the last complete scan was {timedelta(seconds=round(since_scan))} ago")
        if state.quarantine is not None:
            problems.append(f"quarantine: {state.quarantine}")
        problems += [pause.summary for pause in core.tasks.pauses() if pause.scope is not PauseScope.TAG]
        dead = core.tasks.counts(core.destinations.routes)[TaskState.DEAD]
        if dead:
            problems.append(f"{dead} tasks are dead: see tasks(states=['dead']) and retry()")
        due_ns, delivered_ns = core.tasks.activity(core.destinations.routes)
        oldest = None if due_ns is None or due_ns > now else (now - due_ns) / NANOSECONDS
        if oldest is not None and oldest > max_age.total_seconds():
            problems.append(f"a task has been due for {timedelta(seconds=round(oldest))}")
        return HealthReport(
            problems=tuple(problems),
            seconds_since_complete_scan=since_scan,
            seconds_since_delivery=None if delivered_ns is None else (now - delivered_ns) / NANOSECONDS,
            oldest_waiting_seconds=oldest,
        )

    def _delivered(self) -> Iterator[Task]:
        core = self._core
        selection = TaskSelection(routes=core.destinations.routes, states=frozenset({TaskState.SUCCESS}))
        after = 0
        while portion := core.tasks.tasks(selection, limit=_PORTION, after_id=after):
            after = portion[-1].id
            yield from (task for task in portion if not task.replaced)

    def _stands(self, task: Task, cancel: CancelToken) -> bool | None:
        uploader = self._core.destinations.uploader(task.route)
        if not isinstance(uploader, Verifies) or task.receipt is None:
            return None
        return uploader.verify(self._media(task, cancel), task.receipt)

    def _media(self, task: Task, cancel: CancelToken) -> ResolvedMedia | None:
        try:
            return self._core.resolver.resolve_for_upload(task.asset, cancel=cancel)
        except (AssetNotFound, AssetChanged):
            return None

    def _repair(self, task: Task, cancel: CancelToken) -> int:
        """Queue the version that stands at the source now."""
        core = self._core
        (found,) = core.resolver.stat((task.asset,), cancel=cancel)
        if found is None:
            return 0
        now_ns = core.clock.now_ns()
        # The version that was delivered had stood still before; another one has to.
        settles_ns = 0 if found.fingerprint == task.fingerprint else core.settle_ns
        again = NewTask(
            route=task.route, asset_id=task.asset_id, fingerprint=found.fingerprint, due_ns=now_ns + settles_ns,
            priority=task.priority, tags=task.tags, constraints=task.constraints, force=True,
        )  # fmt: skip
        return sum(result.outcome.is_new for result in core.tasks.enqueue_if_absent([again], durable=True))
