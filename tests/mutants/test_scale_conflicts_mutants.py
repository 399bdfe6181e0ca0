"""Wrong ways out of conflicts and after deliveries, each of which a test of theirs finds out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.manager.after_upload import AfterUpload
from media_watch_tasks.stores.postgres import _psycopg, connection, database, driver_errors, task_settle
from media_watch_tasks.stores.postgres.gate import AloneNeededError, Gate

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
CONFLICTS = "tests/scale/test_scale_conflicts.py::"
AGAIN = CONFLICTS + "test_what_the_server_rolls_back_is_done_again"
ACTIONS = "tests/scale/test_scale_actions.py::"
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(AGAIN + "[enqueue-task-40001]", AGAIN + "[record-asset-40001]", AGAIN + "[page-task-40001]")
def serialization_failures_are_errors(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(driver_errors, "_CONFLICTS", frozenset({"40P01"}))


@killed_by(AGAIN + "[claim-task-40P01]", AGAIN + "[turn-permit_turn-40P01]")
def deadlocks_are_errors(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection, "is_conflict", lambda error: driver_errors.sqlstate_of(error) == "40001")


@killed_by(CONFLICTS + "test_two_that_enqueue_twice_in_a_transaction_wait_in_no_circle[block]")
def blocks_wait_in_the_gate_twice(patch: pytest.MonkeyPatch) -> None:
    def run_beside(self: database.Database, work: Callable[[], Any], *, durable: bool = False) -> Any:
        try:
            return self.run(work, durable=durable, gate=Gate.SHARED)
        except AloneNeededError:
            return self.run(work, durable=durable, gate=Gate.ALONE)

    patch.setattr(database.Database, "run_beside", run_beside)


@killed_by(CONFLICTS + "test_the_connection_of_a_worker_finds_out_in_half_a_minute_that_the_other_end_is_gone")
def nobody_asks_whether_the_other_end_lives(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(_psycopg._DEFAULTS, "keepalives", 0)


@killed_by("tests/scale/test_scale_statements.py::test_a_settlement_finds_its_tasks_by_their_ids")
def settlements_look_at_all_that_runs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(task_settle, "_DELIVER_SIMPLY", task_settle._DELIVER_SIMPLY.replace("phase + 0", "phase"))


@killed_by(ACTIONS + "test_an_action_that_another_host_is_at_is_left_to_it")
def whoever_is_late_ends_the_action(patch: pytest.MonkeyPatch) -> None:
    original = AfterUpload._act

    def act(self: AfterUpload, *arguments: Any) -> tuple[bool, str | None]:
        owed, error = original(self, *arguments)
        return False, error or ("gone" if owed else None)

    patch.setattr(AfterUpload, "_act", act)


@killed_by(ACTIONS + "test_the_action_of_a_host_that_died_is_done_by_another[before the rename]")
def actions_belong_to_who_delivered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AfterUpload, "pending", lambda *_args, **_kwargs: ())


@MUTANTS.each()
def test_a_wrong_way_out_is_found_out(mutant: Mutant, test: str, assert_killed: Callable[[Mutant, str], None]) -> None:
    assert_killed(mutant, test)
