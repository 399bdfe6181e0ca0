"""Wrong PostgreSQL stores, each of which a test of theirs finds out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult
from media_watch_tasks.stores.postgres import server_clock, task_claim, task_enqueue
from media_watch_tasks.stores.postgres import transaction as transactions
from media_watch_tasks.stores.postgres.pool import Pool
from media_watch_tasks.stores.postgres.presence import Presence

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
TRANSACTIONS = "tests/scale/test_postgres_transactions.py"
PRESENCE = "tests/scale/test_postgres_presence.py"
SIDE_BY_SIDE = "tests/scale/test_postgres_side_by_side.py"
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


@killed_by(f"{PRESENCE}::test_a_restart_of_the_server_is_nobodys_death")
def a_restart_kills_everybody(patch: Patch) -> None:
    patch.setattr(Presence, "session", property(lambda _self: ""))


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


@pytest.mark.parametrize(("mutate", "test"), MUTANTS)
def test_a_wrong_store_is_found_out(
    assert_killed: Callable[[Mutate, str], None], mutate: Mutate, test: str, postgres: object
) -> None:
    """`postgres`: where there is no server, there is nothing to find out."""
    assert_killed(mutate, test)
