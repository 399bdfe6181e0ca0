"""Two scanners and four workers, each a process, on one database; they die and are replaced."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
from tests.crash.arrivals import Arrivals
from tests.crash.claims import double_claims, held_claims
from tests.crash.databases import Stores, database_of
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import open_spans, read_marks
from tests.crash.programs import Afterwards
from tests.crash.wreck import Judge, look
from tests.crash.zygote import HANG_GUARD, Child, Zygote

from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.stores.relational.task_codec import STATES, SUCCESS

__all__ = [
    "SCANNERS",
    "WORKERS",
    "Crowd",
    "assert_counts_are_exact",
    "counts",
    "is_done",
    "kill_in_turns",
    "kill_one_of_two_workers",
    "wait_for",
]

SCANNERS, WORKERS = 2, 4
_PHASES = {"scan": ("scan", None), "process": ("upload", "settle", "action", None)}


@attrs.frozen
class Member:
    """A process that lives."""

    kind: str
    child: Child
    doomed: bool
    """It will kill itself somewhere."""


class Crowd:
    """Processes that work side by side, and die."""

    def __init__(self, folder: Path, zygote: Zygote, *, afterwards: Afterwards = "keep") -> None:
        self.folder = folder
        self._zygote = zygote
        self._afterwards = afterwards
        self._living: list[Member] = []
        self.killed_ns: dict[int, int] = {}
        self.died_by: Counter[str] = Counter()
        self.footage = Footage(folder, seed=1)
        for name in FOLDERS:
            (folder / "backup" / name).mkdir(parents=True, exist_ok=True)
        for _ in range(6):
            self.footage.change()

    def start(self, kind: str, *, draw: random.Random | None = None, **arguments: object) -> Child:
        """Start a process; with `draw` most of them kill themselves at some event, of a phase or anywhere."""
        doomed = draw is not None and draw.random() < 0.7
        if doomed:
            assert draw is not None
            arguments |= {"phase": draw.choice(_PHASES[kind]), "events": round(10 ** draw.uniform(1.5, 4))}
        child = self._zygote.start(
            f"{kind}_until_killed",
            log=self.folder / "log",
            folder=str(self.folder),
            afterwards=self._afterwards,
            **arguments,
        )
        self._living.append(Member(kind, child, doomed))
        return child

    def kill(self, child: Child) -> None:
        assert not child.ended_within(0), f"it had ended by itself: {self.said()[-3_000:]}"
        self.killed_ns[child.pid] = time.monotonic_ns()
        child.kill()
        assert child.wait() == -9
        self._living = [each for each in self._living if each.child is not child]

    def replace_the_dead(self, draw: random.Random) -> int:
        """Start others for those that have killed themselves; how many there were."""
        dead = [member for member in self._living if member.child.ended_within(0)]
        for member in dead:
            assert member.doomed, f"it had ended by itself: {self.said()[-3_000:]}"
            assert member.child.wait() == -9, self.said()[-3_000:]
            self._living.remove(member)
            self.died_by["itself"] += 1
            self.start(member.kind, draw=draw)
        return len(dead)

    def kill_one_and_replace_it(self, draw: random.Random) -> None:
        member = draw.choice([each for each in self._living if not each.child.ended_within(0)])
        if not member.doomed:
            # One that may just have killed itself has no connections any more before it is seen to have ended, and
            # another one has its work by then: until when it lived at least its last mark says.
            self.killed_ns[member.child.pid] = time.monotonic_ns()
        member.child.kill()
        assert member.child.wait() == -9
        self._living.remove(member)
        self.died_by["time"] += 1
        self.start(member.kind, draw=draw)

    def calm_down(self) -> None:
        """From here on nobody dies: those that are going to are replaced by others."""
        for member in [each for each in self._living if each.doomed]:
            member.child.kill()
            assert member.child.wait() == -9
            self._living.remove(member)
            self.start(member.kind)

    def kill_all(self) -> None:
        for member in list(self._living):
            self.kill(member.child)

    def said(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def last_sign_ns(self) -> dict[int, int]:
        """Until when each dead process lived at least."""
        return {mark.pid: mark.at_ns for mark in read_marks(self.folder / "trace")} | self.killed_ns


def wait_for(condition: Callable[[], bool], *, what: str, longer: float = 0.0) -> None:
    """Wait until it holds; `longer`: seconds more than usual before that counts as hung."""
    until = time.monotonic() + HANG_GUARD + longer
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.005)


def counts(stores: Stores) -> dict[str, int]:
    return {str(state): count for state, count in stores.tasks.counts().items()}


def assert_counts_are_exact(stores: Stores) -> None:
    """What the store says is what stands in the table."""
    found: dict[int, int] = dict(stores.database.execute("SELECT state, count(*) FROM task GROUP BY state"))
    said = stores.tasks.counts()
    assert {state: said[state] for state in TaskState} == {state: found.get(n, 0) for n, state in enumerate(STATES)}


def is_done(footage: Footage, stores: Stores) -> bool:
    """Nothing is live, no after-upload action is owed, and every file was delivered as it is now."""
    if stores.database.execute("SELECT 1 FROM task_action LIMIT 1") or any(
        stores.tasks.counts()[state] for state in TaskState if state.is_live
    ):
        return False
    delivered = set(stores.database.execute("SELECT asset_id, size, mtime_ns FROM task WHERE state = ?", (SUCCESS,)))
    latest = [versions[-1] for versions in footage.versions.values()]
    return all((version.path.encode(), version.size, version.mtime_ns) in delivered for version in latest)


def kill_in_turns(crowd: Crowd, kills: int, *, afterwards: Afterwards = "keep") -> None:
    """So many die, most at a point of their work that chance has chosen, the others by the clock; all is done then."""
    folder = crowd.folder
    draw = random.Random(kills)
    with Arrivals(folder / "backup") as arrivals, database_of(folder).open() as stores:
        for kind, number in (("scan", SCANNERS), ("process", WORKERS)):
            for _ in range(number):
                crowd.start(kind, draw=draw)
        deaths = 0
        while deaths < kills:
            until = time.monotonic() + draw.uniform(0.05, 0.3)
            while time.monotonic() < until and deaths < kills:
                crowd.footage.change()
                time.sleep(0.01)
                deaths += crowd.replace_the_dead(draw)
            if deaths < kills:
                crowd.kill_one_and_replace_it(draw)
                deaths += 1
        crowd.calm_down()
        double = double_claims(held_claims(read_marks(folder / "trace"), crowd.last_sign_ns()))
        assert double == [], f"{double} {crowd.killed_ns}"
        # Those that died have left much to do.
        wait_for(lambda: is_done(crowd.footage, stores), what="all to be done", longer=kills / 2)
        crowd.kill_all()
        assert stores.tasks.counts()[TaskState.DEAD] == 0
        assert_counts_are_exact(stores)
    Judge(folder, crowd.footage, afterwards).check_end(look(folder))
    assert arrivals.twice() == {}
    held = held_claims(read_marks(folder / "trace"), crowd.last_sign_ns())
    double = double_claims(held)
    assert double == [], f"{double} {crowd.killed_ns}"
    again = sum(len(claims) > 1 for claims in held.values())
    # Without any the battery would have proved nothing; how many there are is for the kernel to say.
    assert again >= max(1, kills // 30), f"only {again} tasks were taken from the dead"
    assert crowd.died_by["itself"] >= kills // 4, crowd.died_by
    assert crowd.died_by["time"] >= 1, crowd.died_by
    marks = read_marks(folder / "trace")
    assert len({mark.pid for mark in marks if mark.phase == "claimed"}) >= WORKERS, "too few have worked"
    assert len({mark.pid for mark in marks if mark.phase == "scan"}) >= SCANNERS, "too few have scanned"
    said = crowd.said()
    assert "locked" not in said.lower()
    assert "Traceback" not in said, said[-3_000:]


def kill_one_of_two_workers(crowd: Crowd) -> None:
    """What it held is done by the other at once, and not before."""
    folder = crowd.folder
    hanging = 3  # as many as a worker has hands
    with database_of(folder).open() as stores:
        scanner = crowd.start("scan")
        wait_for(lambda: counts(stores)["pending"] == len(crowd.footage.versions), what="the scan")
        crowd.kill(scanner)
        doomed = crowd.start("process", hang=True)
        wait_for(
            lambda: sum(span.phase == "hanging" for span in open_spans(read_marks(folder / "trace"))) == hanging,
            what="work that hangs",
        )
        crowd.start("process")
        wait_for(lambda: counts(stores)["success"] == len(crowd.footage.versions) - hanging, what="the rest")
        survivor_looked = len(read_marks(folder / "trace"))
        time.sleep(0.2)
        # A worker that lives keeps its work, however often another asks.
        assert counts(stores)["uploading"] == hanging
        assert len(read_marks(folder / "trace")) >= survivor_looked
        crowd.kill(doomed)
        # The leases run for ten minutes, ten times as long as this waits.
        wait_for(lambda: counts(stores)["success"] == len(crowd.footage.versions), what="what the dead one held")
        crowd.kill_all()
    wreck = look(folder)
    assert sorted(wreck.crashes.values()) == [1] * hanging
    Judge(folder, crowd.footage, "keep").check_end(wreck)
    assert double_claims(held_claims(read_marks(folder / "trace"), crowd.killed_ns)) == []
