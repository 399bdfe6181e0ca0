"""Wrong schedules on Huey, each of which a test finds out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from media_watch_tasks.schedulers import HueyScheduler
from media_watch_tasks.schedulers.shared_leases import _MemoryLease, _SqliteLease

CONTRACT = "tests/scale/test_scale_huey_contract.py::TestHueySchedulerInMemory::"
TESTS = "tests/scale/test_scale_huey_scheduler.py::"
Mutant = Callable[[pytest.MonkeyPatch], None]


def runs_whenever_it_is_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HueyScheduler, "_begin", lambda *_: True)


def waits_for_a_clock_that_was_set_back(patch: pytest.MonkeyPatch) -> None:
    def begin(self: HueyScheduler, slot: int) -> bool:
        key = f"{self._name}.began.{slot}"
        before, now_ns = self._huey.storage.peek_data(key), self._clock.now_ns()
        if isinstance(before, bytes) and now_ns - int(before) < 54 * 10**9:
            return False
        self._huey.storage.put_data(key, b"%d" % now_ns)
        return True

    patch.setattr(HueyScheduler, "_begin", begin)


def lets_everybody_run_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_MemoryLease, "acquire", lambda _: True)


def never_takes_a_lease_that_has_ended(patch: pytest.MonkeyPatch) -> None:
    right = _SqliteLease.acquire
    patch.setattr(_SqliteLease, "acquire", lambda self: not self._rows("SELECT 1 FROM kv WHERE queue = ? AND key = ?")
                  and right(self))  # fmt: skip


def renews_what_another_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_SqliteLease, "renew", lambda _: True)


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        (runs_whenever_it_is_asked, TESTS + "test_a_run_is_due_once_in_an_interval_however_many_consumers_ask[memory]"),
        (waits_for_a_clock_that_was_set_back, TESTS + "test_a_clock_that_was_set_back_stops_nothing[memory]"),
        (lets_everybody_run_at_once, CONTRACT + "test_runs_never_overlap"),
        (never_takes_a_lease_that_has_ended, TESTS + "test_a_lease_on_sqlite_ends_by_itself"),
        (renews_what_another_holds, TESTS + "test_a_lease_on_sqlite_ends_by_itself"),
    ],
)
def test_a_wrong_scheduler_is_found_out(
    assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str
) -> None:
    assert_killed(mutant, test)
