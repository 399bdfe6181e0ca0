"""Mistakes that only a crash shows, each of which a small battery finds out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.manager.after_upload import AfterUpload
from media_watch_tasks.stores.sqlite.task_workers import TaskWorkers
from media_watch_tasks.stores.sqlite.worker_locks import WorkerLocks

AssertKilled = Callable[[Callable[[pytest.MonkeyPatch], None], str], None]
IN_PROCESSES = Path(__file__).with_name("crash_mutants.py")
CHAIN = "test_chain_killed.py::test_whatever_dies_nothing_is_lost_sent_twice_or_called_done_too_early"
CUT = "test_power_cut.py::test_a_power_cut_costs_nothing_but_work"
SLEPT = "test_stopped_process.py::test_worker_that_slept_past_its_lease_overwrites_and_settles_nothing"
HELD = "test_stopped_process.py::test_worker_that_slept_settles_nothing_of_the_one_that_has_its_task_now"
SCANNER = "test_stopped_process.py::test_scanner_that_slept_past_its_lease_sends_nothing_back_in_time"
CROWD = "test_many_processes_killed.py::test_no_task_is_ever_held_twice_and_nobody_finds_the_database_locked"


@pytest.mark.parametrize(
    ("mutant", "battery"),
    [
        ("receipts_come_before_the_bytes", f"{CHAIN}[0]"),
        ("sources_are_deleted_before_the_settlement", f"{CHAIN}[1]"),
        ("copies_go_over_whatever_stands_there", f"{CHAIN}[0]"),
        ("nobody_asks_before_the_name_is_taken", f"{SLEPT}[before the last question-first version]"),
        ("settlements_go_by_the_task_alone", f"{HELD}[before the settlement]"),
        ("settlements_are_not_synced_before_the_action", f"{CUT}[0]"),
        ("files_count_as_seen_before_their_tasks_are_written", CUT),
        ("files_count_as_seen_before_their_tasks_are_written", f"{CHAIN}[0]"),
        ("pages_of_a_lost_lease_are_kept", SCANNER),
        ("claims_take_what_others_hold", f"{CROWD}[30]"),
    ],
)
def test_a_mistake_in_the_processes_is_found_out(assert_killed: AssertKilled, mutant: str, battery: str) -> None:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        patch.setenv("CRASH_MUTANT", f"{IN_PROCESSES}:{mutant}")

    assert_killed(mutate, f"tests/crash/{battery}")


def lock_files_say_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkerLocks, "is_dead", lambda _self, _worker_id: False)


def lock_files_go_before_the_burial_is_committed(patch: pytest.MonkeyPatch) -> None:
    bury = TaskWorkers._bury

    def too_early(self: Any, workers: Any, *, busy: Any = ()) -> Any:
        dead = bury(self, workers, busy=busy)
        for number, worker_id in workers:
            if number in dead:
                self._locks.remove(worker_id)
        return dead

    patch.setattr(TaskWorkers, "_bury", too_early)


def lock_files_are_never_removed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkerLocks, "sweep", lambda _self, *, keep: None)


LOCKS = "tests/unit/test_sqlite_worker_locks.py::"


@pytest.mark.parametrize(
    ("mutate", "test"),
    [
        (lock_files_say_nothing, "test_leases_of_a_dead_worker_are_void_at_once"),
        (
            lock_files_go_before_the_burial_is_committed,
            "test_what_dies_while_it_buries_another_leaves_that_to_the_next",
        ),
        (lock_files_are_never_removed, "test_lock_files_of_the_dead_are_removed_in_the_end"),
    ],
)
def test_a_mistake_with_lock_files_is_found_out(
    assert_killed: AssertKilled, mutate: Callable[[pytest.MonkeyPatch], None], test: str
) -> None:
    assert_killed(mutate, LOCKS + test)


def what_was_left_aside_is_looked_for_last(patch: pytest.MonkeyPatch) -> None:
    act = AfterUpload._act

    def only_where_it_may_act(self: Any, action: Any, resolver: Any, task: Any, cancel: Any) -> Any:
        return act(self, action, resolver, task, cancel) if self._has(task, task.route) else (False, None)

    patch.setattr(AfterUpload, "_act", only_where_it_may_act)


def what_cannot_be_put_back_stays_aside(patch: pytest.MonkeyPatch) -> None:
    def give_back(_self: Any, resolver: Any, asset: Any, aside: Any, _found: Any, cancel: Any) -> None:
        resolver.put_back(aside, asset.asset_id, cancel=cancel)

    patch.setattr(AfterUpload, "_give_back", give_back)


def actions_of_replaced_versions_are_owed_for_ever(patch: pytest.MonkeyPatch) -> None:
    act = AfterUpload._act

    def patient(self: Any, action: Any, resolver: Any, task: Any, cancel: Any) -> Any:
        return act(self, action, resolver, task, cancel) if self._has(task, task.route) else (True, None)

    patch.setattr(AfterUpload, "_act", patient)


AFTER = "tests/contracts/manager/test_manager_after_upload.py::"


@pytest.mark.parametrize(
    ("mutate", "test"),
    [
        (
            what_was_left_aside_is_looked_for_last,
            "test_version_that_a_dead_run_left_aside_is_put_back_even_when_a_newer_one_is_delivered",
        ),
        (
            what_cannot_be_put_back_stays_aside,
            "test_version_whose_name_is_taken_when_it_is_put_back_gets_a_name_beside_it",
        ),
        (
            actions_of_replaced_versions_are_owed_for_ever,
            "test_action_for_a_version_that_a_newer_one_has_replaced_is_given_up",
        ),
    ],
)
def test_a_mistake_after_the_upload_is_found_out(
    assert_killed: AssertKilled, mutate: Callable[[pytest.MonkeyPatch], None], test: str
) -> None:
    assert_killed(mutate, AFTER + test)
