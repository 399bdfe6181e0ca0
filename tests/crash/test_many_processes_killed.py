"""Two scanners and four workers, each a process, on one database; one of them after the other is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.crowd import Crowd, kill_in_turns, kill_one_of_two_workers
from tests.crash.zygote import Zygote


@pytest.mark.parametrize("kills", [30, pytest.param(300, marks=pytest.mark.long)])
def test_no_task_is_ever_held_twice_and_nobody_finds_the_database_locked(
    tmp_path: Path, zygote: Zygote, kills: int
) -> None:
    kill_in_turns(Crowd(tmp_path, zygote), kills)


def test_what_a_killed_worker_held_is_done_by_another_at_once(tmp_path: Path, zygote: Zygote) -> None:
    kill_one_of_two_workers(Crowd(tmp_path, zygote))
