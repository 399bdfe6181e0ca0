"""Rounds of the battery: a process begins, somebody changes files under it, and it is killed somewhere."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import attrs
import pytest
from tests.crash.arrivals import Arrivals
from tests.crash.databases import database_of
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import Mark, open_spans, read_marks
from tests.crash.programs import PHASES, Afterwards, stores_and_manager
from tests.crash.wreck import Judge, look
from tests.crash.zygote import HANG_GUARD, Child, Zygote

from media_watch_tasks.uploaders.directory import temporary

_PATIENCE = 6.0
"""Seconds after which a process is killed that has not come to where it was to die."""
Way = Literal["phase", "anywhere", "call", "time"]
"""At the n-th event inside of a phase, or anywhere; at the n-th system call of a thread; after some time."""
_WAYS: list[Way] = ["phase", "anywhere", "phase", "call", "phase", "time", "phase", "call", "phase", "anywhere"]
_KILLS = 25


def kill_in_rounds(folder: Path, zygote: Zygote, *, afterwards: Afterwards, seed: int, in_each_phase: int) -> None:
    """25 processes die, one after the other: nearly all where they were to die, and at least so many in each phase."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    battery = Battery(folder, afterwards, zygote, seed)
    battery.run(list(itertools.islice(itertools.cycle(_WAYS), _KILLS)))
    died_by, died_in = battery.died_by, battery.died_in
    # Two by the clock; and what had not come to the system call where it was to die.
    assert died_by["phase"] + died_by["anywhere"] + died_by["call"] >= _KILLS - 5, died_by
    assert died_by["call"] >= 2, died_by
    for phase in _phases(afterwards):
        assert died_in[phase] >= in_each_phase, f"too few died in {phase}: {died_in}"


def _phases(afterwards: Afterwards) -> list[str]:
    return [phase for phase in PHASES if phase != "action" or afterwards in {"delete", "move"}]


@attrs.define
class Battery:
    """One database, a source that changes all the time, and the processes that die on it."""

    folder: Path
    afterwards: Afterwards
    zygote: Zygote
    seed: int
    died_in: Counter[str] = attrs.field(factory=Counter)
    """How many kills landed in each phase."""
    died_by: Counter[str] = attrs.field(factory=Counter)
    """How many kills each way of killing made."""
    deaths_of: Counter[int] = attrs.field(factory=Counter)
    """How many processes died with a task in their hands."""

    def run(self, ways: list[Way]) -> None:
        """Kill as many processes, one after the other, and look at what each has left; then let one finish the work."""
        draw = random.Random(self.seed)
        footage = Footage(self.folder, self.seed, grow=self.afterwards in {"keep", "versions"})
        judge = Judge(self.folder, footage, self.afterwards)
        for name in FOLDERS:
            (self.folder / "backup" / name).mkdir(parents=True, exist_ok=True)
        with Arrivals(self.folder / "backup") as arrivals:
            aims = itertools.cycle(_phases(self.afterwards))
            for way in ways:
                self._round(way, next(aims) if way == "phase" else None, footage, draw)
                judge.check(look(self.folder))
            footage.finish()
            self._finish(footage)
            judge.check_end(look(self.folder))
            assert arrivals.events >= len(footage.versions)
        assert arrivals.twice() == {}, "the same file was made visible twice"

    def _round(self, way: Way, phase: str | None, footage: Footage, draw: random.Random) -> None:
        trace = self.folder / "trace"
        trace.unlink(missing_ok=True)
        for _ in range(draw.randrange(1, 4)):
            footage.change()
        events = round(10 ** draw.uniform(0, 3.5)) if way == "phase" else draw.randrange(60_000)
        child = self.zygote.start(
            "run_until_killed",
            log=self.folder / "log",
            folder=str(self.folder),
            afterwards=self.afterwards,
            phase=phase,
            events=events if way in {"phase", "anywhere"} else None,
            traced=way == "call",
        )
        tracer = None
        if way == "call":
            calls = database_of(self.folder).calls(acts=self.afterwards in {"delete", "move"})
            call = draw.choice(list(calls))
            tracer = _kill_at_call(child, call, draw.randrange(1, calls[call] + 1))
        patience = draw.uniform(0, 0.15) if way == "time" else _PATIENCE
        try:
            if self._meddle(child, footage, draw, patience):
                way = "time"
        finally:
            if tracer is not None:
                child.kill()
                tracer.wait(HANG_GUARD)
        assert child.wait() == -9, child.log.read_text()[-3_000:]
        self._count(way, read_marks(trace))

    def _meddle(self, child: Child, footage: Footage, draw: random.Random, patience: float) -> bool:
        """Change files until the process dies, or is killed when the patience (seconds) ends; True if it had to be."""
        began = time.monotonic()
        changes = 0
        while not child.ended_within(draw.uniform(0.002, 0.03)):
            if time.monotonic() - began > patience:
                child.kill()
                return True
            if changes < 20:
                footage.change()
                changes += 1
        return False

    def _count(self, way: Way, marks: list[Mark]) -> None:
        self.died_by[way] += 1
        self.died_in.update({span.phase for span in open_spans(marks)} or {"between"})
        held = {mark.detail.rsplit(":", 1)[0] for mark in marks if mark.phase == "claimed"}
        settled = {mark.detail.rsplit(":", 1)[0] for mark in marks if mark.phase == "settled"}
        self.deaths_of.update(int(claim.partition(":")[0]) for claim in held - settled)

    def _finish(self, footage: Footage) -> None:
        dead = look(self.folder).dead
        for task_id, reason in dead.items():
            # Two in company and three alone; at one of them the process may have died before it could say so.
            assert reason == "crashed"
            assert self.deaths_of[task_id] >= 4, f"task {task_id} is dead and was no process' end"
        with stores_and_manager(self.folder, self.afterwards) as (_, manager):
            manager.retry()
            # A file that grew under its name shows in no stamp of its folder: a full listing finds it, the 24th.
            for _ in range(26):
                manager.run_once()
            until = time.monotonic() + HANG_GUARD
            while sum(manager.counts()[state] for state in ("pending", "failed", "uploading")):
                assert time.monotonic() < until, f"not done: {manager.counts()}"
                time.sleep(0.02)
                manager.run_once()
            assert manager.counts()["dead"] == 0, manager.tasks(states=("dead",))
        self._sweep(footage)

    def _sweep(self, footage: Footage) -> None:
        """Unfinished copies are gone with the next attempt at the same version, or with any a day later."""
        done = {delivery.key[:16] for delivery in look(self.folder).deliveries}
        left = {path.name.split("-")[1] for path in (self.folder / "backup").rglob(".mwt-*")}
        assert left.isdisjoint(done), "an unfinished copy was left beside the finished one"
        with (
            patch.object(temporary, "_MAX_AGE_NS", -1),
            stores_and_manager(self.folder, self.afterwards) as (_, manager),
        ):
            footage.bring_one_to_each_folder()
            manager.run_once()
        assert list((self.folder / "backup").rglob(".mwt-*")) == []


def _kill_at_call(child: Child, calls: str, number: int) -> subprocess.Popen[bytes]:
    """Let strace kill the process when one of its threads makes the n-th of these calls."""
    inject = f"inject={calls}:signal=SIGKILL:when={number}"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject, "-p", str(child.pid)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
