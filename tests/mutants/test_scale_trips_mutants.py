"""Wrong trips to the server, each of which a test of theirs finds out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.stores.postgres import _trips, task_enqueue
from media_watch_tasks.stores.postgres.connection import Connection, Statement
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import Gate
from media_watch_tasks.stores.postgres.presence import Presence
from media_watch_tasks.stores.postgres.transaction import Transaction

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
TRIPS = "tests/scale/test_postgres_trips.py::"
STATEMENTS = "tests/scale/test_scale_statements.py::"
LOST = TRIPS + "test_an_enqueue_whose_answer_was_lost_says_what_it_did"
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(LOST + "[True-1]", LOST + "[True-3]")
def a_lost_answer_is_a_lost_enqueue(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(task_enqueue.PostgresTaskEnqueue, "_added_before", lambda *_: [])


@killed_by(TRIPS + "test_tasks_of_another_one_are_not_taken_for_those_of_a_lost_answer")
def what_is_there_was_enqueued_by_the_lost_one(patch: pytest.MonkeyPatch) -> None:
    _replace(patch, "_ADDED_BEFORE", "AND task.enqueued_ns = $4", "AND task.enqueued_ns <= $4 + 1000000000000")


@killed_by(TRIPS + "test_new_files_do_not_go_by_what_was_before_they_had_waited_in_the_gate")
def new_files_wait_in_the_gate_when_it_is_too_late(patch: pytest.MonkeyPatch) -> None:
    def at_once(database: Database, sql: str, params: Any) -> list[tuple[Any, ...]]:
        connection = database.connect()
        answers: list[Any] = []
        gate = Statement(f"SELECT FROM {Gate.SHARED.sql(database.schema)}")
        connection.together([Statement(sql, params), gate], answers)
        connection.close()
        rows: list[tuple[Any, ...]] = answers[0].rows
        return rows

    patch.setattr(Database, "at_once", at_once)


@killed_by(STATEMENTS + "test_new_files_are_looked_up_one_by_one[_ADD_PLAIN]")
def files_of_a_batch_are_looked_up_together(patch: pytest.MonkeyPatch) -> None:
    look = (
        "WHERE (SELECT known.id FROM task AS known "
        "WHERE known.route = $1 AND known.asset_id = given.asset_id LIMIT 1) > 0"
    )
    together = "JOIN task AS known ON known.route = $1 AND known.asset_id = given.asset_id"
    _replace(patch, "_ADD_PLAIN", look, together)


@killed_by(STATEMENTS + "test_the_trips_to_the_server_do_not_depend_on_the_batch[10]")
def new_files_take_a_transaction_of_several_trips(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(task_enqueue.PostgresTaskEnqueue, "at_once", lambda *_: None)


@killed_by("tests/scale/test_scale_waking.py::test_announcements_that_follow_each_other_closely_are_one")
def everybody_is_told_though_nothing_is_new(patch: pytest.MonkeyPatch) -> None:
    at_once = Database.at_once

    def telling(database: Database, sql: str, params: Any) -> list[tuple[Any, ...]]:
        if "pg_notify" in sql:
            database.execute("SELECT pg_notify($1, '')", (database.channel,))
        return at_once(database, sql, params)

    patch.setattr(Database, "at_once", telling)


@killed_by(TRIPS + "test_an_answer_that_forbids_the_commit_takes_all_back")
def the_commit_waits_for_no_answer(patch: pytest.MonkeyPatch) -> None:
    commit = Transaction._commit

    def commit_at_once(transaction: Transaction) -> None:
        transaction._steps = [step._replace(then=None) for step in transaction._steps]
        commit(transaction)

    patch.setattr(Transaction, "_commit", commit_at_once)


@killed_by(
    TRIPS + "test_nothing_behind_one_that_fails_is_run",
    TRIPS + "test_what_nobody_waits_for_goes_with_the_next_statement",
)
def each_statement_has_a_trip_of_its_own(patch: pytest.MonkeyPatch) -> None:
    together = Connection.together

    def one_by_one(connection: Connection, statements: Sequence[Statement], answers: list[Any]) -> None:
        for statement in statements:
            connection.command("SELECT 1")
            together(connection, [statement], answers)

    patch.setattr(Connection, "together", one_by_one)


@killed_by(TRIPS + "test_the_server_keeps_a_limited_number_of_statements")
def the_server_keeps_every_statement(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_trips, "_PREPARED", 10**6)


@killed_by(
    "tests/scale/test_postgres_transactions.py::"
    "test_stores_are_opened_although_a_connection_is_lost_meanwhile[pg_advisory_lock(]"
)
def a_connection_that_holds_no_lock_yet_is_not_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(cast("Any", Database.__init__).__kwdefaults__, "away_after", 2.0)  # what is in vain ends soon
    revive = Presence.revive
    patch.setattr(Presence, "revive", lambda presence: revive(presence) if presence._held else ())


def _replace(patch: pytest.MonkeyPatch, name: str, part: str, by: str) -> None:
    statement = getattr(task_enqueue, name)
    changed = statement.replace(part, by)
    assert changed != statement
    patch.setattr(task_enqueue, name, changed)


@MUTANTS.each()
def test_a_wrong_trip_is_found_out(mutant: Mutant, test: str, assert_killed: Callable[[Mutant, str], None]) -> None:
    assert_killed(mutant, test)
