"""Files are delivered whole, once, in their latest version, and called delivered only when they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from media_watch_tasks.errors import LeaseLost, TransientError
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.tasks import TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt


def test_file_is_sent_only_after_it_has_stood_still(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"half")
    manager.scan_and_enqueue_new()
    assert rig.only_task(manager).waits_for is WaitReason.SETTLING
    assert (manager.process().taken, manager.process(force=True).taken) == (0, 0)
    rig.clock.advance(9)
    assert manager.process().taken == 0
    rig.clock.advance(1)
    assert manager.process().succeeded == 1


def test_half_written_file_is_not_sent(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"half")
    manager.scan_and_enqueue_new()
    rig.settle()
    rig.tree.put("a.mp4", b"half and a bit")
    report = manager.process()
    assert (report.superseded, report.succeeded, rig.destination.held) == (1, 0, {})
    rig.clock.advance(10)
    assert manager.process().succeeded == 1
    assert rig.destination.held == {b"a.mp4": b"half and a bit"}
    assert [task.attempts for task in manager.tasks(states=["cancelled"])] == [0], "no attempt was spent"


def test_file_that_changed_is_superseded_although_it_cannot_be_read(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"half")
    manager.scan_and_enqueue_new()
    rig.settle()
    rig.tree.put("a.mp4", b"half and a bit")
    resolve = rig.resolver.resolve_for_upload

    def locked(*_arguments: Any, **_named: Any) -> None:
        raise TransientError("locked by whoever writes it")

    rig.resolver.resolve_for_upload = locked
    assert manager.process().superseded == 1
    rig.resolver.resolve_for_upload = resolve
    rig.clock.advance(10)
    assert manager.process().succeeded == 1
    assert [task.attempts for task in manager.tasks(states=["cancelled"])] == [0], "no attempt was spent"


def test_file_that_was_opened_as_the_right_version_is_looked_at_once_more_and_no_oftener(rig: Any) -> None:
    manager = rig.watching()
    for name in "abc":
        rig.tree.put(f"{name}.mp4")
    looks: list[bytes] = []
    stat = rig.resolver.stat

    def counted(assets: Any, **named: Any) -> Any:
        looks.extend(asset.asset_id for asset in assets)
        return stat(assets, **named)

    rig.resolver.stat = counted
    rig.deliver(manager)
    assert sorted(looks) == [b"a.mp4", b"b.mp4", b"c.mp4"]


def test_growing_file_is_sent_without_another_scan(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"1")
    manager.scan_and_enqueue_new()
    for length in range(2, 6):
        rig.clock.advance(10)
        rig.tree.put("a.mp4", b"1" * length)
        manager.process()
    rig.clock.advance(10)
    manager.process()
    assert rig.destination.sent == [b"a.mp4"]
    assert rig.destination.held[b"a.mp4"] == b"11111"
    assert manager.scan_and_enqueue_new().enqueued == 0


def test_file_with_a_date_in_the_future_is_sent(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", mtime_ns=4 * 10**18)
    rig.deliver(manager)
    assert rig.destination.sent == [b"a.mp4"]


def test_settle_time_of_zero_sends_in_the_same_run(rig: Any) -> None:
    manager = rig.watching(settle_for=timedelta(0))
    rig.tree.put("a.mp4")
    report = manager.run_once()
    assert (report.scan.enqueued, report.process.succeeded) == (1, 1)


def test_file_that_changes_while_it_is_read_is_no_success(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"first version")

    def change_in_the_middle(media: Any, _context: Any) -> UploadReceipt:
        with media.open() as body:
            body.read(4)
            rig.tree.put("a.mp4", b"second version, longer")
            body.read()
        return UploadReceipt("a")  # an uploader that never confirms

    rig.destination.script = [change_in_the_middle]
    rig.deliver(manager)
    assert manager.counts()[TaskState.SUCCESS] == 0
    rig.clock.advance(10)
    manager.process()
    assert rig.destination.held == {b"a.mp4": b"second version, longer"}
    assert manager.counts()[TaskState.SUCCESS] == 1


def test_confirm_refuses_a_version_that_changed_meanwhile(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"first version")
    visible: list[str] = []

    def slow_and_careful(media: Any, context: Any) -> UploadReceipt:
        with media.open() as body:
            body.read()
        rig.tree.change("a.mp4")
        context.confirm()
        visible.append("first version")
        return UploadReceipt("a")

    rig.destination.script = [slow_and_careful]
    rig.deliver(manager)
    assert visible == []
    assert manager.counts()[TaskState.CANCELLED] == 1
    assert rig.live(manager) == 1, "the version that was found is queued in the same transaction"


def test_restored_version_is_sent_again(rig: Any) -> None:
    manager = rig.watching()
    first = rig.tree.put("a.mp4", b"version A")
    rig.deliver(manager)
    rig.tree.put("a.mp4", b"version B!")
    rig.deliver(manager)
    rig.tree.put("a.mp4", b"version A", mtime_ns=first.mtime_ns)
    rig.deliver(manager)
    assert len(rig.destination.sent) >= 2
    assert rig.destination.asked, "this version was worked on before: the destination is asked"
    assert manager.counts()[TaskState.SUCCESS] == 3
    assert [task.replaced for task in manager.tasks(states=["success"])] == [True, True, False]


def test_newer_version_beside_a_running_task_follows_it(rig: Any) -> None:
    manager = rig.watching(workers=1)
    rig.tree.put("a.mp4", b"version A")

    def scan_meanwhile(media: Any, context: Any) -> UploadReceipt:
        with media.open() as body:
            data = body.read()
        context.confirm()
        rig.destination.held[b"a.mp4"] = data
        rig.tree.put("a.mp4", b"version B!")
        assert manager.scan_and_enqueue_new().enqueued == 1
        return UploadReceipt("a")

    rig.destination.script = [scan_meanwhile]
    rig.deliver(manager)
    rig.settle()
    manager.process()
    assert rig.destination.held == {b"a.mp4": b"version B!"}
    assert rig.live(manager) == 0


def test_version_that_was_delivered_is_not_sent_again(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    rig.deliver(manager)
    assert manager.enqueue([b"a.mp4"]).already_delivered == 1
    assert manager.enqueue(["a.mp4"], force=True).enqueued == 1
    rig.settle()
    manager.process()
    assert manager.counts()[TaskState.SUCCESS] == 2


def test_destination_is_asked_before_anything_is_sent_a_second_time(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"footage")

    def answer_lost(media: Any, context: Any) -> UploadReceipt:
        rig.destination.take(media, context)
        raise TimeoutError("no answer")

    rig.destination.script = [answer_lost]
    rig.deliver(manager)
    assert rig.destination.asked == [], "the first attempt asks nobody"
    rig.clock.advance(timedelta(minutes=1))
    assert manager.process().succeeded == 1
    assert rig.destination.sent == [b"a.mp4"]


def test_work_of_a_process_that_died_is_found_at_the_destination(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"footage")
    manager.scan_and_enqueue_new()
    rig.settle()
    died = rig.tasks.register_worker("dies")
    request = _request(rig, died)
    (claim,) = rig.tasks.claim_batch(request)
    rig.destination.by_key[claim.task.key] = b"footage"
    rig.clock.reboot()
    rig.clock.advance(timedelta(minutes=20))
    manager.process()
    rig.clock.advance(timedelta(minutes=1))
    manager.process()
    task = rig.only_task(manager)
    assert (task.state, rig.destination.sent) == (TaskState.SUCCESS, [])
    assert task.crashes == 1


def test_each_task_is_taken_at_most_once_in_a_run(rig: Any) -> None:
    manager = rig.watching(workers=1)
    for name in "abc":
        rig.tree.put(f"{name}.mp4")
    rig.destination.script = [TransientError("again at once", retry_after=timedelta(0))] * 3
    rig.deliver(manager)
    assert rig.destination.attempts == [1, 1, 1]
    assert manager.process().succeeded == 3


def test_limit_and_time_budget_end_a_run(rig: Any) -> None:
    manager = rig.watching(workers=1)
    for name in "abcde":
        rig.tree.put(f"{name}.mp4")
    manager.scan_and_enqueue_new()
    rig.settle()
    limited = manager.process(limit=2)
    assert (limited.taken, limited.succeeded, limited.stopped_by) == (2, 2, "limit")

    def takes_a_minute(_media: Any, _context: Any) -> None:
        rig.clock.advance(60)

    rig.destination.script = [takes_a_minute]
    budgeted = manager.process(time_budget=timedelta(seconds=30))
    assert (budgeted.taken, budgeted.stopped_by) == (1, "time_budget")
    assert manager.process().taken == 2


def test_force_skips_the_backoff(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    rig.destination.script = [TransientError("busy")]
    rig.deliver(manager)
    assert manager.process().taken == 0
    assert manager.process(force=True).succeeded == 1


def test_equal_content_is_sent_once_and_shares_the_receipt(rig: Any) -> None:
    manager = rig.watching(enable_hash_dedup=True, workers=1)
    rig.tree.put("a.mp4", b"same bytes")
    rig.tree.put("b.mp4", b"same bytes")
    rig.tree.put("c.mp4", b"other byte")
    manager.scan_and_enqueue_new()
    rig.settle()
    report = manager.process()
    rig.settle()
    again = manager.process()
    assert sorted(rig.destination.sent) == [b"a.mp4", b"c.mp4"]
    assert report.succeeded + again.succeeded == 3
    assert report.deduplicated + again.deduplicated == 1
    receipts = {task.asset_id: task.receipt for task in manager.tasks()}
    assert receipts[b"b.mp4"] == attrs.evolve(receipts[b"a.mp4"], deduplicated=True)


def test_equal_content_in_flight_waits_and_is_not_sent_beside_it(rig: Any) -> None:
    manager = rig.watching(enable_hash_dedup=True, workers=4)
    for name in "abcd":
        rig.tree.put(f"{name}.mp4", b"same bytes")
    manager.scan_and_enqueue_new()
    rig.settle()
    for _ in range(4):
        manager.process()
        rig.settle()
    assert len(rig.destination.sent) == 1
    assert manager.counts()[TaskState.SUCCESS] == 4


def test_with_dedup_off_nothing_is_read_twice(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"same bytes")
    rig.tree.put("b.mp4", b"same bytes")
    reads: list[bytes] = []
    resolve = rig.resolver.resolve_for_upload

    def counted(asset: Any, **named: Any) -> Any:
        media = resolve(asset, **named)

        def open_stream(offset: int, length: int | None) -> Any:
            reads.append(asset.asset_id)
            return media.open_stream(offset, length)

        return attrs.evolve(media, open_stream=open_stream)

    rig.resolver.resolve_for_upload = counted
    rig.deliver(manager)
    assert sorted(reads) == [b"a.mp4", b"b.mp4"]


def test_destination_that_holds_fewer_bytes_is_no_success(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"footage")
    rig.destination.script = [lambda _media, _context: UploadReceipt("a", size=3)]
    rig.deliver(manager)
    task = rig.only_task(manager)
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert "3 bytes of a file of 7" in (task.error or "")


def test_metadata_is_kept_also_when_the_upload_fails(rig: Any) -> None:
    manager = rig.watching()
    asset = rig.tree.put("a.mp4")
    found = MediaMetadata(container="mov", duration=2.5)
    resolve = rig.resolver.resolve_for_upload
    asked: list[Any] = []

    def probing(*arguments: Any, known_metadata: Any = None, **named: Any) -> Any:
        asked.append(known_metadata)
        return attrs.evolve(resolve(*arguments, **named), metadata=known_metadata or found)

    rig.resolver.resolve_for_upload = probing
    rig.destination.script = [TransientError("busy")]
    rig.deliver(manager)
    (state,) = rig.media_state.assets(manager.source_id, [asset.asset_id])
    assert state.current_metadata == found
    rig.clock.advance(timedelta(minutes=1))
    manager.process()
    assert asked == [None, found], "what is known of this version is not probed again"


def test_receipt_and_success_stand_together(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4", b"footage")
    rig.deliver(manager)
    task = rig.only_task(manager)
    assert (task.state, task.receipt.remote_id, task.receipt.size) == (TaskState.SUCCESS, "a.mp4", 7)
    assert task.delivered_at == rig.clock.now()


def test_worker_whose_lease_was_lost_writes_nothing_and_makes_nothing_visible(rig: Any) -> None:
    manager = rig.watching(workers=1)
    rig.tree.put("a.mp4", b"footage")
    raised: list[BaseException] = []

    def sleeps_past_its_lease(_media: Any, context: Any) -> None:
        # The machine was suspended: only the clock that runs on meanwhile has moved, the heartbeat noticed nothing.
        rig.clock.advance_boot(timedelta(minutes=11))
        rig.tasks.take_back(dead_after=9, backoff_ns=[0])
        (claim,) = rig.tasks.claim_batch(_request(rig, rig.tasks.register_worker("other")))
        assert claim.task.asset_id == b"a.mp4"
        try:
            context.confirm()
        except LeaseLost as error:
            raised.append(error)
            raise

    rig.destination.script = [sleeps_past_its_lease]
    rig.deliver(manager)
    assert len(raised) == 1
    assert rig.destination.sent == []
    assert manager.counts()[TaskState.SUCCESS] == 0


@pytest.mark.parametrize("tags", [("raw", "2026"), ()])
def test_tags_and_priority_of_the_options_reach_the_task(rig: Any, tags: tuple[str, ...]) -> None:
    manager = rig.watching(
        tags=lambda _asset: tags, priority=lambda asset: 5 if asset.name == b"b.mp4" else 0, workers=1
    )
    rig.tree.put("a.mp4")
    rig.tree.put("b.mp4")
    rig.deliver(manager)
    assert rig.destination.sent == [b"b.mp4", b"a.mp4"]
    assert {task.tags for task in manager.tasks()} == {frozenset(tags)}


def _request(rig: Any, worker_id: str) -> Any:
    from media_watch_tasks.model.identity import Route  # noqa: PLC0415 - used by this one helper
    from media_watch_tasks.model.tasks import ClaimRequest  # noqa: PLC0415 - as above

    return ClaimRequest(
        worker_id=worker_id, routes=(Route(rig.tree.source_id, "shelf"),), limit=1, lease_ns=600 * 10**9,
        longest_delay_ns=10**15,
    )  # fmt: skip
