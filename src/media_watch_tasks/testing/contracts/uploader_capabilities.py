"""Suites for the optional capabilities of uploaders; an uploader's test class takes those that it needs."""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name states its fact

from __future__ import annotations

import json
import time
from typing import ClassVar

import attrs
import pytest

from media_watch_tasks.abc.uploader import (
    BatchItem,
    BatchUploader,
    Checks,
    FindsExisting,
    RemovesUnfinished,
    Uploader,
    Verifies,
)
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import TransientError
from media_watch_tasks.model.redaction import without_url_secrets
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader_base import UploaderSuite
from media_watch_tasks.testing.fakes import FakeTree
from media_watch_tasks.testing.faults import Fault, FaultPlan

__all__ = [
    "BatchUploaderContract",
    "ChecksContract",
    "FindsExistingContract",
    "RemovesUnfinishedContract",
    "ResumableContract",
    "VerifiesContract",
]


class FindsExistingContract(UploaderSuite):
    """An answer rests on proof: the key or hash stored with the object, or a re-read that hashes equal."""

    def test_nothing_is_found_at_an_empty_destination(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, FindsExisting)
        media = self.new_media(tree, "clip.mov", self.payload(1_000))
        assert uploader.find_existing(media, self.context(uploader, media)) is None

    def test_what_was_delivered_is_found(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, FindsExisting)
        data = self.payload(100_000)
        media = self.new_media(tree, "clip.mov", data)
        sent = uploader.upload(media, self.context(uploader, media))
        found = uploader.find_existing(media, self.context(uploader, media, attempt=2))
        assert found is not None
        assert found.remote_id == sent.remote_id
        self.assert_receipt_fits(found, data)
        self.assert_holds(uploader, data)
        assert tree.open_streams == 0

    def test_equal_name_and_size_is_no_proof(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, FindsExisting)
        old = self.new_media(tree, "clip.mov", self.payload(100_000, seed=1))
        previous = uploader.upload(old, self.context(uploader, old))
        new = self.new_media(tree, "clip.mov", self.payload(100_000, seed=2))
        for receipt in (None, previous):
            assert uploader.find_existing(new, self.context(uploader, new, previous=receipt)) is None

    def test_what_was_cut_off_is_not_found(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, FindsExisting)
        media = self.new_media(tree, "clip.mov", self.payload(self.several_parts))
        fault = Fault("read", at_byte=self.several_parts // 2, raises=TransientError("cut off"))
        with FaultPlan([fault]) as plan, pytest.raises(TransientError):
            uploader.upload(plan.media(media), self.context(uploader, media))
        assert uploader.find_existing(media, self.context(uploader, media, attempt=2)) is None

    def test_a_file_that_shrank_is_no_proof(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, FindsExisting)
        data = self.payload(100_000)
        short = self.new_media(tree, "clip.mov", data[:60_000])
        uploader.upload(short, self.context(uploader, short))
        full = self.new_media(tree, "clip.mov", data)
        assert uploader.find_existing(full, self.context(uploader, full)) is None


class VerifiesContract(UploaderSuite):
    """`verify` looks at the destination."""

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        """Override: make the destination lose, or change, the object of this receipt."""
        raise NotImplementedError("override `damage`")

    def test_a_delivered_file_verifies_with_and_without_its_source(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, Verifies)
        media = self.new_media(tree, "clip.mov", self.payload(100_000))
        receipt = uploader.upload(media, self.context(uploader, media))
        assert uploader.verify(media, receipt)
        assert uploader.verify(None, receipt)

    def test_a_damaged_object_does_not_verify(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, Verifies)
        media = self.new_media(tree, "clip.mov", self.payload(100_000))
        receipt = uploader.upload(media, self.context(uploader, media))
        self.damage(uploader, receipt)
        assert not uploader.verify(media, receipt)
        assert not uploader.verify(None, receipt)

    def test_an_unknown_object_does_not_verify(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, Verifies)
        media = self.new_media(tree, "clip.mov", self.payload(1_000))
        receipt = uploader.upload(media, self.context(uploader, media))
        assert not uploader.verify(None, attrs.evolve(receipt, remote_id="never/delivered.mov"))


class ChecksContract(UploaderSuite):
    """`check` leaves no trace at a destination that can be used."""

    def test_a_usable_destination_passes_and_stays_empty(self, uploader: Uploader) -> None:
        assert isinstance(uploader, Checks)
        uploader.check()
        uploader.check()
        self.assert_holds(uploader)


class RemovesUnfinishedContract(UploaderSuite):
    """What a cut-off upload left is known by the state that it kept, and never meets another version."""

    resumable_size: ClassVar[int] = 3 * 1024 * 1024 + 17
    """Bytes of a file that is cut off."""
    cut_at: ClassVar[int] = 5 * 512 * 1024
    """The byte at which that happens; something of it stands at the destination by then."""

    def leftovers(self, uploader: Uploader) -> int:  # noqa: ARG002 - for those that override it
        """Override where they can be counted: the unfinished uploads that the destination holds now."""
        return 0

    def _cut_off(self, uploader: Uploader, tree: FakeTree, *, seed: int) -> dict[str, object]:
        media = self.new_media(tree, "clip.mov", self.payload(self.resumable_size, seed=seed))
        context = self.context(uploader, media)
        fault = Fault("read", at_byte=self.cut_at, raises=TransientError("cut off"))
        with FaultPlan([fault]) as plan, pytest.raises(TransientError):
            uploader.upload(plan.media(media), context)
        self.assert_holds(uploader)
        state = context.resume_state
        assert state, "a cut-off upload kept no state"
        text = json.dumps(dict(state))
        assert without_url_secrets(text) == text, "the state holds a query string or user info"
        return dict(json.loads(text))

    def test_an_aborted_state_is_gone_and_may_be_aborted_again(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, RemovesUnfinished)
        state = self._cut_off(uploader, tree, seed=1)
        self._abort(uploader, state)
        assert self.leftovers(uploader) == 0, "what was cut off still stands there"
        uploader.abort(state)
        media = self.resolve(tree, tree.asset("clip.mov"))
        uploader.upload(media, self.context(uploader, media, attempt=2, resume_state=state))
        self.assert_holds(uploader, self.payload(self.resumable_size, seed=1))

    def test_the_next_attempt_leaves_nothing_of_the_one_before(self, uploader: Uploader, tree: FakeTree) -> None:
        state = self._cut_off(uploader, tree, seed=1)
        media = self.resolve(tree, tree.asset("clip.mov"))
        self.deliver(uploader, media, self.context(uploader, media, attempt=2, resume_state=state))
        self.assert_holds(uploader, self.payload(self.resumable_size, seed=1))
        assert self.leftovers(uploader) == 0, "what was cut off still stands there"

    def test_parts_of_two_versions_never_meet(self, uploader: Uploader, tree: FakeTree) -> None:
        self._cut_off(uploader, tree, seed=1)
        data = self.payload(self.resumable_size, seed=2)
        media = self.new_media(tree, "clip.mov", data)
        uploader.upload(media, self.context(uploader, media))
        self.assert_holds(uploader, data)

    def _abort(self, uploader: RemovesUnfinished, state: dict[str, object]) -> None:
        deadline = time.monotonic() + self.hang_guard
        while True:
            try:
                return uploader.abort(state)
            except TransientError:
                # As a manager does: a server may hold on to a request that broke off, for a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class ResumableContract(RemovesUnfinishedContract):
    """A cut-off upload goes on from the state that it kept."""

    def test_it_goes_on_where_it_was_cut_off(self, uploader: Uploader, tree: FakeTree) -> None:
        state = self._cut_off(uploader, tree, seed=1)
        media = self.resolve(tree, tree.asset("clip.mov"))
        context = self.context(uploader, media, attempt=2, resume_state=state)
        uploader.upload(media, context)
        self.assert_holds(uploader, self.payload(self.resumable_size, seed=1))
        assert context.bytes_read < self.resumable_size, "everything was sent again"


class BatchUploaderContract(UploaderSuite):
    """Every item of a batch gets exactly one outcome."""

    def _items(self, uploader: BatchUploader, tree: FakeTree, count: int) -> list[BatchItem]:
        items = []
        for number in range(count):
            media = self.new_media(tree, f"item-{number}.mov", self.payload(1_000 + number, seed=number))
            items.append(BatchItem(media, self.context(uploader, media)))
        return items

    def test_a_full_batch_gives_one_outcome_an_item(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, BatchUploader)
        assert uploader.max_batch_size >= 1
        items = self._items(uploader, tree, min(uploader.max_batch_size, 10))
        outcomes = list(uploader.upload_batch(items, cancel=CancelToken()))
        assert sorted(outcome.key for outcome in outcomes) == sorted(item.context.key for item in items)
        assert [outcome.error for outcome in outcomes] == [None] * len(items)
        assert len(self.contents(uploader)) == len(items)

    def test_a_bad_item_leaves_the_others_alone(self, uploader: Uploader, tree: FakeTree) -> None:
        assert isinstance(uploader, BatchUploader)
        items = self._items(uploader, tree, min(uploader.max_batch_size, 3))
        # The last file of the batch cannot be opened: its item fails, whatever is sent of it.
        with FaultPlan([Fault("open", raises=TransientError("cannot be opened"))]) as plan:
            items[-1] = BatchItem(plan.media(items[-1].media, at="open"), items[-1].context)
            outcomes = {outcome.key: outcome for outcome in uploader.upload_batch(items, cancel=CancelToken())}
        assert set(outcomes) == {item.context.key for item in items}
        failed = [key for key, outcome in outcomes.items() if outcome.error is not None]
        assert failed == [items[-1].context.key]
        assert len(self.contents(uploader)) == len(items) - 1
