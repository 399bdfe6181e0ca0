"""Wrappers: what they change, and that they keep everything else that the uploader inside can do."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.uploaders.fault_server import FaultServer, Trouble

from media_watch_tasks.abc import (
    Checks,
    FindsExisting,
    LocalDestination,
    RemovesUnfinished,
    Resumable,
    UploadContext,
    Uploader,
    Verifies,
)
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import ConfigurationError, OperationCancelled, PermanentError, Snooze, TransientError
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.sqlite.permits import SqlitePermits
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    ChecksContract,
    FindsExistingContract,
    VerifiesContract,
)
from media_watch_tasks.testing.fakes import FakeUploader, RecordingUploader
from media_watch_tasks.testing.fakes.resumable import ResumableFakeUploader
from media_watch_tasks.uploaders import (
    AllOf,
    BandwidthLimit,
    DirectoryUploader,
    DryRun,
    HttpUploader,
    RateLimit,
    SharedLimit,
    Then,
    Transform,
    VerifyAfterUpload,
    WebdavUploader,
)
from media_watch_tasks.uploaders.wrappers import Wrapper

HANG_GUARD = 30.0


class _Suite(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    """A wrapper keeps every promise of the uploader inside."""

    def contents(self, uploader: Uploader) -> list[bytes]:
        return [path.read_bytes() for path in self.target.rglob("*") if path.is_file() and path.name[0] != "."]

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        path = self.target / str(receipt.remote_id)
        path.write_bytes(b"damaged" + path.read_bytes()[7:])

    def wrapped(self, inner: Uploader) -> Uploader:
        raise NotImplementedError

    @pytest.fixture
    def uploader(self, tmp_path: Path) -> Iterator[Uploader]:
        self.target = tmp_path / "target"
        self.target.mkdir()
        (tmp_path / "beside").touch()
        with self.wrapped(DirectoryUploader(self.target, fsync=False)) as uploader:
            yield uploader


class TestBandwidthLimitKeepsPromises(_Suite):
    def wrapped(self, inner: Uploader) -> Uploader:
        return BandwidthLimit(inner, 1_000_000, clock=FakeClock())


class TestRateLimitKeepsPromises(_Suite):
    def wrapped(self, inner: Uploader) -> Uploader:
        return RateLimit(inner, uploads=1, per=timedelta(milliseconds=1), clock=FakeClock())


class TestSharedLimitKeepsPromises(_Suite):
    def wrapped(self, inner: Uploader) -> Uploader:
        permits = SqlitePermits(str(self.target.parent / "watch.db"), FakeClock())
        return SharedLimit(inner, permits, at_once=100, uploads=10_000, per=timedelta(seconds=1))


class TestVerifyAfterUploadKeepsPromises(_Suite):
    def wrapped(self, inner: Uploader) -> Uploader:
        return VerifyAfterUpload(inner)


@pytest.mark.parametrize(
    ("inner", "capabilities"),
    [
        (FakeUploader(), set()),
        (RecordingUploader(), {FindsExisting, Verifies, Checks}),
        (ResumableFakeUploader(), {Resumable, RemovesUnfinished}),
        (WebdavUploader("http://127.0.0.1/{path}"), {FindsExisting, Verifies, Checks, RemovesUnfinished}),
        (DirectoryUploader(os.getcwd(), create=False), {FindsExisting, Verifies, Checks, LocalDestination}),
    ],
)
def test_a_wrapper_can_what_the_uploader_inside_can_and_no_more(inner: Uploader, capabilities: set[type]) -> None:
    wrapped = RateLimit(BandwidthLimit(inner, 1), uploads=1, per=timedelta(1))
    every = {FindsExisting, Verifies, Checks, Resumable, RemovesUnfinished, LocalDestination}
    assert {capability for capability in every if isinstance(wrapped, capability)} == capabilities
    assert wrapped.destination_id == inner.destination_id
    assert isinstance(wrapped, RateLimit)
    assert isinstance(wrapped.inner, BandwidthLimit)


def test_a_resumable_uploader_inside_is_asked_to_abort() -> None:
    inner = ResumableFakeUploader()
    wrapped = BandwidthLimit(inner, 1)
    assert isinstance(wrapped, Resumable)
    wrapped.abort({"upload_id": "7"})
    assert inner.aborted == ["7"]


def test_closing_a_wrapper_closes_the_uploader_inside() -> None:
    first, second = FakeUploader(), FakeUploader("second")
    for wrapper in (BandwidthLimit(first, 1), DryRun(first), Then(first, second)):
        wrapper.close()
    assert (first.closed, second.closed) == (3, 1)


@pytest.mark.parametrize("inner", [AllOf([FakeUploader()]), "no uploader", None])
def test_a_wrapper_goes_around_one_uploader(inner: Any) -> None:
    for wrap in (DryRun, Wrapper, lambda it: BandwidthLimit(it, 1), lambda it: Then(it, FakeUploader())):
        with pytest.raises(ConfigurationError):
            wrap(inner)


# ---- bandwidth


@pytest.mark.parametrize("threads", [1, 4])
def test_all_uploads_together_keep_to_the_bandwidth(rig: Any, threads: int) -> None:
    clock = FakeClock()
    limited = BandwidthLimit(FakeUploader(), 1_000_000, clock=clock)
    files = [rig.media(f"{number}.mov", bytes(500_000)) for number in range(8)]
    began = clock.monotonic_ns()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda media: limited.upload(media, rig.context(media)), files, timeout=HANG_GUARD))
    seconds = (clock.monotonic_ns() - began) / 10**9
    # The last share leaves at once; threads that wait side by side move the test's clock together.
    assert seconds >= 3.7
    if threads == 1:
        assert seconds <= 4.1


def test_a_timetable_is_followed_over_midnight_and_in_its_time_zone() -> None:
    limited = BandwidthLimit(FakeUploader(), {time(8): 100, time(18): None}, tz=UTC)
    at = {hour: limited.rate_at(datetime(2026, 1, 1, hour, tzinfo=UTC)) for hour in (0, 7, 8, 17, 18, 23)}
    assert at == {0: None, 7: None, 8: 100, 17: 100, 18: None, 23: None}


def test_reads_are_short_so_that_a_slow_upload_moves_all_the_time(rig: Any) -> None:
    media = rig.media("clip.mov", bytes(100_000))
    context = rig.context(media)
    BandwidthLimit(FakeUploader(), 40_000, clock=FakeClock()).upload(media, context)
    assert context.largest_read <= 10_000


def test_a_wait_for_bandwidth_ends_when_the_upload_is_cancelled(rig: Any) -> None:
    token = CancelToken()
    media = rig.media("clip.mov", bytes(100_000))
    limited = BandwidthLimit(FakeUploader(), 1)
    timer = threading.Timer(0.1, token.cancel, [CancelReason.USER])
    timer.start()
    with pytest.raises(OperationCancelled):
        limited.upload(media, rig.context(media, cancel=token))
    timer.join()


@pytest.mark.parametrize("rate", [0, -1, {}, {time(8): 0}])
def test_a_rate_that_makes_no_sense_is_refused(rate: Any) -> None:
    with pytest.raises(ConfigurationError):
        BandwidthLimit(FakeUploader(), rate)


# ---- rate


def test_no_more_uploads_begin_in_a_period_than_allowed(rig: Any) -> None:
    clock = FakeClock()
    inner = FakeUploader()
    limited = RateLimit(inner, uploads=3, per=timedelta(seconds=10), clock=clock)
    media = rig.media("clip.mov", b"footage")
    for _ in range(3):
        limited.upload(media, rig.context(media))
    with pytest.raises(Snooze) as caught:
        limited.upload(media, rig.context(media))
    assert caught.value.delay == timedelta(seconds=10)
    clock.advance(timedelta(seconds=9.5))
    limited.upload(media, rig.context(media))
    assert len(inner.calls) == 4
    assert clock.monotonic_ns() == FakeClock().monotonic_ns() + 10 * 10**9, "it waited for its turn"


def test_the_rate_holds_over_a_whole_run_and_costs_no_attempt(rig: Any) -> None:
    inner = FakeUploader()
    rig.watch(RateLimit(inner, uploads=2, per=timedelta(minutes=10), clock=rig.clock), workers=4)
    for number in range(5):
        rig.tree.put(f"{number}.mov", b"footage %d" % number)
    rig.run()
    assert len(inner.calls) == 2
    rig.process(timedelta(minutes=11))
    assert len(inner.calls) == 4
    tasks = rig.process(timedelta(minutes=11))
    assert [(task.state, task.attempts) for task in tasks] == [("success", 1)] * 5


# ---- verify


def test_what_does_not_verify_is_sent_again_over_what_stands_there(rig: Any) -> None:
    with FaultServer([Trouble(damage=True)], digests=False) as server:
        uploader = VerifyAfterUpload(HttpUploader(server.url + "/{path}", clock=rig.clock))
        rig.watch(rig.stack.enter_context(uploader))
        rig.tree.put("clip.mov", b"footage")
        (task,) = rig.run()
        assert (task.state, task.receipt) == ("failed", None)
        (task,) = rig.process(timedelta(hours=1))
        assert (task.state, task.receipt.verified, server.bodies) == ("success", True, [b"footage"])


def test_an_uploader_that_cannot_verify_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="FakeUploader"):
        VerifyAfterUpload(FakeUploader())


# ---- one after the other


def test_the_second_uploader_gets_the_receipt_of_the_first(rig: Any) -> None:
    seen: list[UploadReceipt | None] = []
    first = FakeUploader("store")
    second = FakeUploader("catalogue", outcomes=[lambda _media, context: seen.append(context.previous)])
    rig.watch(Then(first, second))
    rig.tree.put("clip.mov", b"footage")
    (task,) = rig.run()
    assert task.state == "success"
    assert seen[0] is not None
    assert seen[0].sha256 == hashlib.sha256(b"footage").hexdigest()
    assert task.receipt.details["first"] == seen[0].remote_id


def test_the_first_uploader_is_not_asked_again_when_the_second_fails(rig: Any) -> None:
    previous: list[Any] = []
    first = FakeUploader("store")
    second = FakeUploader(
        "catalogue", outcomes=[TransientError("away"), lambda _media, context: previous.append(context.previous)]
    )
    rig.watch(Then(first, second))
    rig.tree.put("clip.mov", b"footage")
    (task,) = rig.run()
    assert (task.state, task.attempts) == ("failed", 1)
    (task,) = rig.process(timedelta(hours=1))
    assert (task.state, task.attempts) == ("success", 2)
    assert (len(first.calls), len(second.calls)) == (1, 2)
    assert previous[0].size == 7
    assert previous[0].verified


def test_each_of_two_uploaders_resumes_from_its_own_state(rig: Any) -> None:
    first, second = ResumableFakeUploader("first"), ResumableFakeUploader("second")
    both = Then(first, second)
    media = rig.media("clip.mov", bytes(2_000_000))
    context = rig.context(media)
    both.upload(media, context)
    assert {name for state in context.saved_states for name in state or ()} == {"first", "receipt", "second"}
    both.abort({"first": {"upload_id": "1"}, "second": {"upload_id": "2"}})
    assert (first.aborted, second.aborted) == (["1"], ["2"])


# ---- dry run


def test_a_dry_run_notes_and_sends_nothing(rig: Any) -> None:
    inner = FakeUploader("real")
    dry = DryRun(inner)
    assert dry.destination_id != inner.destination_id, "or its receipts would count for the real one"
    rig.watch(dry)
    rig.tree.put("a.mov", b"footage")
    rig.tree.put("b.mov", b"more footage")
    tasks = rig.run()
    assert [task.state for task in tasks] == ["success"] * 2
    assert sorted((noted.asset, noted.size) for noted in dry.noted) == [("a.mov", 7), ("b.mov", 12)]
    assert inner.calls == []


# ---- transform


def _reversed(media: ResolvedMedia, folder: Path, context: UploadContext) -> Path:
    made = folder / "made.webm"
    with media.open() as body:
        made.write_bytes(b"reversed " + body.read()[::-1])
    context.progress(1)
    return made


def _into_archive(asset: MediaAsset) -> str:
    return f"archive/{asset.display}"


def test_a_file_may_arrive_under_another_name(rig: Any, tmp_path: Path) -> None:
    target = tmp_path / "target"
    rig.watch(Transform(DirectoryUploader(target, create=True), rename=_into_archive))
    rig.tree.put("clip.mov", b"footage")
    (task,) = rig.run()
    assert task.state == "success"
    assert (target / "archive" / "clip.mov").read_bytes() == b"footage"


def test_a_made_file_arrives_and_its_folder_is_gone(rig: Any, tmp_path: Path) -> None:
    target, work = tmp_path / "target", tmp_path / "work"
    work.mkdir()
    transform = Transform(DirectoryUploader(target, create=True), convert=_reversed, folder=work)
    manager = rig.watch(transform)
    rig.tree.put("2026/clip.mov", b"footage")
    (task,) = rig.run()
    made = b"reversed egatoof"
    assert task.state == "success"
    assert (target / "2026" / "clip.webm").read_bytes() == made
    assert task.receipt.size == 7, "the receipt is about the source"
    assert task.receipt.details["transformed_sha256"] == hashlib.sha256(made).hexdigest()
    assert list(work.iterdir()) == []
    assert manager.verify().good == 1
    (target / "2026" / "clip.webm").write_bytes(b"damaged")
    assert len(manager.verify().bad) == 1


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a//b", "nul\0"])
def test_a_rename_that_leads_away_is_refused(rig: Any, name: str) -> None:
    inner = FakeUploader()
    media = rig.media("clip.mov", b"footage")
    with pytest.raises(PermanentError, match="rename"):
        Transform(inner, rename=lambda _: name).upload(media, rig.context(media))
    assert inner.calls == []


def test_a_conversion_that_fails_is_retried_and_leaves_nothing(rig: Any, tmp_path: Path) -> None:
    def broken(media: ResolvedMedia, folder: Path, context: UploadContext) -> Path:
        (folder / "half").write_bytes(b"half")
        raise RuntimeError("the encoder died")

    rig.watch(Transform(FakeUploader(), convert=broken, folder=tmp_path))
    rig.tree.put("clip.mov", b"footage")
    (task,) = rig.run()
    assert (task.state, task.attempts) == ("failed", 1)
    assert not list(tmp_path.glob("mwt-transform-*"))


def test_transform_needs_something_to_do() -> None:
    with pytest.raises(ConfigurationError):
        Transform(FakeUploader())
