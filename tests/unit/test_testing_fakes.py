"""The fakes keep the promises of the interfaces that they stand for."""

from __future__ import annotations

import hashlib

import attrs
import pytest

from media_watch_tasks.abc import BatchItem, FindsExisting, Verifies
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    ConfigurationError,
    LeaseLost,
    OperationCancelled,
    PermanentError,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import KnownDirectories, KnownDirectory, ProblemKind, ScanPage
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.fakes import (
    FakeBatchUploader,
    FakeContext,
    FakeProber,
    FakeResolver,
    FakeScanner,
    FakeTree,
    FakeUploader,
    RecordingUploader,
)

LIVE = CancelToken()


def _scan(
    scanner: FakeScanner, *, known: KnownDirectories | None = None, resume_from: str | None = None
) -> list[ScanPage]:
    return list(scanner.scan_assets(known=known, resume_from=resume_from, cancel=CancelToken()))


def _cancelled() -> CancelToken:
    token = CancelToken()
    token.cancel(CancelReason.SHUTDOWN)
    return token


class TestTreeAndScanner:
    def test_directories_come_in_the_order_of_their_components(self) -> None:
        tree = FakeTree()
        for path in ("a-b/x", "a/z", "a/b/y", "top"):
            tree.put(path)
        pages = _scan(FakeScanner(tree))
        assert [page.directory for page in pages] == [b"", b"a", b"a/b", b"a-b"]
        assert [asset.asset_id for page in pages for asset in page.assets] == tree.paths()

    def test_a_directory_comes_in_pages_and_the_last_one_is_complete(self) -> None:
        tree = FakeTree()
        for number in range(5):
            tree.put(f"d/{number}")
        pages = [page for page in _scan(FakeScanner(tree, page_size=2)) if page.directory == b"d"]
        assert [(len(page.rows), page.complete) for page in pages] == [(2, False), (2, False), (1, True)]

    def test_an_unchanged_directory_is_not_listed_and_its_children_are_visited(self) -> None:
        tree = FakeTree()
        tree.put("a/1")
        tree.put("a/b/2")
        first = FakeScanner(tree)
        known = {
            page.directory: KnownDirectory(page.stamp, page.directories or ())
            for page in _scan(first)
            if page.stamp is not None
        }
        tree.put("a/b/3")
        second = FakeScanner(tree)
        pages = {page.directory: page for page in _scan(second, known=known)}
        assert second.listed == [b"a/b"]
        assert pages[b"a"].unchanged
        assert not pages[b"a"].rows
        assert [row[0] for row in pages[b"a/b"].rows] == [b"2", b"3"]

    def test_a_scan_resumes_behind_a_checkpoint_whose_directory_is_gone(self) -> None:
        tree = FakeTree()
        for path in ("a/1", "b/2", "c/3"):
            tree.put(path)
        checkpoint = next(page.checkpoint for page in _scan(FakeScanner(tree)) if page.directory == b"b")
        tree.remove_directory("b")
        assert [page.directory for page in _scan(FakeScanner(tree), resume_from=checkpoint)] == [b"c"]

    def test_a_directory_deleted_after_its_parent_was_listed_is_empty_and_complete(self) -> None:
        tree = FakeTree()
        tree.put("a/1")
        pages = FakeScanner(tree).scan_assets(cancel=LIVE)
        assert next(pages).directories == (b"a",)
        tree.remove_directory("a")
        gone = next(pages)
        assert (gone.directory, gone.rows, gone.complete, gone.problems) == (b"a", (), True, ())

    def test_a_foreign_checkpoint_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="checkpoint"):
            _scan(FakeScanner(FakeTree()), resume_from="elsewhere")

    def test_an_unreadable_directory_is_a_problem_and_the_scan_goes_on(self) -> None:
        tree = FakeTree()
        tree.put("a/1")
        tree.put("b/2")
        tree.set_readable("a", readable=False)
        pages = {page.directory: page for page in _scan(FakeScanner(tree))}
        assert [problem.kind for problem in pages[b"a"].problems] == [ProblemKind.UNREADABLE]
        assert not pages[b"a"].complete
        assert len(pages[b"b"].rows) == 1

    def test_an_offline_tree_ends_everything(self) -> None:
        tree = FakeTree()
        asset = tree.put("a")
        scanner, resolver = FakeScanner(tree), FakeResolver(tree)
        body = resolver.resolve_for_upload(asset, cancel=LIVE).open()
        with tree.taken_offline(), body:
            for call in (
                lambda: scanner.identify(cancel=LIVE),
                lambda: _scan(scanner),
                lambda: resolver.stat([asset], cancel=LIVE),
                lambda: resolver.resolve_for_upload(asset, cancel=LIVE),
                lambda: body.read(1),
            ):
                with pytest.raises(SourceOfflineError):
                    call()
        assert scanner.identify(cancel=LIVE) == tree.identity

    def test_another_identity_stands_for_another_disk(self) -> None:
        tree = FakeTree()
        before = FakeScanner(tree).identify(cancel=LIVE)
        tree.identity = RootIdentity(strong="another disk")
        assert FakeScanner(tree).identify(cancel=LIVE) != before

    def test_a_cancelled_scan_raises(self) -> None:
        with pytest.raises(OperationCancelled):
            list(FakeScanner(FakeTree()).scan_assets(cancel=_cancelled()))

    def test_a_move_keeps_bytes_mtime_and_file_id(self) -> None:
        tree = FakeTree()
        old = tree.put("a/1", b"x")
        new = tree.move("a/1", "b/2")
        assert attrs.evolve(new, asset_id=old.asset_id) == old
        assert tree.paths() == [b"b/2"]


class TestResolver:
    def test_every_open_gives_the_bytes_from_the_start(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a.mov", b"0123456789"), cancel=LIVE)
        with media.open() as first, media.open() as second, media.open_range(3, 4) as part:
            assert first.read(5) == b"01234"
            assert second.read() == b"0123456789"
            assert part.read() == b"3456"
            assert tree.open_streams == 3
        assert tree.open_streams == 0
        assert media.mime_type == "video/quicktime"

    def test_a_changed_file_and_a_file_that_is_gone_are_told_apart(self) -> None:
        tree = FakeTree()
        resolver = FakeResolver(tree)
        asset = tree.put("a")
        media = resolver.resolve_for_upload(asset, cancel=LIVE)
        tree.change("a")
        for call in (media.open, lambda: resolver.resolve_for_upload(asset, cancel=LIVE)):
            with pytest.raises(AssetChanged):
                call()
        tree.remove("a")
        with pytest.raises(AssetNotFound):
            media.open()
        assert resolver.stat([asset], cancel=LIVE) == [None]

    def test_a_file_changed_while_it_is_read_gives_bytes_of_both_versions(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a", b"aaaa"), cancel=LIVE)
        with media.open() as body:
            start = body.read(2)
            tree.change("a", b"bbbb")
            assert start + body.read() == b"aabb"

    def test_the_prober_is_asked_unless_the_metadata_is_known(self) -> None:
        tree = FakeTree()
        asset = tree.put("a.mov", b"12345")
        prober = FakeProber({"b.mov": ValueError("no")})
        resolver = FakeResolver(tree, prober=prober)
        assert resolver.resolve_for_upload(asset, cancel=LIVE).metadata == MediaMetadata(size=5, method="fake")
        known = MediaMetadata(title="known")
        assert resolver.resolve_for_upload(asset, known_metadata=known, cancel=LIVE).metadata == known
        assert prober.probed == ["a.mov"]
        with pytest.raises(ValueError, match="no"):
            resolver.resolve_for_upload(tree.put("b.mov"), cancel=LIVE)


class TestUploaders:
    def test_the_bytes_are_kept_by_key_and_the_receipt_names_them(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a", b"bytes"), cancel=LIVE)
        context = FakeContext.for_media(media)
        uploader = FakeUploader()
        receipt = uploader.upload(media, context)
        assert uploader.objects == {context.key: b"bytes"}
        assert receipt.sha256 == hashlib.sha256(b"bytes").hexdigest()
        assert uploader.delivered("a") == [b"bytes"]
        assert (context.bytes_read, context.confirmations) == (5, 1)

    def test_the_script_decides_call_by_call(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a"), cancel=LIVE)
        receipt = UploadReceipt("elsewhere")
        seen: list[int] = []
        uploader = FakeUploader(
            outcomes=[
                TransientError("no"),
                PermanentError,
                receipt,
                None,
                lambda _media, context: seen.append(context.attempt),
            ]
        )
        with pytest.raises(TransientError, match="no"):
            uploader.upload(media, FakeContext())
        with pytest.raises(PermanentError):
            uploader.upload(media, FakeContext())
        assert uploader.upload(media, FakeContext()) is receipt
        assert uploader.objects == {}
        uploader.upload(media, FakeContext("1" * 64))
        uploader.upload(media, FakeContext("2" * 64, attempt=5))
        assert list(uploader.objects) == ["1" * 64, "2" * 64]
        assert seen == [5]
        assert len(uploader.calls) == 5

    def test_a_file_that_shrank_is_not_delivered(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a", b"12345"), cancel=LIVE)
        uploader = FakeUploader(outcomes=[lambda *_: None])
        stream = media.open()
        tree.file("a").data = b"123"
        with stream, pytest.raises(AssetChanged):
            uploader.upload(attrs.evolve(media, open_stream=lambda *_: stream), FakeContext())
        assert uploader.objects == {}

    def test_a_recording_uploader_finds_and_verifies_what_it_has(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a"), cancel=LIVE)
        uploader, context = RecordingUploader(), FakeContext()
        assert isinstance(uploader, FindsExisting)
        assert isinstance(uploader, Verifies)
        assert uploader.find_existing(media, context) is None
        receipt = uploader.upload(media, context)
        assert uploader.find_existing(media, context) == receipt
        assert uploader.verify(None, receipt)
        assert not uploader.verify(None, attrs.evolve(receipt, sha256="0" * 64))
        uploader.check()
        uploader.check_error = ConfigurationError("wrong")
        with pytest.raises(ConfigurationError):
            uploader.check()
        assert not isinstance(FakeUploader(), FindsExisting)

    def test_a_batch_gives_one_outcome_an_item(self) -> None:
        tree = FakeTree()
        resolver = FakeResolver(tree)
        items = []
        for number, path in enumerate(("a", "b", "c")):
            media = resolver.resolve_for_upload(tree.put(path), cancel=LIVE)
            items.append(BatchItem(media, FakeContext(f"{number}" * 64)))
        uploader = FakeBatchUploader(errors={b"b": PermanentError("no")}, forgets=[b"c"])
        outcomes = {outcome.key[0]: outcome for outcome in uploader.upload_batch(items, cancel=LIVE)}
        assert set(outcomes) == {"0", "1"}
        assert outcomes["0"].receipt is not None
        assert isinstance(outcomes["1"].error, PermanentError)
        with pytest.raises(RuntimeError, match="no outcome"):
            uploader.upload(items[2].media, items[2].context)


class TestContext:
    def test_it_is_cancelled_at_the_byte(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a", b"0123456789"), cancel=LIVE)
        context = FakeContext(cancel_at=4)
        with media.open() as body:
            watched = context.watch(body)
            assert watched.read(100) == b"0123"
            with pytest.raises(OperationCancelled):
                watched.read(100)
        assert context.cancel.reason is CancelReason.USER
        with pytest.raises(OperationCancelled):
            context.progress(4)

    def test_reading_everything_at_once_is_cancelled_too(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a", b"0123456789"), cancel=LIVE)
        with media.open() as body, pytest.raises(OperationCancelled):
            FakeContext(cancel_at=4).watch(body).read()
        assert tree.largest_read > 0

    def test_the_lease_is_lost_at_confirm(self) -> None:
        context = FakeContext(lose_lease=True)
        for call in (context.confirm, lambda: context.save_resume_state({})):
            with pytest.raises(LeaseLost):
                call()
        assert (context.confirmations, context.saved_states) == (0, [])

    def test_a_saved_state_is_what_the_next_attempt_gets(self) -> None:
        context = FakeContext(resume_state={"part": 1})
        assert context.resume_state == {"part": 1}
        context.save_resume_state({"part": 2})
        assert context.resume_state == {"part": 2}
        context.save_resume_state(None)
        assert context.resume_state is None

    def test_the_key_is_that_of_the_version_and_the_destination(self) -> None:
        tree = FakeTree()
        first = FakeContext.for_media(tree.put("a")).key
        assert first == FakeContext.for_media(tree.asset("a")).key
        assert first != FakeContext.for_media(tree.asset("a"), destination_id="other").key
        assert first != FakeContext.for_media(tree.change("a")).key

    def test_a_stream_read_whole_is_told_by_the_tree(self) -> None:
        tree = FakeTree()
        media = FakeResolver(tree).resolve_for_upload(tree.put("a"), cancel=LIVE)
        context = FakeContext()
        with media.open() as body:
            context.watch(body).read(7)
            assert (tree.largest_read, context.largest_read) == (7, 7)
        with media.open() as body:
            context.watch(body).read()
            assert context.largest_read == -1
            assert tree.largest_read > 0
        with media.open() as body:
            body.read()
        assert tree.largest_read == -1
