"""Wrong uploaders of other kinds: resumable, in batches, asynchronous, fanned out; and answers that no folder gives."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.abc import BatchItem, UploadContext, Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AlreadyExists, PermanentError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadOutcome, UploadReceipt
from media_watch_tasks.testing.contracts import uploader as suite
from media_watch_tasks.testing.contracts.uploader_capabilities import FindsExistingContract
from media_watch_tasks.testing.fakes import FakeBatchUploader, FakeUploader, RecordingUploader, ResumableFakeUploader
from media_watch_tasks.uploaders import AllOf
from media_watch_tasks.uploaders.lazy_loop import LazyLoop
from media_watch_tasks.uploaders.private_loop import PrivateLoop

FAKES = "tests/contracts/test_fake_uploaders.py::"
PLAIN = FAKES + "TestFakeUploader::"
RECORDING = FAKES + "TestRecordingUploader::"
RESUMABLE = FAKES + "TestResumableFakeUploader::"
BATCH = FAKES + "TestFakeBatchUploader::"
LOOP = "tests/unit/test_async_uploader_loop.py::"
ALL_OF = "tests/unit/test_all_of.py::"
Deliver = Callable[[FakeUploader, ResolvedMedia, UploadContext], UploadReceipt]

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


def _deliver_by(patch: pytest.MonkeyPatch, wrong: Callable[[Deliver], Deliver]) -> None:
    patch.setattr(FakeUploader, "_deliver", wrong(FakeUploader._deliver))


@killed_by(PLAIN + "test_every_capability_comes_with_its_suite")
def has_a_capability_that_nobody_tests(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(suite, "_SUITES", ((Uploader, FindsExistingContract),))


@killed_by(PLAIN + "test_the_destination_id_is_stable_and_holds_no_secret")
def names_itself_otherwise_each_time(patch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    patch.setattr(FakeUploader, "destination_id", property(lambda _: f"fake-{next(numbers)}"))


@killed_by(PLAIN + "test_the_destination_id_is_stable_and_holds_no_secret")
def names_itself_by_its_password(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeUploader, "destination_id", property(lambda _: "http://user:hunter2@host/"))


@killed_by(PLAIN + "test_the_same_key_twice_ends_in_the_same_state")
def keeps_a_second_object_of_one_key(patch: pytest.MonkeyPatch) -> None:
    def wrong(right: Deliver) -> Deliver:
        def deliver(self: FakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            kept = self.objects.pop(context.key, None)
            receipt = right(self, media, context)
            if kept is not None:
                self.objects[context.key + " (1)"] = kept
            return receipt

        return deliver

    _deliver_by(patch, wrong)


@killed_by(PLAIN + "test_the_same_key_twice_ends_in_the_same_state")
def calls_a_conflict_a_success_without_proof(patch: pytest.MonkeyPatch) -> None:
    def wrong(right: Deliver) -> Deliver:
        def deliver(self: FakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            if context.key in self.objects:
                raise AlreadyExists("409")
            return right(self, media, context)

        return deliver

    _deliver_by(patch, wrong)


@killed_by(PLAIN + "test_a_newer_version_is_delivered")
def sends_nothing_where_something_stands(patch: pytest.MonkeyPatch) -> None:
    def wrong(right: Deliver) -> Deliver:
        def deliver(self: FakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            if self.delivered(media.asset.asset_id):
                return UploadReceipt(context.key)
            return right(self, media, context)

        return deliver

    _deliver_by(patch, wrong)


@killed_by(PLAIN + "test_files_of_one_name_never_overwrite_each_other")
def keeps_one_object_a_name(patch: pytest.MonkeyPatch) -> None:
    def wrong(right: Deliver) -> Deliver:
        def deliver(self: FakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            for key in [key for key, asset in self.assets.items() if asset.name == media.asset.name]:
                del self.objects[key], self.assets[key]
            return right(self, media, context)

        return deliver

    _deliver_by(patch, wrong)


@killed_by(PLAIN + "test_a_hostile_name_arrives_or_is_refused")
def refuses_a_name_after_it_was_delivered(patch: pytest.MonkeyPatch) -> None:
    def wrong(right: Deliver) -> Deliver:
        def deliver(self: FakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            right(self, media, context)
            raise PermanentError("the name is not allowed")

        return deliver

    _deliver_by(patch, wrong)


@killed_by(
    PLAIN + "test_what_the_source_raises_passes_unchanged",
    PLAIN + "test_a_file_that_ends_early_is_not_delivered",
)
def takes_trouble_of_the_source_for_its_end(patch: pytest.MonkeyPatch) -> None:
    def deliver(self: FakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        parts = []
        with media.open() as body:
            watched = context.watch(body)
            try:
                while part := watched.read(1 << 20):
                    parts.append(part)
            except Exception:  # noqa: BLE001 - what is wrong with it
                parts.append(b"")
        self.objects[context.key] = b"".join(parts)
        return UploadReceipt(context.key)

    patch.setattr(FakeUploader, "_deliver", deliver)


@killed_by(PLAIN + "test_an_input_error_of_the_source_is_retried")
def gives_a_file_up_that_cannot_be_read(patch: pytest.MonkeyPatch) -> None:
    def wrong(right: Deliver) -> Deliver:
        def deliver(self: FakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            try:
                return right(self, media, context)
            except OSError as error:
                raise PermanentError("cannot be read") from error

        return deliver

    _deliver_by(patch, wrong)


@killed_by(PLAIN + "test_several_threads_upload_at_once")
def keeps_the_file_of_the_moment_in_itself(patch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4)

    def wrong(right: Deliver) -> Deliver:
        def deliver(self: Any, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            # Only where four threads are at work do they meet here.
            self.media = media
            try:
                together.wait(1.0 if threading.current_thread() is not threading.main_thread() else 0.0)
            except threading.BrokenBarrierError:
                together.reset()
            return right(self, self.media, context)

        return deliver

    _deliver_by(patch, wrong)


@killed_by(RECORDING + "test_equal_name_and_size_is_no_proof", RECORDING + "test_a_file_that_shrank_is_no_proof")
def finds_by_name(patch: pytest.MonkeyPatch) -> None:
    def find(self: RecordingUploader, media: ResolvedMedia, _context: UploadContext) -> UploadReceipt | None:
        return UploadReceipt("found") if self.delivered(media.asset.asset_id) else None

    patch.setattr(RecordingUploader, "find_existing", find)


@killed_by(RECORDING + "test_what_was_delivered_is_found")
def finds_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordingUploader, "find_existing", lambda *_: None)


@killed_by(
    RECORDING + "test_nothing_is_found_at_an_empty_destination",
    RECORDING + "test_what_was_cut_off_is_not_found",
)
def finds_whatever_it_is_asked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordingUploader, "find_existing", lambda *_: UploadReceipt("found"))


@killed_by(RECORDING + "test_a_delivered_file_verifies_with_and_without_its_source")
def verifies_only_with_the_source(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordingUploader, "verify", lambda _self, media, _receipt: media is not None)


@killed_by(RECORDING + "test_a_usable_destination_passes_and_stays_empty")
def leaves_an_object_of_its_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordingUploader, "check", lambda self: self.objects.update(check=b"check"))


# ---- resumable


@killed_by(RESUMABLE + "test_it_goes_on_where_it_was_cut_off", RESUMABLE + "test_parts_of_two_versions_never_meet")
def keeps_no_state(patch: pytest.MonkeyPatch) -> None:
    right = ResumableFakeUploader.upload

    def upload(self: ResumableFakeUploader, media: ResolvedMedia, context: Any) -> UploadReceipt:
        context.save_resume_state = lambda _state: None
        return right(self, media, context)

    patch.setattr(ResumableFakeUploader, "upload", upload)


@killed_by(RESUMABLE + "test_it_goes_on_where_it_was_cut_off")
def begins_again_in_spite_of_its_state(patch: pytest.MonkeyPatch) -> None:
    right = ResumableFakeUploader.upload

    def upload(self: ResumableFakeUploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        self.unfinished.clear()
        return right(self, media, context)

    patch.setattr(ResumableFakeUploader, "upload", upload)


@killed_by(RESUMABLE + "test_it_goes_on_where_it_was_cut_off")
def keeps_a_signed_url_as_state(patch: pytest.MonkeyPatch) -> None:
    right = ResumableFakeUploader.upload

    def upload(self: ResumableFakeUploader, media: ResolvedMedia, context: Any) -> UploadReceipt:
        save = context.save_resume_state
        context.save_resume_state = lambda state: save({**state, "url": "https://host/part?signature=hunter2"})
        return right(self, media, context)

    patch.setattr(ResumableFakeUploader, "upload", upload)


@killed_by(RESUMABLE + "test_parts_of_two_versions_never_meet")
def knows_an_upload_by_its_path(patch: pytest.MonkeyPatch) -> None:
    right = ResumableFakeUploader.upload

    def upload(self: ResumableFakeUploader, media: ResolvedMedia, context: Any) -> UploadReceipt:
        if context.resume_state is None and self.unfinished:
            context._resume_state = {"upload_id": next(iter(self.unfinished))}
        return right(self, media, context)

    patch.setattr(ResumableFakeUploader, "upload", upload)


@killed_by(RESUMABLE + "test_an_aborted_state_is_gone_and_may_be_aborted_again")
def cannot_begin_again_after_an_abort(patch: pytest.MonkeyPatch) -> None:
    def abort(self: ResumableFakeUploader, state: Mapping[str, Any]) -> None:
        self.unfinished[state["upload_id"]] = b"rubbish" * 1_000

    patch.setattr(ResumableFakeUploader, "abort", abort)
    patch.setattr("media_watch_tasks.testing.fakes.resumable.AssetChanged", AssertionError)


# ---- batches


def _outcomes(patch: pytest.MonkeyPatch, wrong: Callable[[Sequence[UploadOutcome]], Sequence[UploadOutcome]]) -> None:
    right = FakeBatchUploader.upload_batch

    def upload_batch(
        self: FakeBatchUploader, items: Sequence[BatchItem], *, cancel: CancelToken
    ) -> Iterator[UploadOutcome]:
        yield from wrong(list(right(self, items, cancel=cancel)))

    patch.setattr(FakeBatchUploader, "upload_batch", upload_batch)


@killed_by(BATCH + "test_a_full_batch_gives_one_outcome_an_item", BATCH + "test_a_bad_item_leaves_the_others_alone")
def forgets_an_item(patch: pytest.MonkeyPatch) -> None:
    _outcomes(patch, lambda outcomes: outcomes[:-1])


@killed_by(BATCH + "test_a_full_batch_gives_one_outcome_an_item")
def tells_an_outcome_twice(patch: pytest.MonkeyPatch) -> None:
    _outcomes(patch, lambda outcomes: [*outcomes, outcomes[0]])


@killed_by(BATCH + "test_a_bad_item_leaves_the_others_alone")
def lets_a_bad_item_spoil_the_batch(patch: pytest.MonkeyPatch) -> None:
    def wrong(outcomes: Sequence[UploadOutcome]) -> Sequence[UploadOutcome]:
        bad = next((outcome.error for outcome in outcomes if outcome.error), None)
        return [UploadOutcome(outcome.key, error=bad) for outcome in outcomes] if bad else outcomes

    _outcomes(patch, wrong)


# ---- asynchronous, and several destinations


@killed_by(LOOP + "test_all_threads_share_one_loop_in_one_thread")
def makes_a_loop_for_each_upload(patch: pytest.MonkeyPatch) -> None:
    made: list[PrivateLoop] = []

    def started(_self: LazyLoop) -> PrivateLoop:
        made.append(PrivateLoop("mutant"))
        return made[-1]

    async def nothing() -> None:
        await asyncio.sleep(0)

    patch.setattr(LazyLoop, "started", started)

    def close(*_: object) -> None:
        while made:
            made.pop().close(nothing)

    patch.setattr(LazyLoop, "close", close)


@killed_by(LOOP + "test_what_the_coroutine_raises_comes_unchanged_and_the_loop_lives[error2]")
def wraps_what_the_coroutine_raises(patch: pytest.MonkeyPatch) -> None:
    right = PrivateLoop.run

    def run(self: PrivateLoop, *arguments: Any) -> Any:
        try:
            return right(self, *arguments)
        except ZeroDivisionError as error:
            # The same class, so that only the look at the very exception tells them apart.
            raise ZeroDivisionError("wrapped") from error

    patch.setattr(PrivateLoop, "run", run)


@killed_by(LOOP + "test_close_cancels_what_runs_closes_on_the_loop_and_ends_the_thread")
def closes_in_the_thread_of_the_caller(patch: pytest.MonkeyPatch) -> None:
    right = PrivateLoop.close

    async def nothing() -> None:
        await asyncio.sleep(0)

    def close(self: PrivateLoop, last: Callable[[], Any]) -> None:
        right(self, nothing)
        asyncio.run(last())

    patch.setattr(PrivateLoop, "close", close)


@killed_by(LOOP + "test_a_cancelled_token_cancels_the_coroutine_and_waits_for_it")
def leaves_a_cancelled_coroutine_to_itself(patch: pytest.MonkeyPatch) -> None:
    right = asyncio.run_coroutine_threadsafe

    def threadsafe(coroutine: Any, loop: asyncio.AbstractEventLoop) -> Any:
        future = right(coroutine, loop)
        token = coroutine.cr_frame.f_locals.get("cancel") if coroutine.cr_frame else None
        if isinstance(token, CancelToken):
            token.on_cancel(lambda _reason: future.cancel())
        return future

    patch.setattr(asyncio, "run_coroutine_threadsafe", threadsafe)


@killed_by(ALL_OF + "test_two_parts_of_one_destination_are_refused_by_name")
def takes_two_parts_of_one_destination(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AllOf, "__init__", lambda self, uploaders: setattr(self, "_parts", tuple(uploaders)))


@killed_by(ALL_OF + "test_it_has_no_upload_of_its_own")
def uploads_to_the_first_part_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AllOf, "upload", lambda self, media, context: self.parts[0].upload(media, context))


@MUTANTS.each()
def test_a_wrong_uploader_is_found_out(assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str) -> None:
    assert_killed(mutant, test)
