"""Describing, verifying, checking, and telling how it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from media_watch_tasks.abc import Checks, Verifies
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AuthenticationRequiredError, ConfigurationError, DestinationFull, PermanentError
from media_watch_tasks.model.metadata import MediaMetadata


def _probing(rig: Any, *, broken: bytes = b"") -> list[bytes]:
    """Let the resolver describe files; the list of those it looked into."""
    probed: list[bytes] = []
    resolve = rig.resolver.resolve_for_upload

    def resolving(asset: Any, *, known_metadata: Any = None, **named: Any) -> Any:
        media = resolve(asset, **named)
        if known_metadata is None:
            probed.append(asset.asset_id)
            error = "no media file" if asset.asset_id == broken else None
            known_metadata = MediaMetadata(container="mp4", duration=1.5, error=error)
        return attrs.evolve(media, metadata=known_metadata)

    rig.resolver.resolve_for_upload = resolving
    return probed


def test_describe_probes_what_is_not_described_and_uploads_nothing(rig: Any) -> None:
    probed = _probing(rig, broken=b"b.mp4")
    for name in ("a.mp4", "b.mp4", "c/d.mp4"):
        rig.tree.put(name)
    manager = rig.watching()
    report = manager.describe()
    found = (report.described, report.failed, report.left, report.stopped_by)
    assert found == (2, 1, False, "empty"), "what could not be described has a description that says why"
    assert sorted(probed) == [b"a.mp4", b"b.mp4", b"c/d.mp4"]
    assert sum(manager.counts().values()) == 0
    manager.describe()
    assert len(probed) == 3, "a file that could not be described is tried again only when it changes"
    rig.tree.change("b.mp4")
    manager.scan_and_enqueue_new()
    manager.describe()
    assert probed.count(b"b.mp4") == 2


def test_describe_takes_a_trouble_of_the_reading_for_no_verdict_on_the_file(rig: Any) -> None:
    rig.tree.put("a.mp4")
    manager = rig.watching()
    answers = [MediaMetadata(error="i/o", transient=True), MediaMetadata(container="mp4")]
    resolve = rig.resolver.resolve_for_upload
    rig.resolver.resolve_for_upload = lambda asset, **named: attrs.evolve(
        resolve(asset, **named), metadata=answers.pop(0)
    )
    first = manager.describe()
    assert (first.described, first.failed, first.skipped, first.left) == (0, 0, 1, True)
    second = manager.describe()
    assert (second.described, second.left, answers) == (1, False, [])


def test_an_upload_keeps_no_metadata_that_says_only_that_reading_failed(rig: Any) -> None:
    rig.tree.put("a.mp4")
    manager = rig.watching()
    found = MediaMetadata(error="i/o", transient=True)
    resolve = rig.resolver.resolve_for_upload
    rig.resolver.resolve_for_upload = lambda asset, **named: attrs.evolve(resolve(asset, **named), metadata=found)
    manager.enqueue([b"a.mp4"])
    rig.settle()
    assert manager.process().succeeded == 1, "what cannot be described is sent all the same"
    (state,) = rig.media_state.assets(rig.scanner.source_id, [b"a.mp4"])
    assert state.metadata is None


def test_describe_leaves_files_of_other_kinds_alone(rig: Any) -> None:
    probed = _probing(rig)
    for name in ("a.mp4", "a.nfo", "a.srt", "b.jpg"):
        rig.tree.put(name)
    report = rig.watching().describe()
    assert (report.described, report.left) == (2, False)
    assert sorted(probed) == [b"a.mp4", b"b.jpg"]


def test_one_file_that_nobody_can_resolve_does_not_end_the_describing(rig: Any) -> None:
    _probing(rig)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        rig.tree.put(name)
    manager = rig.watching()
    resolve = rig.resolver.resolve_for_upload

    def failing(asset: Any, **named: Any) -> Any:
        if asset.asset_id == b"a.mp4":
            raise ZeroDivisionError("a bug of a plug-in")
        return resolve(asset, **named)

    rig.resolver.resolve_for_upload = failing
    report = manager.describe(workers=1)
    assert (report.described, report.skipped, report.left) == (2, 1, True)


def test_describe_ends_at_its_limit_and_goes_on_in_the_next_call(rig: Any) -> None:
    probed = _probing(rig)
    for number in range(5):
        rig.tree.put(f"{number}.mp4")
    manager = rig.watching()
    first = manager.describe(limit=2)
    assert (first.described, first.left, first.stopped_by) == (2, True, "limit")
    second = manager.describe(workers=1)
    assert (second.described, second.left) == (3, False)
    assert len(probed) == len(set(probed)) == 5


def test_describe_stops_when_it_is_cancelled_or_the_source_is_away(rig: Any) -> None:
    _probing(rig)
    rig.tree.put("a.mp4")
    manager = rig.watching()
    cancelled = CancelToken()
    cancelled.cancel()
    assert manager.describe(cancelled).stopped_by == "cancelled"
    with rig.tree.taken_offline():
        report = manager.describe()
    assert (report.described, report.skipped, report.left) == (0, 1, True)
    assert "offline" in report.stopped_by


def test_describe_without_a_prober_says_what_to_do(rig: Any) -> None:
    rig.tree.put("a.mp4")
    manager = rig.watching()
    with pytest.raises(ConfigurationError, match="ProbingResolver"):
        manager.describe()


class _Verifying:
    """Adds the capabilities to the destination of the rig."""

    @staticmethod
    def of(rig: Any) -> Any:
        class VerifyingDestination(type(rig.destination), Verifies, Checks):  # type: ignore[misc]  # the rig's class
            trouble: Exception | None = None

            def verify(self, media: Any, receipt: Any) -> bool:
                if self.trouble is not None:
                    raise self.trouble
                return receipt.remote_id.encode() in self.held

            def check(self) -> None:
                if self.trouble is not None:
                    raise self.trouble

        rig.destination = VerifyingDestination()
        return rig.destination


def test_verify_finds_what_the_destination_has_lost_and_repairs_it(rig: Any) -> None:
    destination = _Verifying.of(rig)
    manager = rig.watching()
    rig.tree.put("a.mp4", b"a")
    rig.tree.put("b.mp4", b"b")
    rig.deliver(manager)
    assert manager.verify().good == 2
    del destination.held[b"a.mp4"]
    report = manager.verify(repair=True)
    assert (report.checked, report.good, len(report.bad), report.repaired) == (2, 1, 1, 1)
    manager.process()  # at once: what was delivered has stood still
    assert destination.held == {b"a.mp4": b"a", b"b.mp4": b"b"}
    assert manager.verify().bad == ()


def test_verify_lets_a_newer_version_of_what_is_lost_stand_still_first(rig: Any) -> None:
    destination = _Verifying.of(rig)
    manager = rig.watching()
    rig.tree.put("a.mp4", b"a")
    rig.deliver(manager)
    del destination.held[b"a.mp4"]
    rig.tree.change("a.mp4", b"newer")
    assert manager.verify(repair=True).repaired == 1
    manager.process()
    assert destination.held == {}
    rig.settle()
    manager.process()
    assert destination.held == {b"a.mp4": b"newer"}


def test_verify_tells_what_it_could_not_ask(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    rig.deliver(manager)
    assert (manager.verify().unchecked, manager.verify().checked) == (1, 0)


def test_verify_goes_on_after_an_error_and_takes_a_sample(rig: Any) -> None:
    destination = _Verifying.of(rig)
    manager = rig.watching()
    for number in range(20):
        rig.tree.put(f"{number}.mp4")
    rig.deliver(manager)
    assert 0 < manager.verify(sample=0.5).checked < 20
    destination.trouble = OSError("unreachable")
    report = manager.verify()
    assert (report.unchecked, report.errors) == (20, ("OSError: unreachable",))


def test_check_reaches_source_and_destination(rig: Any) -> None:
    destination = _Verifying.of(rig)
    manager = rig.watching()
    assert manager.check().ok
    destination.trouble = AuthenticationRequiredError("token expired")
    with rig.tree.taken_offline():
        problems = manager.check().problems
    assert len(problems) == 2
    assert "offline" in problems[0]
    assert "token expired" in problems[1]


def test_check_names_destinations_that_cannot_be_checked(rig: Any) -> None:
    assert rig.watching().check().unchecked == ("shelf",)


def test_health_tells_of_old_scans_dead_tasks_pauses_and_quarantine(rig: Any) -> None:
    manager = rig.manager()
    day = timedelta(days=1)
    assert manager.health(max_age=day).problems == ("no scan has been complete yet",)
    manager.initialize_baseline()
    assert manager.health(max_age=day).ok
    rig.tree.put("dead.mp4")
    rig.tree.put("full.mp4")
    rig.destination.script = [PermanentError("no"), DestinationFull("no room")]
    manager.scan_and_enqueue_new()
    rig.settle()
    manager.process()
    rig.clock.advance(timedelta(days=2))
    report = manager.health(max_age=day)
    text = "\n".join(report.problems)
    for word in (
        "last complete scan was 2 days",
        "UTC: destination shelf: no",
        "1 tasks are dead",
        "has been due for 2 days",
    ):
        assert word in text, text
    assert report.seconds_since_complete_scan == pytest.approx(2 * 86_400 + 60)


def test_health_knows_the_latest_delivery(rig: Any) -> None:
    manager = rig.watching()
    assert manager.health(max_age=timedelta(days=1)).seconds_since_delivery is None
    rig.tree.put("a.mp4")
    rig.deliver(manager)
    rig.clock.advance(90)
    assert manager.health(max_age=timedelta(days=1)).seconds_since_delivery == 90
