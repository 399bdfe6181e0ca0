"""Two scanners and four workers, each a process, on one database; one of them after the other is killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.arrivals import Arrivals
from tests.crash.claims import double_claims, held_claims
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import open_spans, read_marks
from tests.crash.wreck import Judge, look
from tests.crash.zygote import HANG_GUARD, Child, Zygote

from media_watch_tasks import SqliteStores
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.stores.relational.task_codec import SUCCESS

SCANNERS, WORKERS = 2, 4


class Crowd:
    """Processes that work side by side, and die."""

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        self.folder = folder
        self._zygote = zygote
        self._living: list[tuple[str, Child]] = []
        self.killed_ns: dict[int, int] = {}
        self.footage = Footage(folder, seed=1)
        for name in FOLDERS:
            (folder / "backup" / name).mkdir(parents=True, exist_ok=True)
        for _ in range(6):
            self.footage.change()

    def start(self, kind: str, **arguments: object) -> Child:
        call = f"{kind}_until_killed"
        child = self._zygote.start(call, log=self.folder / "log", folder=str(self.folder), **arguments)
        self._living.append((kind, child))
        return child

    def kill(self, child: Child) -> None:
        assert not child.ended_within(0), f"it had ended by itself: {self.said()[-3_000:]}"
        self.killed_ns[child.pid] = time.monotonic_ns()
        child.kill()
        assert child.wait() == -9
        self._living = [each for each in self._living if each[1] is not child]

    def kill_one_and_replace_it(self, draw: random.Random) -> None:
        kind, child = draw.choice(self._living)
        self.kill(child)
        self.start(kind)

    def kill_all(self) -> None:
        for _, child in list(self._living):
            self.kill(child)

    def said(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


def wait_for(condition: Callable[[], bool], *, what: str) -> None:
    until = time.monotonic() + HANG_GUARD
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.005)


def counts(stores: SqliteStores) -> dict[str, int]:
    return {str(state): count for state, count in stores.tasks.counts().items()}


def is_done(crowd: Crowd, stores: SqliteStores) -> bool:
    """Nothing is live, and every file was delivered as it is now."""
    if any(stores.tasks.counts()[state] for state in TaskState if state.is_live):
        return False
    delivered = set(stores.database.execute("SELECT asset_id, size, mtime_ns FROM task WHERE state = ?", (SUCCESS,)))
    latest = [versions[-1] for versions in crowd.footage.versions.values()]
    return all((version.path.encode(), version.size, version.mtime_ns) in delivered for version in latest)


@pytest.mark.parametrize("kills", [30, pytest.param(300, marks=pytest.mark.long)])
def test_no_task_is_ever_held_twice_and_nobody_finds_the_database_locked(
    tmp_path: Path, zygote: Zygote, kills: int
) -> None:
    draw = random.Random(kills)
    crowd = Crowd(tmp_path, zygote)
    judge = Judge(tmp_path, crowd.footage, "keep")
    with Arrivals(tmp_path / "backup") as arrivals, SqliteStores(tmp_path / "watch.db") as stores:
        for kind, number in (("scan", SCANNERS), ("process", WORKERS)):
            for _ in range(number):
                crowd.start(kind)
        for _ in range(kills):
            until = time.monotonic() + draw.uniform(0.01, 0.15)
            while time.monotonic() < until:
                crowd.footage.change()
                time.sleep(0.01)
            crowd.kill_one_and_replace_it(draw)
        assert double_claims(held_claims(read_marks(tmp_path / "trace"), crowd.killed_ns)) == []
        wait_for(lambda: is_done(crowd, stores), what="all to be done")
        crowd.kill_all()
        assert stores.tasks.counts()[TaskState.DEAD] == 0
    judge.check_end(look(tmp_path))
    assert arrivals.twice() == {}
    marks = read_marks(tmp_path / "trace")
    held = held_claims(marks, crowd.killed_ns)
    assert double_claims(held) == []
    assert len({mark.pid for mark in marks if mark.phase == "claimed"}) >= WORKERS, "too few have worked"
    assert len({mark.pid for mark in marks if mark.phase == "scan"}) >= SCANNERS, "too few have scanned"
    again = sum(len(claims) > 1 for claims in held.values())
    # Without any the battery would have proved nothing; how many there are is for the kernel to say.
    assert again >= max(1, kills // 30), f"only {again} tasks were taken from the dead"
    said = crowd.said()
    assert "locked" not in said.lower()
    assert "Traceback" not in said, said[-3_000:]


def test_what_a_killed_worker_held_is_done_by_another_at_once(tmp_path: Path, zygote: Zygote) -> None:
    crowd = Crowd(tmp_path, zygote)
    hanging = 3  # as many as a worker has hands
    with SqliteStores(tmp_path / "watch.db") as stores:
        scanner = crowd.start("scan")
        wait_for(lambda: counts(stores)["pending"] == len(crowd.footage.versions), what="the scan")
        crowd.kill(scanner)
        doomed = crowd.start("process", hang=True)
        wait_for(
            lambda: sum(span.phase == "hanging" for span in open_spans(read_marks(tmp_path / "trace"))) == hanging,
            what="work that hangs",
        )
        crowd.start("process")
        wait_for(lambda: counts(stores)["success"] == len(crowd.footage.versions) - hanging, what="the rest")
        survivor_looked = len(read_marks(tmp_path / "trace"))
        time.sleep(0.2)
        # A worker that lives keeps its work, however often another asks.
        assert counts(stores)["uploading"] == hanging
        assert len(read_marks(tmp_path / "trace")) >= survivor_looked
        crowd.kill(doomed)
        # The leases run for ten minutes, ten times as long as this waits.
        wait_for(lambda: counts(stores)["success"] == len(crowd.footage.versions), what="what the dead one held")
        crowd.kill_all()
    wreck = look(tmp_path)
    assert sorted(wreck.crashes.values()) == [1] * hanging
    Judge(tmp_path, crowd.footage, "keep").check_end(wreck)
    assert double_claims(held_claims(read_marks(tmp_path / "trace"), crowd.killed_ns)) == []
