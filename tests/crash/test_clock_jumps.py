"""The wall clock of the machine is set a day ahead and back again, all the time: no lease ends by it."""

from __future__ import annotations

from pathlib import Path

from tests.crash.company import services
from tests.crash.databases import OnSqlite
from tests.crash.wreck import look
from tests.crash.zygote import Zygote


def test_a_clock_that_jumps_by_a_day_ends_no_lease(tmp_path: Path, zygote: Zygote) -> None:
    with services(tmp_path, zygote, OnSqlite(tmp_path), lease=60.0, jumping=True) as serving:
        for _ in range(10):
            serving.wait_for_work()
    assert len(serving.marks("jumped")) >= 20, "the fault has struck"
    assert not any(look(tmp_path).crashes.values()), "nobody has died, and nobody was taken for dead"
