"""The heartbeat cuts off work that stands still, and nothing that waits for a hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.manager.flight import Flight, Flights
from media_watch_tasks.manager.heartbeat import Heartbeat
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import Claim, ClaimRef, Task, TaskState
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.testing.clock import FakeClock


class Tasks:
    """Extends whatever it is asked to."""

    def __init__(self) -> None:
        self.extended: list[int] = []

    def extend(self, refs: Sequence[ClaimRef], **_named: Any) -> frozenset[int]:
        self.extended += [ref.task_id for ref in refs]
        return frozenset(ref.task_id for ref in refs)

    def interrupts(self, _worker_id: str) -> Sequence[Any]:
        return ()


@pytest.mark.parametrize("limit", ["stall_timeout", "attempt_timeout"])
def test_what_waits_for_a_hand_is_not_cut_off_and_keeps_its_lease(limit: str) -> None:
    clock, tasks, flights = FakeClock(), Tasks(), Flights()
    begun, waiting = (
        Flight(
            Claim(Task(number, Route("s", "d"), b"a", Fingerprint(1, 2), b"", TaskState.UPLOADING, 0, 0, 0, 0), 1),
            cancel=CancelToken(),
            clock=clock,
        )
        for number in (1, 2)
    )
    flights.add(begun)
    flights.add(waiting)
    options = TaskManagerOptions(**{limit: timedelta(milliseconds=50)})  # type: ignore[arg-type]  # a timedelta each
    core: Any = SimpleNamespace(
        clock=clock, tasks=tasks, flights=flights, options=options, lease_ns=60 * NANOSECONDS, worker_id="w"
    )
    begun.begin()
    clock.advance(30)
    Heartbeat(core).beat()
    assert begun.cancel.reason is CancelReason.STALL
    assert not waiting.cancel.cancelled
    assert tasks.extended == [1, 2]
    waiting.begin()
    Heartbeat(core).beat()
    assert not waiting.cancel.cancelled, "its time counts from here"
