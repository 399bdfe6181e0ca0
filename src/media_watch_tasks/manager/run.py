"""One run of the queue: the coordinator claims what hands have room for, collects outcomes, and writes them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import MappingProxyType

from media_watch_tasks.abc.uploader import BatchUploader
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.clock import NANOSECONDS, to_ns
from media_watch_tasks.errors import MediaWatchError, OperationCancelled
from media_watch_tasks.manager.after_upload import AfterUpload
from media_watch_tasks.manager.attempt import perform
from media_watch_tasks.manager.batch import perform_batch
from media_watch_tasks.manager.conditions import ConditionsSeen
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.hands import Hands, Job
from media_watch_tasks.manager.heartbeat import Heartbeat
from media_watch_tasks.manager.outcomes import Outcome, judge
from media_watch_tasks.manager.settling import Settler
from media_watch_tasks.manager.spooling import Spooling
from media_watch_tasks.manager.unfinished import remove_unfinished
from media_watch_tasks.model.reports import ProcessReport
from media_watch_tasks.model.settlements import Dead, Released
from media_watch_tasks.model.sources import AssetState
from media_watch_tasks.model.tasks import Claim, ClaimRequest, Task

__all__ = ["Run"]

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.25
_ENDS_UNDELIVERED = {"dead", "cancelled", "superseded"}
_CRASHES_UNTIL_DEAD = 5
"""Two deaths in company, then three alone."""


class Run:
    """One run. `report` does it all, on the thread that calls it."""

    def __init__(
        self,
        core: ManagerCore,
        settler: Settler,
        after_upload: AfterUpload,
        cancel: CancelToken,
        *,
        limit: int | None,
        time_budget: timedelta | None,
        force: bool,
        more_to_come: Callable[[], bool],
    ) -> None:
        self._core = core
        self._settler = settler
        self._cancel = cancel
        self._limit = limit
        self._force = force
        self._more_to_come = more_to_come
        self._hands = Hands(core.options.workers, core.clock, may_stock=core.destinations.find_existing)
        self._began_ns = core.clock.monotonic_ns()
        self._deadline_ns = None if time_budget is None else self._began_ns + to_ns(time_budget)
        self._counts: Counter[str] = Counter()
        self._groups = core.destinations.groups()
        self._after_upload = after_upload
        self._settler.owing.clear()
        self._settler.owing.extend(after_upload.pending())
        self._turn = 0
        self._floor = core.tasks.last_token()
        self._alone = False
        self._stopped_by: str | None = None
        self._stopped_ns = 0
        self._conditions = ConditionsSeen()
        self._conditions_ns: int | None = None
        self._unknown: dict[str, str] = {}
        self._swept_ns: int | None = None

    def wake(self) -> None:
        """Look at the queue again. Any thread may call it."""
        self._hands.wake()

    def report(self) -> ProcessReport:
        """Work until there is nothing left to do, or a limit, a time budget or a cancellation ends it."""
        Spooling(self._core).sweep()
        remove_unfinished(self._core)
        heartbeat = Heartbeat(self._core)
        forget = [token.on_cancel(lambda _reason: self.wake()) for token in (self._cancel, self._core.closing)]
        heartbeat.start()
        try:
            self._loop()
        except BaseException:  # also Ctrl-C: whatever ends the run, nothing is to be left behind as `uploading`
            self._stop("error")
            self._release_all()
            raise
        finally:
            heartbeat.stop()
            self._hands.close()
            for undo in forget:
                undo()
        if self._counts.keys() & _ENDS_UNDELIVERED:
            remove_unfinished(self._core)
        return self._summary()

    def _loop(self) -> None:
        while True:
            self._look_for_a_stop()
            self._give_back(
                [flight.claim for job in self._hands.hand_back(at_once=self._is_stopping) for flight in job.flights]
            )
            self._act_after_uploads()
            claims = self._settle_and_claim()
            if claims:
                self._dispatch(claims)
                if self._hands.free > 0:
                    continue
            elif not self._hands.busy and not self._settler.pending:
                if self._stopped_by is not None:
                    return
                if self._settler.owing:
                    continue
                if not self._claim_alone() and not self._more_to_come():
                    self._stopped_by = "empty"
                    return
            self._settler.add(self._hands.collect(_TICK_SECONDS))
            self._give_up_the_lost()

    def _look_for_a_stop(self) -> None:
        now = self._core.clock.monotonic_ns()
        if self._core.closing.cancelled:
            self._stop("closed")
        elif self._cancel.cancelled:
            self._stop("cancelled")
        elif self._deadline_ns is not None and now >= self._deadline_ns:
            self._stop("time_budget")
        elif self._limit is not None and self._counts["taken"] >= self._limit:
            self._stop("limit")
        if self._is_stopping:
            grace = to_ns(self._core.options.shutdown_grace)
            if now - self._stopped_ns >= grace:
                self._interrupt_all()

    @property
    def _is_stopping(self) -> bool:
        return self._stopped_by not in {None, "limit"}

    def _stop(self, why: str) -> None:
        if self._stopped_by is None or (self._stopped_by == "limit" and why != "limit"):
            self._stopped_by = why
            self._stopped_ns = self._core.clock.monotonic_ns()

    def _act_after_uploads(self) -> None:
        """Give what is owed to one hand: it keeps no upload waiting for long."""
        owing = self._settler.owing
        acting = any(not job.flights for job in self._hands.busy)
        if owing and not acting and self._hands.room > 0 and not self._is_stopping:
            tasks = tuple(owing)
            owing.clear()
            self._hands.give_aside(lambda: self._act(tasks))

    def _act(self, tasks: Sequence[Task]) -> list[Outcome]:
        for task in tasks:
            if self._cancel.cancelled or self._core.closing.cancelled:
                break  # still owed: the next run finds it in the database
            try:
                self._after_upload.perform(task, self._cancel)
            except Exception:  # noqa: BLE001 - an action may be the application's: without its hand the run would never end
                _log.exception("after-upload action failed, the next run tries again", extra={"task_id": task.id})
        return []

    def _interrupt_all(self) -> None:
        for flight in self._core.flights.all():
            flight.interrupt(CancelReason.SHUTDOWN)

    def _settle_and_claim(self) -> Sequence[Claim]:
        self._sweep()
        request = self._request() if self._stopped_by is None and not self._alone else None
        counts, claims = self._settler.flush(request)
        self._count(counts)
        if self._alone and not self._hands.busy:
            self._alone = False
        if not claims and request is not None and len(self._groups) > 1:
            # The turn went to a group with nothing to do: the others are asked before the run ends.
            for _ in range(len(self._groups) - 1):
                other = self._request()
                claims = self._core.tasks.claim_batch(other) if other is not None else ()
                if claims:
                    break
        return claims

    def _request(self, *, alone: bool = False) -> ClaimRequest | None:
        group = self._groups[self._turn % len(self._groups)]
        most = self._hands.room
        if alone or group.batch is not None:
            most = 0 if self._hands.free < 1 else 1 if alone else group.batch or 1
        if most < 1:
            return None
        self._turn += 1
        if self._limit is not None:
            most = min(most, self._limit - self._counts["taken"])
        if most < 1:
            return None
        return ClaimRequest(
            worker_id=self._core.worker_id,
            routes=self._core.destinations.routes if alone else group.routes,
            limit=most,
            lease_ns=self._core.lease_ns,
            longest_delay_ns=self._core.longest_delay_ns,
            unmet=frozenset(self._look_at_constraints().unmet),
            force=self._force,
            alone=alone,
            floor=self._floor,
            share=self._core.options.share,
        )

    def _claim_alone(self) -> bool:
        """Take a task that workers died on, with nothing beside it that its next death could harm."""
        request = self._request(alone=True)
        claims = self._core.tasks.claim_batch(request) if request is not None else ()
        if claims:
            self._alone = True
            self._dispatch(claims)
        return bool(claims)

    def _look_at_constraints(self) -> ConditionsSeen:
        now = self._core.clock.monotonic_ns()
        if self._core.conditions and (self._conditions_ns is None or now - self._conditions_ns >= NANOSECONDS):
            self._conditions, self._conditions_ns = self._core.conditions.look(), now
            # Of the whole run: what was sent while a constraint could not say was sent on a guess.
            self._unknown.update(self._conditions.unknown)
        return self._conditions

    def _sweep(self) -> None:
        now = self._core.clock.monotonic_ns()
        if self._swept_ns is None or now - self._swept_ns >= NANOSECONDS:
            self._swept_ns = now
            first = to_ns(self._core.options.crash_backoff)
            backoff = [first * 2**n for n in range(_CRASHES_UNTIL_DEAD)]
            self._core.tasks.take_back(dead_after=_CRASHES_UNTIL_DEAD, backoff_ns=backoff, asking=self._core.worker_id)

    def _dispatch(self, claims: Sequence[Claim]) -> None:
        core = self._core
        self._counts["taken"] += len(claims)
        claims = self._without_suspects(self._without_expired(claims))
        known = core.media_state.assets(core.source_id, [claim.task.asset_id for claim in claims]) if claims else ()
        work = [
            (Flight(claim, cancel=CancelToken(), clock=core.clock), state)
            for claim, state in zip(claims, known, strict=True)
        ]
        for flight, _ in work:
            core.flights.add(flight)
        if not work:
            return
        uploader = core.destinations.uploader(claims[0].task.route)
        if isinstance(uploader, BatchUploader):
            self._hands.give(Job([flight for flight, _ in work], self._batch_work(uploader, work)))
            return
        self._hands.give(*[Job((flight,), self._single_work(flight, state)) for flight, state in work])

    def _single_work(self, flight: Flight, state: AssetState | None) -> Callable[[], list[Outcome]]:
        return lambda: [perform(self._core, flight, state)]

    def _batch_work(
        self, uploader: BatchUploader, work: Sequence[tuple[Flight, AssetState | None]]
    ) -> Callable[[], list[Outcome]]:
        cancel = CancelToken()
        for flight, _ in work:
            flight.cancel.on_cancel(lambda reason: cancel.cancel(reason) if reason is CancelReason.SHUTDOWN else None)
        return lambda: perform_batch(self._core, uploader, work, cancel=cancel)

    def _without_expired(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        expires = self._core.options.expires_after
        if expires is None:
            return claims
        now = self._core.clock.now_ns()
        alive = []
        for claim in claims:
            # Only a task that has failed expires: attempts count the one that begins now.
            if claim.task.attempts > 1 and now - claim.task.live_since_ns > to_ns(expires):
                settlement = Dead(ref=claim.ref, reason="expired", error=claim.task.error)
                self._settler.add([Outcome(claim=claim, counted="dead", settlement=settlement)])
            else:
                alive.append(claim)
        return alive

    def _without_suspects(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Of more tasks than hands, one of which a worker died on, as many as there are hands.

        All that a process has claimed counts as begun when it dies: those that had only waited are blamed once for a
        death in their chain, and not for the next one.
        """
        free = max(self._hands.free, 0)
        if len(claims) <= free or not any(claim.task.crashes for claim in claims):
            return claims
        self._hands.take_time()
        self._give_back(claims[free:])
        counts, _ = self._settler.flush()  # before the others begin: they may be the death of this process
        self._count(counts)
        return claims[:free]

    def _give_back(self, claims: Sequence[Claim]) -> None:
        """Leave tasks that no hand has turned to to whoever has one free."""
        self._settler.add(
            [
                Outcome(claim=claim, counted="given_back", settlement=Released(ref=claim.ref, untouched=True))
                for claim in claims
            ]
        )

    def _count(self, counts: Counter[str]) -> None:
        given_back = counts.pop("given_back", 0)
        self._counts += counts
        self._counts["taken"] -= given_back
        if given_back and self._stopped_by == "limit":
            self._stopped_by = None

    def _give_up_the_lost(self) -> None:
        """Settle for threads that were asked to stop long ago and do not come back."""
        now = self._core.clock.monotonic_ns()
        grace = to_ns(self._core.options.shutdown_grace)
        for job in self._hands.busy:
            if job.flights and all(
                flight.cancelled_ns is not None and now - flight.cancelled_ns > grace for flight in job.flights
            ):
                self._hands.give_up(job)
                self._settler.add([self._given_up(flight) for flight in job.flights])

    def _given_up(self, flight: Flight) -> Outcome:
        error = OperationCancelled(flight.cancel.reason or CancelReason.SHUTDOWN)
        now_ns, draw = self._core.clock.now_ns(), self._core.rng.random()
        return judge(flight.claim, error, options=self._core.options, now_ns=now_ns, draw=draw)

    def _release_all(self) -> None:
        """Stop the hands, and write what they did; what the database refuses is kept for the next run."""
        self._interrupt_all()
        patience = self._core.clock.monotonic_ns() + to_ns(self._core.options.shutdown_grace) + NANOSECONDS
        while self._hands.busy and self._core.clock.monotonic_ns() < patience:
            self._settler.add(self._hands.collect(_TICK_SECONDS))
            self._give_up_the_lost()
        try:
            self._settler.flush()
        except MediaWatchError:
            _log.warning("outcomes not written, they are kept for the next run", extra={"count": self._settler.pending})

    def _summary(self) -> ProcessReport:
        counts = self._counts
        return ProcessReport(
            taken=counts["taken"],
            succeeded=counts["succeeded"],
            deduplicated=counts["deduplicated"],
            failed=counts["failed"],
            dead=counts["dead"],
            cancelled=counts["cancelled"],
            superseded=counts["superseded"],
            released=counts["released"],
            lease_lost=counts["lease_lost"],
            bytes_sent=counts["bytes_sent"],
            unmet_constraints=self._conditions.unmet,
            unknown_constraints=MappingProxyType(dict(self._unknown)),
            stopped_by=self._stopped_by or "empty",
            elapsed=timedelta(microseconds=(self._core.clock.monotonic_ns() - self._began_ns) // 1_000),
        )
