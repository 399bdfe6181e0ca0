"""Mistakes that only a crash shows, each of which a small battery on PostgreSQL finds out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
IN_PROCESSES = Path(__file__).with_name("crash_mutants.py")
KILLED = "tests/crash/test_scale_postgres_killed.py"
CHAIN = f"{KILLED}::test_whatever_dies_nothing_is_lost_sent_twice_or_called_done_too_early"
CROWD = f"{KILLED}::test_two_scanners_and_four_workers_that_die_lose_nothing_and_share_no_task"


@pytest.mark.parametrize(
    ("mutant", "battery"),
    [
        ("sources_are_deleted_before_the_settlement", f"{CHAIN}[0]"),
        ("receipts_come_before_the_bytes", f"{CHAIN}[1]"),
        ("files_count_as_seen_before_their_tasks_are_written", f"{CHAIN}[0]"),
        ("claims_on_postgres_take_what_others_hold", f"{CROWD}[40-delete]"),
    ],
)
def test_a_mistake_in_the_processes_is_found_out(
    assert_killed: Callable[[Callable[[pytest.MonkeyPatch], None], str], None], mutant: str, battery: str
) -> None:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        patch.setenv("CRASH_MUTANT", f"{IN_PROCESSES}:{mutant}")

    assert_killed(mutate, battery)
