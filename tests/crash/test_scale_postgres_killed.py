"""Processes that scan and deliver on PostgreSQL are killed at any point, alone and beside others: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.crowd import Crowd, kill_in_turns, kill_one_of_two_workers
from tests.crash.databases import OnPostgres
from tests.crash.programs import Afterwards
from tests.crash.rounds import kill_in_rounds
from tests.crash.zygote import Zygote
from tests.scale.postgres_server import PostgresServer

AFTERWARDS: list[Afterwards] = ["delete", "versions", "move", "keep"]
SHORT, LONG = 2, 40


@pytest.fixture(autouse=True)
def _on_postgres(postgres: PostgresServer, tmp_path: Path) -> None:
    OnPostgres(postgres.dsn, postgres.new_schema()).tell(tmp_path)


@pytest.mark.parametrize(
    "seed", [*range(SHORT), *(pytest.param(n, marks=pytest.mark.long) for n in range(SHORT, LONG))]
)
def test_whatever_dies_nothing_is_lost_sent_twice_or_called_done_too_early(
    tmp_path: Path, zygote: Zygote, seed: int
) -> None:
    afterwards = AFTERWARDS[seed % len(AFTERWARDS)]
    kill_in_rounds(tmp_path, zygote, afterwards=afterwards, seed=seed, in_each_phase=2)


@pytest.mark.parametrize(
    ("kills", "afterwards"),
    [
        (40, "delete"),
        pytest.param(1_000, "delete", marks=[pytest.mark.long, pytest.mark.timeout(1_200)]),
        pytest.param(300, "keep", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
def test_two_scanners_and_four_workers_that_die_lose_nothing_and_share_no_task(
    tmp_path: Path, zygote: Zygote, kills: int, afterwards: Afterwards
) -> None:
    kill_in_turns(Crowd(tmp_path, zygote, afterwards=afterwards), kills, afterwards=afterwards)


def test_what_a_killed_worker_held_is_done_by_another_at_once(tmp_path: Path, zygote: Zygote) -> None:
    kill_one_of_two_workers(Crowd(tmp_path, zygote))
