"""UploaderContract: what every uploader promises.

    class TestMyUploader(UploaderContract):
        @pytest.fixture
        def uploader(self, server):
            with MyUploader(server.url) as uploader:
                yield uploader

        def contents(self, uploader):
            return server.bodies()

An uploader with optional capabilities takes their suites too (`FindsExistingContract`, `VerifiesContract`,
`ChecksContract`, `RemovesUnfinishedContract` or the `ResumableContract` made of it, `BatchUploaderContract`); a test
fails if one is left out.
"""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name states its fact

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor

import pytest

from media_watch_tasks.abc.uploader import (
    BatchUploader,
    Checks,
    FindsExisting,
    RemovesUnfinished,
    Resumable,
    Uploader,
    Verifies,
)
from media_watch_tasks.cancellation import CancelReason
from media_watch_tasks.errors import (
    AlreadyExists,
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    LeaseLost,
    OperationCancelled,
    PermanentError,
    RateLimited,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.model.redaction import without_url_secrets
from media_watch_tasks.testing.contracts.uploader_base import UploaderSuite
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    BatchUploaderContract,
    ChecksContract,
    FindsExistingContract,
    RemovesUnfinishedContract,
    ResumableContract,
    VerifiesContract,
)
from media_watch_tasks.testing.fakes import FakeTree
from media_watch_tasks.testing.faults import Fault, FaultPlan

__all__ = ["UploaderContract"]

_SUITES: tuple[tuple[type, type], ...] = (
    (FindsExisting, FindsExistingContract),
    (Verifies, VerifiesContract),
    (Checks, ChecksContract),
    (RemovesUnfinished, RemovesUnfinishedContract),
    (Resumable, ResumableContract),
    (BatchUploader, BatchUploaderContract),
)
_MOST_BYTES_A_READ = 64 * 1024 * 1024
# A trouble of the source must not end the task for good, nor pause the destination.
_WRONG_FOR_A_SOURCE = (
    PermanentError,
    ConfigurationError,
    DestinationFull,
    RateLimited,
    AuthenticationRequiredError,
    AlreadyExists,
)


class UploaderContract(UploaderSuite):
    """The promises of `Uploader`, one test each."""

    def test_every_capability_comes_with_its_suite(self, uploader: Uploader) -> None:
        missing = [
            suite.__name__
            for capability, suite in _SUITES
            if isinstance(uploader, capability) and not isinstance(self, suite)
        ]
        assert not missing, f"{type(uploader).__name__} has capabilities that are not tested: add {missing}"

    def test_the_destination_id_is_stable_and_holds_no_secret(self, uploader: Uploader) -> None:
        name = uploader.destination_id
        assert name
        assert uploader.destination_id == name
        assert without_url_secrets(name) == name

    @pytest.mark.parametrize("size", [1, 100_000, "several parts"])
    def test_exactly_the_bytes_arrive(self, uploader: Uploader, tree: FakeTree, size: int | str) -> None:
        data = self.payload(self.several_parts if isinstance(size, str) else size)
        media = self.new_media(tree, "2026/clip.mov", data)
        receipt = uploader.upload(media, self.context(uploader, media))
        self.assert_receipt_fits(receipt, data)
        self.assert_holds(uploader, data)

    def test_the_same_key_twice_ends_in_the_same_state(self, uploader: Uploader, tree: FakeTree) -> None:
        data = self.payload(100_000)
        media = self.new_media(tree, "clip.mov", data)
        uploader.upload(media, self.context(uploader, media))
        again = self.deliver(uploader, media, self.context(uploader, media, attempt=2))
        self.assert_receipt_fits(again, data)
        self.assert_holds(uploader, data)

    def test_a_newer_version_is_delivered(self, uploader: Uploader, tree: FakeTree) -> None:
        old = self.new_media(tree, "clip.mov", self.payload(50_000, seed=1))
        previous = uploader.upload(old, self.context(uploader, old))
        data = self.payload(60_000, seed=2)
        new = self.new_media(tree, "clip.mov", data)
        receipt = uploader.upload(new, self.context(uploader, new, previous=previous))
        self.assert_receipt_fits(receipt, data)
        if self.keeps_bytes:
            assert data in self.contents(uploader)
        else:
            assert self.contents(uploader)

    def test_files_of_one_name_never_overwrite_each_other(self, uploader: Uploader, tree: FakeTree) -> None:
        first = self.new_media(tree, "monday/clip.mov", self.payload(50_000, seed=1))
        second = self.new_media(tree, "tuesday/clip.mov", self.payload(50_000, seed=2))
        uploader.upload(first, self.context(uploader, first))
        expected = [self.payload(50_000, seed=1)]
        try:
            uploader.upload(second, self.context(uploader, second))
        except (AlreadyExists, PermanentError):
            pass
        else:
            expected.append(self.payload(50_000, seed=2))
        self.assert_holds(uploader, *expected)

    @pytest.mark.parametrize(
        "name",
        [
            b"with space & 'quotes' \".mov",
            b"line\r\nX-Injected: yes\r\n.mov",
            b"percent%2e%2e%2fescape.mov",
            "Ünïcødé 📼.mov".encode(),
            "Cafe\u0301.mov".encode(),
            b"undecodable \xff\xfe.mov",
            b"lone surrogate \xed\xa0\x80.mov",
            b"-option.mov",
            b"a;b|c$(d)`e`.mov",
            b"n" * 251 + b".mov",
        ],
    )
    def test_a_hostile_name_arrives_or_is_refused(self, uploader: Uploader, tree: FakeTree, name: bytes) -> None:
        data = self.payload(1_000)
        media = self.new_media(tree, b"folder/" + name, data)
        try:
            self.assert_receipt_fits(uploader.upload(media, self.context(uploader, media)), data)
        except PermanentError as error:
            assert str(error)  # noqa: PT017 - the alternative to a delivery
            self.assert_holds(uploader)
        else:
            self.assert_holds(uploader, data)

    def test_progress_is_told(self, uploader: Uploader, tree: FakeTree) -> None:
        media = self.new_media(tree, "clip.mov", self.payload(100_000))
        context = self.context(uploader, media)
        uploader.upload(media, context)
        assert context.progress_calls, "no progress: the manager takes such an upload for stalled"

    def test_nothing_is_visible_before_the_lease_is_confirmed(self, uploader: Uploader, tree: FakeTree) -> None:
        media = self.new_media(tree, "clip.mov", self.payload(100_000))
        seen: list[int] = []
        context = self.context(uploader, media, on_confirm=lambda: seen.append(len(self.contents(uploader))))
        uploader.upload(media, context)
        assert seen, "confirm() was never called"
        assert set(seen) == {0}
        assert len(self.contents(uploader)) == 1

    def test_a_lost_lease_leaves_nothing(self, uploader: Uploader, tree: FakeTree) -> None:
        media = self.new_media(tree, "clip.mov", self.payload(self.several_parts))
        with pytest.raises(LeaseLost):
            uploader.upload(media, self.context(uploader, media, lose_lease=True))
        self.assert_holds(uploader)
        assert tree.open_streams == 0

    def test_a_lost_lease_leaves_the_older_version(self, uploader: Uploader, tree: FakeTree) -> None:
        data = self.payload(50_000, seed=1)
        old = self.new_media(tree, "clip.mov", data)
        previous = uploader.upload(old, self.context(uploader, old))
        new = self.new_media(tree, "clip.mov", self.payload(60_000, seed=2))
        with pytest.raises(LeaseLost):
            uploader.upload(new, self.context(uploader, new, previous=previous, lose_lease=True))
        self.assert_holds(uploader, data)

    def test_a_cancelled_upload_stops_and_leaves_nothing(self, uploader: Uploader, tree: FakeTree) -> None:
        media = self.new_media(tree, "clip.mov", self.payload(self.several_parts))
        context = self.context(uploader, media, cancel_at=self.several_parts // 2)
        with pytest.raises(OperationCancelled) as caught:
            uploader.upload(media, context)
        assert caught.value.reason is CancelReason.USER
        assert context.bytes_read <= self.several_parts // 2
        self.assert_holds(uploader)
        assert tree.open_streams == 0

    @pytest.mark.parametrize("error", [SourceOfflineError, AssetChanged, AssetNotFound, TransientError])
    def test_what_the_source_raises_passes_unchanged(
        self, uploader: Uploader, tree: FakeTree, error: type[Exception]
    ) -> None:
        media = self.new_media(tree, "clip.mov", self.payload(self.several_parts))
        raised = error("of the source")
        with FaultPlan([Fault("read", at_byte=self.several_parts // 2, raises=raised)]) as plan:
            with pytest.raises(error) as caught:
                uploader.upload(plan.media(media), self.context(uploader, media))
            assert caught.value is raised
        self.assert_holds(uploader)
        assert tree.open_streams == 0

    def test_an_input_error_of_the_source_is_retried(self, uploader: Uploader, tree: FakeTree) -> None:
        data = self.payload(self.several_parts)
        media = self.new_media(tree, "clip.mov", data)
        broken = OSError(errno.EIO, "cannot be read")
        with FaultPlan([Fault("read", at_byte=1_000, raises=broken)]) as plan:
            with pytest.raises(Exception, match=r".") as caught:
                uploader.upload(plan.media(media), self.context(uploader, media))
            assert not isinstance(caught.value, _WRONG_FOR_A_SOURCE)
        self.assert_holds(uploader)
        self.deliver(uploader, media, self.context(uploader, media, attempt=2))
        self.assert_holds(uploader, data)

    def test_a_file_that_ends_early_is_not_delivered(self, uploader: Uploader, tree: FakeTree) -> None:
        data = self.payload(self.several_parts)
        media = self.new_media(tree, "clip.mov", data)
        with FaultPlan([Fault("read", at_byte=self.several_parts // 2, cut=True)]) as plan:
            with pytest.raises(Exception, match=r".") as caught:
                uploader.upload(plan.media(media), self.context(uploader, media))
            assert not isinstance(caught.value, _WRONG_FOR_A_SOURCE)
        self.assert_holds(uploader)
        self.deliver(uploader, media, self.context(uploader, media, attempt=2))
        self.assert_holds(uploader, data)

    def test_a_file_that_grows_is_never_delivered_longer(self, uploader: Uploader, tree: FakeTree) -> None:
        data = self.payload(100_000)
        media = self.new_media(tree, "clip.mov", data)

        def grow() -> None:
            tree.file("clip.mov").data += b"more"

        with FaultPlan([Fault("read", at_byte=50_000, calls=grow)]) as plan:
            try:
                uploader.upload(plan.media(media), self.context(uploader, media))
            except (AssetChanged, TransientError):
                self.assert_holds(uploader)
            else:
                self.assert_holds(uploader, data)

    def test_streams_are_closed_and_files_never_read_whole(self, uploader: Uploader, tree: FakeTree) -> None:
        media = self.new_media(tree, "clip.mov", self.payload(self.several_parts))
        context = self.context(uploader, media)
        uploader.upload(media, context)
        assert tree.open_streams == 0
        assert 0 <= context.largest_read <= _MOST_BYTES_A_READ, "a read asked for everything at once"
        assert 0 < tree.largest_read <= _MOST_BYTES_A_READ, "a read asked for everything at once"

    def test_several_threads_upload_at_once(self, uploader: Uploader, tree: FakeTree) -> None:
        expected = [self.payload(20_000 + number, seed=number) for number in range(8)]
        items = [self.new_media(tree, f"{number}/clip-{number}.mov", data) for number, data in enumerate(expected)]
        with ThreadPoolExecutor(4) as pool:
            pending = [pool.submit(uploader.upload, media, self.context(uploader, media)) for media in items]
            for data, future in zip(expected, pending, strict=True):
                self.assert_receipt_fits(future.result(self.hang_guard), data)
        self.assert_holds(uploader, *expected)

    def test_it_can_be_closed_twice(self, uploader: Uploader) -> None:
        uploader.close()
        uploader.close()
