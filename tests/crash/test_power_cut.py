"""The power fails while files are scanned, delivered and taken from the source: 100 times, 500 with --long.

The database may forget what was not synced, and it may be torn there. It is never corrupt; no file counts as seen whose
task is forgotten; no file was taken from the source whose delivery is forgotten; what was forgotten is found again.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import attrs
import pytest
from tests.crash.arrivals import Arrivals
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import Mark, read_marks
from tests.crash.power import FILES, cut_power
from tests.crash.programs import Afterwards, stores_and_manager
from tests.crash.wreck import Judge, Wreck, look
from tests.crash.zygote import HANG_GUARD, Zygote

from media_watch_tasks.model.tasks import TaskState

KINDS: list[tuple[Afterwards, bool]] = [("delete", False), ("keep", True), ("move", False), ("keep", False)]
"""What becomes of delivered files, and whether every commit is synced (else those alone that must be)."""
SHORT, LONG = 4, 20
CUTS = 25


@attrs.define
class Cuts:
    """One database, and the power cuts that it lives through."""

    folder: Path
    zygote: Zygote
    afterwards: Afterwards
    full: bool
    seed: int
    done: Counter[str] = attrs.field(factory=Counter)
    """In how many cuts writes were dropped, torn, kept unsynced; and commits forgotten that had been reported."""

    def run(self, cuts: int) -> None:
        draw = random.Random(self.seed)
        footage = Footage(self.folder, self.seed)
        judge = Judge(self.folder, footage, self.afterwards)
        for name in FOLDERS:
            (self.folder / "backup" / name).mkdir(parents=True, exist_ok=True)
        with Arrivals(self.folder / "backup") as arrivals:
            for _ in range(cuts):
                self._cut(footage, draw)
                wreck = look(self.folder)
                judge.check(wreck)
                self._remembers(wreck)
            self._finish()
            judge.check_end(look(self.folder))
        assert arrivals.twice() == {}

    def _cut(self, footage: Footage, draw: random.Random) -> None:
        (self.folder / "trace").unlink(missing_ok=True)
        for _ in range(draw.randrange(1, 4)):
            footage.change()
        before = {name: (self.folder / name).read_bytes() for name in FILES if (self.folder / name).exists()}
        child = self.zygote.start(
            "run_until_power_cut",
            log=self.folder / "log",
            folder=str(self.folder),
            afterwards=self.afterwards,
            cut=round(10 ** draw.uniform(0.5, 3.2)),
            full=self.full,
            checkpoint=draw.choice((10, 40, 1_000)),
        )
        began = time.monotonic()
        while not child.ended_within(draw.uniform(0.002, 0.03)):
            assert time.monotonic() - began < HANG_GUARD
            footage.change()
        assert child.wait() == -9, child.log.read_text()[-3_000:]
        damage = cut_power(self.folder, before, draw)
        for what, count in attrs.asdict(damage).items():
            self.done[what] += count > 0

    def _remembers(self, wreck: Wreck) -> None:
        """Compare with what the process had been told."""
        marks = read_marks(self.folder / "trace")
        delivered = {each.task_id for each in wreck.deliveries}
        told = {int(mark.detail.split(":")[0]) for mark in marks if _is_delivery(mark)}
        queued = {int(mark.detail) for mark in marks if mark.phase == "enqueued"}
        forgotten = (told - delivered) | (queued - wreck.tasks)
        self.done["forgotten"] += bool(forgotten)
        assert not (self.full and forgotten), f"commits that were synced are forgotten: {forgotten}"

    def _finish(self) -> None:
        with stores_and_manager(self.folder, self.afterwards) as (_, manager):
            until = time.monotonic() + HANG_GUARD
            manager.run_once()
            while sum(manager.counts()[state] for state in TaskState if state.is_live):
                assert time.monotonic() < until, f"not done: {manager.counts()}"
                time.sleep(0.02)
                manager.run_once()
            assert manager.counts()[TaskState.DEAD] == 0


def _is_delivery(mark: Mark) -> bool:
    return mark.phase == "settled" and mark.detail.endswith(":Delivered")


@pytest.mark.parametrize(
    "seed", [*range(SHORT), *(pytest.param(n, marks=pytest.mark.long) for n in range(SHORT, LONG))]
)
def test_a_power_cut_costs_nothing_but_work(tmp_path: Path, zygote: Zygote, seed: int) -> None:
    afterwards, full = KINDS[seed % len(KINDS)]
    cuts = Cuts(tmp_path, zygote, afterwards, full, seed)
    cuts.run(CUTS)
    # Without these the battery would have proved nothing.
    assert cuts.done["dropped"] >= CUTS // 3, cuts.done
    assert cuts.done["torn"] >= 3, cuts.done
    assert cuts.done["kept"] >= CUTS // 5, cuts.done
    if afterwards == "keep" and not full:
        assert cuts.done["forgotten"] >= 2, cuts.done
