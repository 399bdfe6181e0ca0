"""Writes outcomes: what goes before the settlement, the settlement with the next claim, what goes after, the events."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Sequence
from datetime import timedelta

from media_watch_tasks.clock import to_ns
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.outcomes import Outcome, PauseWish
from media_watch_tasks.manager.spooling import Spooling
from media_watch_tasks.model.events import (
    AssetMissing,
    AssetUnsettled,
    Event,
    Paused,
    TaskCancelled,
    TaskDead,
    TaskFailed,
    TaskReleased,
    TaskSucceeded,
)
from media_watch_tasks.model.settlements import Cancelled, Dead, Delivered, Failed, Pause, Superseded
from media_watch_tasks.model.tasks import Claim, ClaimRequest, Task

__all__ = ["Settler"]

_log = logging.getLogger(__name__)
_MOST_UNSETTLED = 10_000


class Settler:
    """Only the coordinator of a run calls it.

    Outcomes that the database refuses (it is full, it is away) are kept and written first the next time, so that what
    was delivered is not forgotten while the process lives.
    """

    def __init__(self, core: ManagerCore) -> None:
        self._core = core
        self._spooling = Spooling(core)
        self._pending: list[Outcome] = []
        self._restless: dict[bytes, int] = {}
        self.owing: deque[Task] = deque()
        """Tasks that were delivered since and owe an after-upload action."""

    @property
    def pending(self) -> int:
        """Outcomes that are not written yet."""
        return len(self._pending)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Take outcomes over; `flush` writes them."""
        self._pending += outcomes

    def flush(self, then_claim: ClaimRequest | None = None) -> tuple[Counter[str], Sequence[Claim]]:
        """Write what is pending and claim the next in the same commit; what was counted how, and the claims.

        Raises:
            StoreError: the database cannot do it; the outcomes are kept.
        """
        pending = self._pending
        if not pending:
            return Counter(), self._core.tasks.claim_batch(then_claim) if then_claim is not None else ()
        if any(item.gone or item.metadata or item.pause or item.found for item in pending):
            settled, claims, paused = self._core.together(lambda _shared: self._write(pending, then_claim))
        else:
            settled, claims, paused = self._write(pending, then_claim)
        self._pending = []
        for pause in paused:
            self._tell_of_pause(pause)
        for item in pending:
            flight = self._core.flights.get(item.claim.task.id)
            if flight is not None and flight.claim.token == item.claim.token:
                self._core.flights.remove(flight)
        return self._tell(pending, settled), claims

    def _write(
        self, pending: Sequence[Outcome], then_claim: ClaimRequest | None
    ) -> tuple[frozenset[int], Sequence[Claim], Sequence[Pause]]:
        core = self._core
        gone = [item.claim.task.asset_id for item in pending if item.gone]
        if gone:
            # Before the settlement: a file that comes back is then new to the next scan, whenever this process dies.
            core.media_state.mark_missing(core.source_id, gone)
        for item in pending:
            if item.metadata is not None:
                task = item.claim.task
                core.media_state.save_metadata(core.source_id, task.asset_id, task.fingerprint, item.metadata)
        wishes = [(item.pause, item.claim.task.id) for item in pending if item.pause is not None]
        paused = [pause for wish, task_id in wishes if (pause := self._pause(wish, task_id)) is not None]
        settlements = [item.settlement for item in pending if item.settlement is not None]
        # What happens after the upload cannot be repeated: its cause must be on the disk first.
        durable = any(isinstance(each, Delivered) and each.action is not None for each in settlements)
        result = core.tasks.settle(settlements, durable=durable, then_claim=then_claim)
        found = {
            item.claim.task.asset_id: item.found
            for item in pending
            if item.found is not None and item.claim.task.id in result.settled
        }
        if found:
            core.media_state.update_seen(core.source_id, found)
        return result.settled, result.claims, paused

    def _pause(self, wish: PauseWish, task_id: int) -> Pause | None:
        core = self._core
        now = core.clock.now_ns()
        earlier = next(
            (
                pause
                for pause in core.tasks.pauses()
                if pause.automatic and (pause.scope, pause.value) == (wish.scope, wish.value)
            ),
            None,
        )
        if earlier is not None and earlier.until_ns is not None and earlier.until_ns > now:
            return None  # another worker has noticed the same thing
        rounds = 1 if earlier is None else earlier.rounds + 1
        until = wish.until_ns
        if until is None:
            delay: timedelta = min(core.options.party_pause * 2 ** min(rounds - 1, 30), core.options.party_pause_max)
            until = now + to_ns(delay)
        pause = Pause(
            scope=wish.scope,
            value=wish.value,
            until_ns=until,
            reason=wish.reason,
            automatic=True,
            rounds=rounds,
            task_id=task_id,
        )
        core.tasks.pause(pause)
        return pause

    def _tell_of_pause(self, pause: Pause) -> None:
        _log.warning(
            "paused: %s",
            pause.reason,
            extra={"scope": str(pause.scope), "party": pause.value, "until": str(pause.until)},
        )
        self._core.notifier.emit(Paused(at_ns=self._core.notifier.now_ns(), pause=pause))

    def _tell(self, outcomes: Sequence[Outcome], settled: frozenset[int]) -> Counter[str]:
        counts: Counter[str] = Counter()
        notifier = self._core.notifier
        for item in outcomes:
            written = item.settlement is not None and item.claim.task.id in settled
            counts[item.counted if written else "lease_lost"] += 1
            if not written:
                continue
            self._spooling.settled(item)
            counts["bytes_sent"] += item.bytes_sent
            if isinstance(item.settlement, Delivered) and item.settlement.receipt.deduplicated:
                counts["deduplicated"] += 1
            if isinstance(item.settlement, Delivered) and item.settlement.action is not None:
                self.owing.append(item.claim.task)
            if isinstance(item.settlement, Dead):
                _log.error(
                    "task is dead: %s",
                    item.message or item.settlement.reason,
                    extra={"task_id": item.claim.task.id, "asset": item.claim.task.display},
                )
            if notifier.active and item.counted != "given_back":
                for event in self._events(item, notifier.now_ns()):
                    notifier.emit(event)
        return counts

    def _events(self, item: Outcome, at_ns: int) -> list[Event]:
        task = item.claim.task
        settlement = item.settlement
        events: list[Event] = []
        if item.gone:
            events.append(AssetMissing(at_ns=at_ns, source_id=task.source_id, asset_id=task.asset_id))
        match settlement:
            case Delivered():
                self._restless.pop(task.asset_id, None)
                events.append(TaskSucceeded(at_ns=at_ns, task=task, receipt=settlement.receipt))
            case Failed():
                events.append(
                    TaskFailed(at_ns=at_ns, task=task, error=settlement.error, retry_ns=settlement.retry_ns)
                )  # fmt: skip
            case Dead():
                events.append(TaskDead(at_ns=at_ns, task=task, reason=settlement.reason, error=settlement.error))
            case Cancelled():
                events.append(TaskCancelled(at_ns=at_ns, task=task, reason=settlement.reason))
            case Superseded():
                events.append(TaskCancelled(at_ns=at_ns, task=task, reason="superseded"))
                events += self._unsettled(item, at_ns)
            case _:
                events.append(TaskReleased(at_ns=at_ns, task=task, reason=item.message or "released"))
                events += self._unsettled(item, at_ns)
        return events

    def _unsettled(self, item: Outcome, at_ns: int) -> list[Event]:
        """Name a file once that has been restless for a day. The memory is this process's, and bounded."""
        task = item.claim.task
        since = self._restless.get(task.asset_id)
        if since is None:
            if len(self._restless) >= _MOST_UNSETTLED:
                return []
            since = self._restless[task.asset_id] = min(task.enqueued_ns, at_ns)
        if since < 0 or at_ns - since < to_ns(self._core.options.unsettled_event_after):
            return []
        self._restless[task.asset_id] = -1
        return [AssetUnsettled(at_ns=at_ns, source_id=task.source_id, asset_id=task.asset_id)]
