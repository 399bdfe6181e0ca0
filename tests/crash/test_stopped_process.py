"""A process that sleeps past its lease, as a suspended laptop or a container under load does, and then goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.crash.arrivals import Arrivals
from tests.crash.deliveries import deliver_all
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import read_marks
from tests.crash.programs import STOPS, stores_and_manager
from tests.crash.wreck import Judge, look
from tests.crash.zygote import HANG_GUARD, Child, Zygote

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import ClaimRequest
from media_watch_tasks.model.uploads import UploadReceipt

LEASE = 0.3
HOUR_NS = 3_600 * NANOSECONDS


def wait_until_stopped(child: Child) -> None:
    until = time.monotonic() + HANG_GUARD
    while Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < until, "it never stopped"
        assert not child.ended_within(0.002), child.log.read_text()


@pytest.fixture
def footage(tmp_path: Path) -> Footage:
    footage = Footage(tmp_path, seed=0)
    for name in FOLDERS:
        (tmp_path / "backup" / name).mkdir(parents=True, exist_ok=True)
    return footage


@pytest.mark.parametrize("earlier", [0, 1], ids=["first version", "later version"])
@pytest.mark.parametrize("at", [at for at in STOPS if at != "in the middle of a page"])
def test_worker_that_slept_past_its_lease_overwrites_and_settles_nothing(
    tmp_path: Path, zygote: Zygote, footage: Footage, at: str, earlier: int
) -> None:
    with Arrivals(tmp_path / "backup") as arrivals:
        for _ in range(earlier):
            footage.write("clip.mov")
            deliver_all(tmp_path, lease=LEASE)
        footage.write("clip.mov")
        with stores_and_manager(tmp_path, "keep") as (_, manager):
            manager.scan_and_enqueue_new()
        call = "stop_and_go_on"
        sleeper = zygote.start(
            call, log=tmp_path / "log", folder=str(tmp_path), at=at, lease=LEASE, scan=False
        )  # fmt: skip
        wait_until_stopped(sleeper)
        footage.write("clip.mov")
        deliver_all(tmp_path, lease=LEASE)
        newest = footage.versions["clip.mov"][-1].content
        assert (tmp_path / "backup" / "clip.mov").read_bytes() == newest
        sleeper.send(signal.SIGCONT)
        said = sleeper.finish()
    assert (tmp_path / "backup" / "clip.mov").read_bytes() == newest
    assert "succeeded=0" in said
    assert "lease_lost=1" in said
    settled = [mark for mark in read_marks(tmp_path / "trace") if mark.phase == "settled" and mark.pid == sleeper.pid]
    assert settled == []
    assert arrivals.twice() == {}
    wreck = look(tmp_path)
    assert not wreck.dead
    Judge(tmp_path, footage, "keep").check_end(wreck)


@pytest.mark.parametrize("at", ["before the copy", "after the last question", "before the settlement"])
def test_worker_that_slept_settles_nothing_of_the_one_that_has_its_task_now(
    tmp_path: Path, zygote: Zygote, footage: Footage, at: str
) -> None:
    footage.write("clip.mov")
    with stores_and_manager(tmp_path, "keep") as (stores, manager):
        manager.scan_and_enqueue_new()
        sleeper = zygote.start(
            "stop_and_go_on", log=tmp_path / "log", folder=str(tmp_path), at=at, lease=LEASE,
            scan=False,
        )  # fmt: skip
        wait_until_stopped(sleeper)
        (task,) = manager.tasks()
        request = ClaimRequest(
            worker_id=stores.tasks.register_worker(), routes=(task.route,), limit=1, lease_ns=HOUR_NS,
            longest_delay_ns=HOUR_NS, force=True,
        )  # fmt: skip
        until = time.monotonic() + HANG_GUARD
        while not (claims := stores.tasks.claim_batch(request)):
            assert time.monotonic() < until
            time.sleep(0.02)
        sleeper.send(signal.SIGCONT)
        assert "lease_lost=1" in sleeper.finish()
        assert manager.tasks()[0].state == "uploading"
        delivered = Delivered(ref=claims[0].ref, receipt=UploadReceipt("by the other one"))
        assert stores.tasks.settle([delivered]).settled == {task.id}


def test_scanner_that_slept_past_its_lease_sends_nothing_back_in_time(
    tmp_path: Path, zygote: Zygote, footage: Footage
) -> None:
    with Arrivals(tmp_path / "backup") as arrivals:
        footage.write("clip.mov")
        sleeper = zygote.start(
            "stop_and_go_on", log=tmp_path / "log", folder=str(tmp_path),
            at="in the middle of a page", lease=LEASE, scan=True,
        )  # fmt: skip
        wait_until_stopped(sleeper)
        footage.write("clip.mov")
        # It saw the first version, and holds the right to scan until its lease ends.
        deliver_all(tmp_path, lease=LEASE)
        sleeper.send(signal.SIGCONT)
        said = sleeper.finish()
        assert "the scan lease was lost to another scanner" in said
        assert len(look(tmp_path).tasks) == 1, "a scanner that has lost its lease has queued what it saw before"
        deliver_all(tmp_path, lease=LEASE)
    newest = footage.versions["clip.mov"][-1]
    assert (tmp_path / "backup" / "clip.mov").read_bytes() == newest.content
    assert arrivals.twice() == {}
    assert arrivals.events == 1, "the version that was replaced before it was sent was sent after it"
    Judge(tmp_path, footage, "keep").check_end(look(tmp_path))
