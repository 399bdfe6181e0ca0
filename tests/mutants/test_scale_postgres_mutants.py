"""Wrong PostgreSQL stores, each of which a test of theirs finds out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult
from media_watch_tasks.stores.postgres import server_clock, task_claim, task_core, task_enqueue, task_settle
from media_watch_tasks.stores.postgres import transaction as transactions
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import Gate
from media_watch_tasks.stores.postgres.pool import Pool
from media_watch_tasks.stores.postgres.presence import Presence
from media_watch_tasks.stores.relational import claim_plan

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
TRANSACTIONS = "tests/scale/test_postgres_transactions.py"
PRESENCE = "tests/scale/test_postgres_presence.py"
SIDE_BY_SIDE = "tests/scale/test_postgres_side_by_side.py"
HELD_OPEN = "tests/scale/test_postgres_held_open.py"
LOST = "tests/scale/test_postgres_lost_commits.py"
SUITE = "tests/contracts/test_scale_task_store_postgres.py::TestPostgresTaskStore"
Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]

MUTANTS: list[Any] = []


def killed_by(*tests: str) -> Callable[[Mutate], Mutate]:
    def register(mutate: Mutate) -> Mutate:
        MUTANTS.extend(pytest.param(mutate, test, id=f"{mutate.__name__}-{test.split('::')[-1]}") for test in tests)
        return mutate

    return register


@killed_by(f"{SIDE_BY_SIDE}::test_claims_are_disjoint_and_nobody_goes_away_empty_too_early[3]")
def what_others_took_ends_the_search(patch: Patch) -> None:
    patch.setattr(task_claim.PostgresTaskClaim, "_none_left", lambda *_: [])


@killed_by(f"{PRESENCE}::test_what_a_killed_process_held_is_taken_back_at_once")
def the_dead_are_not_seen(patch: Patch) -> None:
    patch.setattr(Presence, "gone", lambda *_args, **_kwargs: ())


@killed_by(f"{PRESENCE}::test_a_restart_of_the_server_is_nobodys_death[stopped]")
def a_restart_kills_everybody(patch: Patch) -> None:
    patch.setattr(Presence, "session", property(lambda _self: ""))


@killed_by(f"{PRESENCE}::test_a_restart_of_the_server_is_nobodys_death[crashed]")
def a_crash_of_the_server_kills_everybody(patch: Patch) -> None:
    session: Any = vars(Presence)["session"]
    patch.setattr(Presence, "session", property(lambda presence: session.fget(presence).partition("/")[0]))


@killed_by(f"{PRESENCE}::test_a_worker_that_was_cut_off_is_refused")
def a_worker_never_comes_back(patch: Patch) -> None:
    patch.setattr(Presence, "revive", lambda _self: ())


@killed_by(f"{PRESENCE}::test_the_servers_clock_decides")
def the_clock_of_the_machine_decides(patch: Patch) -> None:
    patch.setattr(server_clock.ServerClock, "now_ns", lambda clock: clock._local.now_ns())


@killed_by(f"{TRANSACTIONS}::test_a_commit_whose_answer_was_lost_is_asked_for[True]")
def a_lost_answer_is_a_lost_commit(patch: Patch) -> None:
    patch.setattr(Pool, "was_committed", lambda *_args, **_kwargs: False)


@killed_by(f"{TRANSACTIONS}::test_a_commit_whose_answer_was_lost_is_asked_for[False]")
def a_lost_answer_is_a_commit(patch: Patch) -> None:
    patch.setattr(Pool, "was_committed", lambda *_args, **_kwargs: True)


@killed_by(f"{TRANSACTIONS}::test_a_durable_commit_is_waited_for")
def nothing_is_durable(patch: Patch) -> None:
    patch.setattr(transactions, "_DURABLE", "SELECT 1")


@killed_by(f"{SUITE}::test_a_version_that_was_restored_is_sent_again")
def a_known_asset_is_never_enqueued(patch: Patch) -> None:
    patch.setattr(
        task_enqueue.PostgresTaskEnqueue,
        "_enqueue_known",
        lambda *_: EnqueueResult(EnqueueOutcome.DELIVERED),
    )


@killed_by(
    f"{HELD_OPEN}::test_a_claim_passes_over_what_another_one_is_about_to_take[1]",
    f"{HELD_OPEN}::test_a_claim_passes_over_what_another_one_is_about_to_take[3]",
)
def claims_lock_nothing(patch: Patch) -> None:
    patch.setattr(claim_plan, "_LOCK", "")


@killed_by(f"{HELD_OPEN}::test_a_claim_passes_over_what_another_one_is_about_to_take[1]")
def claims_wait_for_each_other(patch: Patch) -> None:
    patch.setattr(claim_plan, "_LOCK", " FOR UPDATE")


@killed_by(f"{HELD_OPEN}::test_a_claim_of_several_lanes_passes_over_what_another_one_is_about_to_take")
def claims_of_several_lanes_lock_nothing(patch: Patch) -> None:
    patch.setattr(task_claim.PostgresTaskClaim, "take_chosen", _without(claim_plan.TAKE_CHOSEN_LOCKED, " SKIP LOCKED"))


@killed_by(
    f"{HELD_OPEN}::test_the_second_settlement_of_a_claim_waits_for_the_first_and_is_void[failed]",
    f"{HELD_OPEN}::test_a_failure_that_is_written_late_waits_for_the_first_and_is_void",
)
def settlements_lock_nothing(patch: Patch) -> None:
    patch.setattr(task_core, "_LOCKED", _without(task_core._LOCKED, " FOR UPDATE OF t"))


@killed_by(f"{HELD_OPEN}::test_the_second_settlement_of_a_claim_waits_for_the_first_and_is_void[delivered]")
def deliveries_go_by_the_task_alone(patch: Patch) -> None:
    for name in ("_DELIVER_SIMPLY", "_DELIVER_EACH"):
        statement = _without(getattr(task_settle, name), " AND task.token = claim.token AND task.phase + 0 = 4")
        patch.setattr(task_settle, name, statement)


@killed_by(f"{HELD_OPEN}::test_who_is_alone_waits_for_a_claim_beside_him")
def nobody_is_alone(patch: Patch) -> None:
    shared = Gate.SHARED.sql
    patch.setattr(Gate, "sql", lambda _gate, schema: shared(schema))


@killed_by(
    f"{HELD_OPEN}::test_claims_and_new_files_wait_for_who_is_alone",
    f"{HELD_OPEN}::test_who_is_alone_waits_for_a_claim_beside_him",
)
def nobody_stands_in_the_gate_beside_others(patch: Patch) -> None:
    alone = Gate.ALONE.sql
    patch.setattr(Gate, "sql", lambda gate, schema: alone(schema) if gate is Gate.ALONE else "(SELECT 1) AS nobody")


@killed_by(f"{HELD_OPEN}::test_claims_and_settlements_and_new_files_stand_in_the_gate_together")
def everybody_is_alone(patch: Patch) -> None:
    alone = Gate.ALONE.sql
    patch.setattr(Gate, "sql", lambda _gate, schema: alone(schema))


@killed_by(
    f"{LOST}::test_a_claim_that_is_forgotten_is_void_when_another_worker_has_the_task",
    f"{LOST}::test_a_delivery_of_a_forgotten_task_is_not_taken_for_that_of_another_file",
)
def tokens_are_counted(patch: Patch) -> None:
    patch.setattr(task_claim.PostgresTaskClaim, "least_token", lambda claim, _now_ns: claim.last_token + 1)


@killed_by(
    f"{LOST}::test_no_two_workers_ever_have_one_number",
    f"{LOST}::test_no_two_scanners_ever_have_one_lease",
    f"{LOST}::test_only_what_was_synced_outlives_a_power_cut[True]",
)
def what_can_be_repeated_is_not_synced(patch: Patch) -> None:
    repeated = Database._repeated

    def unsynced(
        database: Database, work: Callable[[], object], *, gate: Gate, restarts: bool, **_durable: bool
    ) -> object:
        return repeated(database, work, durable=False, gate=gate, restarts=restarts)

    patch.setattr(Database, "_repeated", unsynced)


@killed_by(f"{LOST}::test_a_server_that_dies_while_a_statement_waits_is_waited_for")
def failures_of_the_client_library_are_mistakes_of_the_program(patch: Patch) -> None:
    patch.setattr(Connection, "is_broken_by", lambda connection, _error: False)


@killed_by(f"{TRANSACTIONS}::test_stores_are_opened_although_a_connection_is_lost_meanwhile[pg_backend_pid]")
def the_look_for_a_pooler_is_not_repeated(patch: Patch) -> None:
    patch.setattr(Database, "refuse_pooler", Database._refuse_pooler)


@killed_by(f"{TRANSACTIONS}::test_a_block_begins_anew_where_its_connection_was_lost_before")
def a_block_begins_once(patch: Patch) -> None:
    start = transactions.Transaction._start

    def once(transaction: transactions.Transaction) -> None:
        transaction._patient = False
        start(transaction)

    patch.setattr(transactions.Transaction, "_start", once)


def _without(statement: str, part: str) -> str:
    changed = statement.replace(part, "")
    assert changed != statement
    return changed


@pytest.mark.parametrize(("mutate", "test"), MUTANTS)
def test_a_wrong_store_is_found_out(
    assert_killed: Callable[[Mutate, str], None], mutate: Mutate, test: str, postgres: object
) -> None:
    """`postgres`: where there is no server, there is nothing to find out."""
    assert_killed(mutate, test)
