"""Processes that scan and deliver are killed at any point: nothing is lost, nothing is sent twice, nothing is made up.

The battery kills 200 processes, 1,000 with --long. Each kill lands at a call or return of any function inside of a
chosen phase, or anywhere; at a system call that changes the disk; or after some time. After each of them the database
is looked at as it was left: it is sound, what it calls delivered is at the destination, what was taken from the source
was delivered. In the end all files are there with their receipts, and none was ever made visible twice.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.crash.footage import Footage
from tests.crash.programs import Afterwards, stores_and_manager
from tests.crash.rounds import kill_in_rounds
from tests.crash.wreck import Judge, look
from tests.crash.zygote import Zygote

AFTERWARDS: list[Afterwards] = ["keep", "delete", "versions", "move"]
SHORT, LONG = 8, 40


@pytest.mark.parametrize(
    "seed", [*range(SHORT), *(pytest.param(n, marks=pytest.mark.long) for n in range(SHORT, LONG))]
)
def test_whatever_dies_nothing_is_lost_sent_twice_or_called_done_too_early(
    tmp_path: Path, zygote: Zygote, seed: int
) -> None:
    afterwards = AFTERWARDS[seed % len(AFTERWARDS)]
    kill_in_rounds(tmp_path, zygote, afterwards=afterwards, seed=seed, in_each_phase=3)


def test_what_dies_while_it_makes_the_database_leaves_one_that_can_be_used(tmp_path: Path, zygote: Zygote) -> None:
    draw = random.Random(0)
    unfinished = 0
    for number in range(40):
        folder = tmp_path / str(number)
        footage = Footage(folder, number)
        (folder / "backup").mkdir()
        footage.write("clip.mov")
        child = zygote.start(
            "run_until_killed",
            log=folder / "log",
            folder=str(folder),
            afterwards="keep",
            events=draw.randrange(1, 14_000),  # about as many as it takes to open one
        )
        assert child.wait() == -9, child.log.read_text()[-3_000:]
        unfinished += not look(folder).is_complete
        with stores_and_manager(folder, "keep") as (_, manager):
            manager.run_once()
        Judge(folder, footage, "keep").check_end(look(folder))
    assert unfinished >= 5, "too few died before the schema was there"
