"""After-upload actions touch the version that was delivered for certain, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from media_watch_tasks.actions import DeleteSource, MoveSource
from media_watch_tasks.errors import ConfigurationError, TransientError
from media_watch_tasks.model.events import ActionDone, AssetMissing
from media_watch_tasks.model.uploads import UploadReceipt


def _verified(rig: Any) -> Any:
    """A step of the destination that takes the file and has verified it."""

    def step(media: Any, context: Any) -> UploadReceipt:
        rig.destination.take(media, context)
        return UploadReceipt(media.asset.display, size=media.size, verified=True)

    return step


def _delivering(rig: Any, *names: str, **options: Any) -> Any:
    manager = rig.watching(**options)
    for name in names:
        rig.tree.put(name, name.encode())
    rig.destination.script = [_verified(rig)] * len(names)
    return manager


def test_delivered_file_is_deleted_and_counts_as_no_absence(rig: Any) -> None:
    manager = _delivering(rig, "a.mp4", after_upload=DeleteSource())
    rig.tree.put("stays.txt")
    rig.deliver(manager)
    assert rig.tree.find("a.mp4") is None
    assert rig.destination.held[b"a.mp4"] == b"a.mp4"
    assert [(event.action, event.error) for event in rig.heard(ActionDone)] == [("delete", None)]
    report = manager.scan_and_enqueue_new()
    assert (report.missing, report.quarantine, rig.heard(AssetMissing)) == (0, None, [])


def test_delivered_file_is_moved_out_of_sight(rig: Any) -> None:
    manager = _delivering(rig, "2026/a.mp4", after_upload=MoveSource(".delivered"))
    rig.deliver(manager)
    assert rig.tree.paths() == [b".delivered/2026/a.mp4"]


def test_receipt_that_nobody_verified_deletes_nothing(rig: Any) -> None:
    manager = rig.watching(after_upload=DeleteSource())
    rig.tree.put("a.mp4")
    rig.deliver(manager)
    assert rig.tree.find("a.mp4") is not None
    assert rig.heard(ActionDone) == []


def test_unverified_receipts_may_be_enough_where_that_is_asked(rig: Any) -> None:
    manager = rig.watching(after_upload=DeleteSource(), act_on_unverified=True)
    rig.tree.put("a.mp4")
    rig.deliver(manager)
    assert rig.tree.find("a.mp4") is None


def test_shared_receipt_deletes_nothing(rig: Any) -> None:
    manager = _delivering(rig, "a.mp4", after_upload=DeleteSource(), enable_hash_dedup=True, workers=1)
    rig.deliver(manager)
    rig.tree.put("copy.mp4", b"a.mp4")
    rig.deliver(manager)
    assert rig.tree.find("copy.mp4") is not None


def test_upload_that_failed_deletes_nothing(rig: Any) -> None:
    manager = rig.watching(after_upload=DeleteSource(), act_on_unverified=True)
    rig.tree.put("a.mp4")
    rig.destination.script = [TransientError("busy")]
    rig.deliver(manager)
    assert rig.tree.find("a.mp4") is not None


def test_file_that_changed_after_the_upload_is_put_back_and_queued(rig: Any) -> None:
    manager = _delivering(rig, "a.mp4", after_upload=DeleteSource())
    set_aside = rig.resolver.set_aside

    def changed_meanwhile(asset: Any, aside: bytes, **named: Any) -> None:
        rig.tree.change("a.mp4", b"a newer version")
        set_aside(asset, aside, **named)

    rig.resolver.set_aside = changed_meanwhile
    rig.deliver(manager)
    newer = rig.tree.find("a.mp4")
    assert newer is not None, "the newer version is gone"
    assert newer.data == b"a newer version"
    assert [event.error for event in rig.heard(ActionDone)] == ["the file is another version by now, which is queued"]
    rig.resolver.set_aside = set_aside
    rig.destination.script = [_verified(rig)]
    rig.settle()
    manager.process()
    assert rig.destination.held == {b"a.mp4": b"a newer version"}
    assert rig.tree.find("a.mp4") is None


def test_action_is_owed_over_a_crash_and_done_by_the_next_run(rig: Any) -> None:
    manager = _delivering(rig, "a.mp4", after_upload=DeleteSource())
    remove, failures = rig.resolver.remove, [TransientError("the power failed")]

    def fails_once(asset_id: bytes, **named: Any) -> None:
        if failures:
            raise failures.pop()
        remove(asset_id, **named)

    rig.resolver.remove = fails_once
    rig.deliver(manager)
    assert not failures, "the fault fired"
    assert rig.tree.paths() == [b".mwt-" + manager.tasks()[0].key[:16].encode() + b"-a.mp4"]
    manager.close()
    successor = rig.manager(after_upload=DeleteSource())
    successor.process()
    assert rig.tree.paths() == []


def test_version_whose_name_is_taken_when_it_is_put_back_gets_a_name_beside_it(rig: Any) -> None:
    manager = _delivering(rig, "a.mp4", after_upload=DeleteSource())
    set_aside = rig.resolver.set_aside

    def changed_meanwhile_and_again(asset: Any, aside: bytes, **named: Any) -> None:
        rig.tree.change("a.mp4", b"second")
        set_aside(asset, aside, **named)
        rig.tree.put("a.mp4", b"the third")

    rig.resolver.set_aside = changed_meanwhile_and_again
    rig.deliver(manager)
    assert rig.tree.paths() == [b"a (1).mp4", b"a.mp4"]
    rig.resolver.set_aside = set_aside
    rig.deliver(manager)
    assert rig.destination.held == {b"a.mp4": b"the third", b"a (1).mp4": b"second"}


def test_version_that_a_dead_run_left_aside_is_put_back_even_when_a_newer_one_is_delivered(rig: Any) -> None:
    manager = _delivering(rig, "a.mp4", after_upload=DeleteSource())
    set_aside, put_back = rig.resolver.set_aside, rig.resolver.put_back

    def changed_meanwhile(asset: Any, aside: bytes, **named: Any) -> None:
        rig.tree.change("a.mp4", b"second")
        set_aside(asset, aside, **named)

    def dies(*_: Any, **__: Any) -> bool:
        raise TransientError("the power failed")

    rig.resolver.set_aside, rig.resolver.put_back = changed_meanwhile, dies
    rig.deliver(manager)
    rig.resolver.set_aside, rig.resolver.put_back = set_aside, put_back
    rig.tree.put("a.mp4", b"the third")
    # Delivered before the action of the first version is tried again.
    other = rig.manager(after_upload=None)
    other.enqueue(["a.mp4"])
    rig.settle()
    other.process()
    assert rig.destination.held == {b"a.mp4": b"the third"}
    manager.process()
    assert rig.tree.paths() == [b"a (1).mp4", b"a.mp4"]
    rig.deliver(manager)
    assert rig.destination.held == {b"a.mp4": b"the third", b"a (1).mp4": b"second"}


def test_action_for_a_version_that_a_newer_one_has_replaced_is_given_up(rig: Any) -> None:
    manager = _delivering(rig, "a.mp4", after_upload=DeleteSource())
    set_aside = rig.resolver.set_aside

    def fails(*_: Any, **__: Any) -> None:
        raise TransientError("busy")

    rig.resolver.set_aside = fails
    rig.deliver(manager)
    (first,) = manager.tasks()
    rig.resolver.set_aside = set_aside
    rig.tree.change("a.mp4", b"second")
    rig.deliver(rig.manager(after_upload=None))
    manager.process()
    assert rig.tree.find("a.mp4") is not None, "of the newer version nothing was to be deleted"
    assert rig.tasks.pending_actions([first.route]) == ()
    assert [event.error for event in rig.heard(ActionDone)] == ["a newer version was delivered since"]


def test_action_that_raises_anything_ends_no_run_and_is_tried_again(rig: Any) -> None:
    class Broken(DeleteSource):
        raised = 0

        def perform(self, *arguments: Any, **named: Any) -> None:
            if not self.raised:
                Broken.raised += 1
                raise KeyError("a mistake of the application")
            super().perform(*arguments, **named)

    manager = _delivering(rig, "a.mp4", "b.mp4", after_upload=Broken())
    rig.deliver(manager)
    assert Broken.raised == 1
    assert rig.destination.held.keys() == {b"a.mp4", b"b.mp4"}
    manager.process()
    assert rig.tree.paths() == []


def test_source_keeps_the_file_until_every_destination_has_it(rig: Any) -> None:
    from media_watch_tasks.uploaders import AllOf  # noqa: PLC0415 - used by this one test

    other = type(rig.destination)("attic")
    other.script = [TransientError("busy")]
    manager = rig.watching(
        uploader=AllOf([rig.destination, other]), after_upload=DeleteSource(), act_on_unverified=True
    )
    rig.tree.put("a.mp4")
    rig.deliver(manager)
    assert rig.tree.find("a.mp4") is not None
    rig.clock.advance(60)
    manager.process()
    manager.process()
    assert rig.tree.find("a.mp4") is None
    assert sorted(task.state for task in manager.tasks()) == ["success", "success"]


def test_resolver_that_cannot_change_its_source_is_refused(rig: Any) -> None:
    class ReadOnly:
        source_id = rig.resolver.source_id
        resolve_for_upload = rig.resolver.resolve_for_upload
        stat = rig.resolver.stat

    with pytest.raises(ConfigurationError, match="ChangesSource"):
        rig.manager(parts={"media_resolver": ReadOnly()}, after_upload=DeleteSource())


@pytest.mark.parametrize("folder", ["", "../elsewhere", "a//b"])
def test_folder_outside_the_source_is_refused(folder: str) -> None:
    with pytest.raises(ConfigurationError, match="no folder below the root"):
        MoveSource(folder)
