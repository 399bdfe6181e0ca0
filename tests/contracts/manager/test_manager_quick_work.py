"""Quick work is claimed in chains longer than there are hands; nothing waits in one that turns out to be slow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.contracts.manager.conftest import Rig

from media_watch_tasks.abc import UploadContext, Uploader
from media_watch_tasks.actions import DeleteSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.events import TaskBegun, TaskReleased
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Delivered, Released, Settlement
from media_watch_tasks.model.tasks import Claim, ClaimRequest, TaskState
from media_watch_tasks.model.uploads import UploadReceipt

HANG_GUARD = 20.0
"""Seconds after which a test that waits for a thread gives up."""
FILES = 60


class Blind(Uploader):
    """Sends to the destination of a rig, and cannot look what is there."""

    def __init__(self, rig: Rig) -> None:
        self._destination = rig.destination

    @property
    def destination_id(self) -> str:
        return self._destination.destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        return self._destination.upload(media, context)


class Settled:
    """What a run settled, and how many tasks it claimed at a time."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settlements: list[Settlement] = []
        self.claimed: list[int] = []
        settle = rig.tasks.settle

        def noted(settlements: Sequence[Settlement], **named: Any) -> Any:
            self.settlements += settlements
            result = settle(settlements, **named)
            self.claimed.append(len(result.claims))
            return result

        monkeypatch.setattr(rig.tasks, "settle", noted)

    @property
    def untouched(self) -> int:
        """How many claims were given back."""
        return len(self.given_back)

    @property
    def given_back(self) -> set[int]:
        """The ids of their tasks."""
        return {each.ref.task_id for each in self.settlements if isinstance(each, Released) and each.untouched}


def _queued(rig: Rig, files: int = FILES, **options: Any) -> TaskManager:
    """Files of one kind. By the clock of the rig every upload takes no time at all."""
    manager = rig.watching(**options)
    for number in range(files):
        rig.tree.put(f"{number:02}.mp4")
    manager.scan_and_enqueue_new()
    rig.settle()
    return manager


def _claims(rig: Rig, worker: str, limit: int) -> Sequence[Claim]:
    request = ClaimRequest(
        worker_id=worker, routes=(Route(rig.tree.source_id, "shelf"),), limit=limit, lease_ns=600 * 10**9,
        longest_delay_ns=10**15,
    )  # fmt: skip
    return rig.tasks.claim_batch(request)


def _until(found: Callable[[], Any]) -> Any:
    pause = threading.Event()
    for _ in range(int(HANG_GUARD / 0.005)):
        if result := found():
            return result
        pause.wait(0.005)
    raise AssertionError("it never came")


def test_quick_work_is_claimed_in_chains_and_done_once_each(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = _queued(rig, workers=3)
    settled = Settled(rig, monkeypatch)
    report = manager.process()
    assert (report.taken, report.succeeded) == (FILES, FILES)
    assert sorted(rig.destination.sent) == [b"%02d.mp4" % number for number in range(FILES)]
    assert max(settled.claimed) > 9, "a commit serves many tasks"
    assert max(settled.claimed[:4]) <= 3, "at first nobody knows that the work is quick"


@pytest.mark.parametrize("can_look", [True, False])
def test_outcomes_are_written_together_only_where_the_destination_can_be_asked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, can_look: bool
) -> None:
    monkeypatch.setattr("media_watch_tasks.manager.hands._QUICK_NS", -1)
    manager = _queued(rig, workers=2, uploader=None if can_look else Blind(rig))
    settled = Settled(rig, monkeypatch)
    assert manager.process().succeeded == FILES
    assert (max(settled.claimed) > 2) is can_look


def test_a_limit_holds_within_a_chain(rig: Rig) -> None:
    manager = _queued(rig, workers=3)
    report = manager.process(limit=41)
    assert (report.taken, report.succeeded, report.stopped_by) == (41, 41, "limit")
    assert manager.counts()[TaskState.PENDING] == FILES - 41


def test_what_waits_behind_slow_work_is_left_to_other_workers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_watch_tasks.manager.hands._QUICK_NS", -1)  # a chain may break by chance
    manager = _queued(rig, workers=2)
    settled = Settled(rig, monkeypatch)
    other = rig.tasks.register_worker("other")
    go_on = threading.Event()
    taken: list[Claim] = []

    def slow(_media: Any, _context: Any) -> None:
        assert go_on.wait(HANG_GUARD)

    def time_passes_and_something_was_given_back() -> bool:
        rig.clock.advance(0.05)
        return settled.untouched > 0

    def slow_and_seen(_media: Any, _context: Any) -> None:
        _until(time_passes_and_something_was_given_back)
        taken.extend(_claims(rig, other, FILES))
        rig.tasks.settle([Delivered(ref=claim.ref, receipt=UploadReceipt("there")) for claim in taken])
        go_on.set()

    rig.destination.script = [*[None] * 30, slow, slow_and_seen]  # type: ignore[list-item]  # None: as usual
    report = manager.process()
    assert settled.given_back <= {claim.task.id for claim in taken}
    assert all((claim.task.attempts, claim.task.ever_begun) == (1, False) for claim in taken), "no trace of the claim"
    assert report.succeeded == FILES - len(taken)
    assert report.taken == report.succeeded
    assert report.released == 0
    assert manager.counts()[TaskState.SUCCESS] == FILES
    assert len(rig.heard(TaskBegun)) == report.taken, "what no hand turned to never began"
    assert rig.heard(TaskReleased) == []


def test_a_stop_gives_back_what_no_hand_has_turned_to(rig: Rig) -> None:
    manager = _queued(rig, workers=1, shutdown_grace=timedelta(hours=1))
    cancel = CancelToken()

    def cancelled_meanwhile(_media: Any, _context: Any) -> None:
        cancel.cancel()
        _until(lambda: manager.counts()[TaskState.UPLOADING] == 1)

    rig.destination.script = [*[None] * 30, cancelled_meanwhile]  # type: ignore[list-item]  # None: as usual
    report = manager.process(cancel)
    assert (report.taken, report.succeeded, report.stopped_by) == (31, 31, "cancelled")
    waiting = manager.tasks(states=["pending"], limit=FILES)
    assert len(waiting) == FILES - 31
    assert {(task.attempts, task.ever_begun) for task in waiting} == {(0, False)}


@pytest.mark.parametrize("in_chains", [True, False])
@pytest.mark.parametrize("workers", [1, 3])
def test_actions_after_quick_uploads_do_not_wait_for_the_last_of_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, workers: int, in_chains: bool
) -> None:
    if not in_chains:
        monkeypatch.setattr("media_watch_tasks.manager.hands._QUICK_NS", -1)
    manager = _queued(rig, 5 * FILES, workers=workers, after_upload=DeleteSource(), act_on_unverified=True)
    left: list[int] = []
    take = rig.destination.take

    def counted(media: Any, context: Any) -> UploadReceipt:
        left.append(len(rig.tree.paths()))
        return take(media, context)

    monkeypatch.setattr(rig.destination, "take", counted)
    assert manager.process().succeeded == 5 * FILES
    assert rig.tree.paths() == []
    assert min(left) < 4 * FILES, "what was delivered is dealt with while others are sent"


def test_tasks_beside_one_that_a_worker_died_on_are_not_claimed_in_a_chain(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = _queued(rig, workers=2)
    assert len(_claims(rig, rig.tasks.register_worker("dies"), 4)) == 4
    rig.clock.reboot()
    rig.tasks.take_back(dead_after=5, backoff_ns=[0])
    settled = Settled(rig, monkeypatch)
    at_work: list[int] = []
    take = rig.destination.take

    def counted(media: Any, context: Any) -> UploadReceipt:
        if media.asset.asset_id in {b"00.mp4", b"01.mp4", b"02.mp4", b"03.mp4"}:
            at_work.append(manager.counts()[TaskState.UPLOADING])
        return take(media, context)

    monkeypatch.setattr(rig.destination, "take", counted)
    monkeypatch.setattr("media_watch_tasks.manager.hands._QUICK_ENOUGH", 1)
    assert manager.process().succeeded == FILES
    assert settled.untouched > 0
    assert len(at_work) == 4
    assert max(at_work) <= 2, "whatever dies with it is what hands were at"
