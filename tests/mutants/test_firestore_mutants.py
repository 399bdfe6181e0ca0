"""Wrong catalogs, each of which a test of the Firestore room finds out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import pytest
from tests.mutants.registered import Mutants

pytest.importorskip("google.cloud.firestore", reason="the extra firestore is not installed")

from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.firestore import (
    batches,
    connection,
    contents,
    doubts,
    ramp,
    source_sync,
    statuses,
    uploader,
    watermark,
    writer,
)
from media_watch_tasks.firestore.statuses import Verdict
from media_watch_tasks.model.sources import DirectoryTotals
from media_watch_tasks.stores.sqlite.media_state_store import SqliteMediaStateStore

Patch = pytest.MonkeyPatch
Kill = Callable[[Callable[[Patch], None], str], None]
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by("sync.py::test_nothing_counts_as_gone_before_a_scan_was_complete")
def takes_a_baseline_in_progress_for_complete(patch: Patch) -> None:
    patch.setattr(source_sync, "knows_everything", lambda _store, _source: True)


@killed_by("sync.py::test_another_history_is_noticed_and_everything_written")
def believes_the_record_of_the_catalog_alone(patch: Patch) -> None:
    """Trusts any record with a sequence, as a clock or counter alone would be trusted."""

    def known(self: Any, _token: str | None) -> Any:
        records = (self._bookmarks.bookmark(self._reader) or {}).get("records", [])
        if records:
            return watermark._progress(records[0])
        return watermark.Progress(phase="steady", sequence=2, signature="DocumentMapping:1:files:missing=mark")

    patch.setattr(watermark.Watermark, "_known", known)


@killed_by("faults.py::test_what_failed_in_the_middle_is_written_by_the_next_sync")
def moves_the_watermark_before_the_documents(patch: Patch) -> None:
    take_over = watermark.Watermark.take_over

    def eager(self: Any, progress: watermark.Progress, flights: int, **options: Any) -> Any:
        done = attrs.evolve(progress, sequence=self._bookmarks.last_sequence(), phase="steady")
        return take_over(self, done, flights, **options)

    patch.setattr(watermark.Watermark, "take_over", eager)
    patch.setattr(source_sync.SourceRun, "_move", lambda *_arguments, **_options: None)


@killed_by("faults.py::test_what_is_committed_before_a_failure_is_not_written_again")
def loses_batches_that_failed(patch: Patch) -> None:
    """What BulkWriter does."""
    count = source_sync.SourceRun._count

    def forgiving(self: Any, result: Any) -> None:
        count(self, writer.WriteResult(result.write))

    patch.setattr(source_sync.SourceRun, "_count", forgiving)


@killed_by("writing.py::test_a_poison_document_never_blocks_the_499_beside_it")
def fails_the_whole_batch(patch: Patch) -> None:
    def write(self: Any, batch: Any, *, cancel: Any = None, gate: Any = None, guard: Any = None) -> Iterator[Any]:
        try:
            left_out = self._send(list(batch), cancel, gate, guard)
        except MediaWatchError as error:
            yield from (writer.WriteResult(each, error) for each in batch)
        else:
            yield from left_out
            yield from (writer.WriteResult(each) for each in batch if each not in [one.write for one in left_out])

    patch.setattr(writer.Writer, "write", write)


@killed_by("faults.py::test_each_status_that_stays_becomes_the_exception_that_says_what_to_do")
def repeats_whatever_it_is(patch: Patch) -> None:
    patch.setattr(writer.Calls, "_may_help", lambda self, error: isinstance(error, self.errors))


@killed_by(
    "faults.py::test_each_status_that_stays_becomes_the_exception_that_says_what_to_do",
    "uploader.py::test_trouble_of_the_destination_pauses_it_and_costs_no_attempt",
)
def takes_refused_credentials_for_a_refused_document(patch: Patch) -> None:
    patch.setattr(
        statuses,
        "_VERDICTS",
        {**statuses._VERDICTS, "PERMISSION_DENIED": Verdict.DOCUMENT, "UNAUTHENTICATED": Verdict.DOCUMENT,
         "RESOURCE_EXHAUSTED": Verdict.DOCUMENT},
    )  # fmt: skip


@killed_by("faults.py::test_a_commit_that_is_applied_late_never_overwrites_a_newer_version")
def knows_no_doubt(patch: Patch) -> None:
    patch.setattr(doubts.Doubts, "wait", lambda *_arguments, **_options: None)


@killed_by("writing.py::test_a_message_that_is_too_large_is_taken_apart_and_never_repeated")
def takes_too_large_for_too_often(patch: Patch) -> None:
    patch.setattr(statuses, "_TOO_LARGE", ())


@killed_by(
    "writing.py::test_batches_keep_both_limits_and_the_order",
    "writing.py::test_every_commit_of_a_sync_keeps_the_limits",
)
def counts_documents_and_no_bytes(patch: Patch) -> None:
    limits = batches.Limits(size=4_000_000)
    packed = batches.packed
    patch.setattr(source_sync, "packed", lambda writes, _limits: packed(writes, limits))
    patch.setattr(batches, "_FRAME", -10_000_000)


@killed_by("writing.py::test_the_ramp_grows_by_half_every_five_minutes_of_writing")
def never_grows(patch: Patch) -> None:
    patch.setattr(ramp.WriteRamp, "rate", property(lambda self: self._first))


@killed_by("writing.py::test_time_in_which_nothing_is_written_does_not_count")
def grows_while_nothing_is_written(patch: Patch) -> None:
    patch.setattr(ramp, "_LONGEST_GAP_NS", 10**18)


@killed_by("writing.py::test_several_commits_fly_at_once_and_no_more_than_asked_for")
def flies_without_limit(patch: Patch) -> None:
    take_over = watermark.Watermark.take_over
    patch.setattr(
        watermark.Watermark, "take_over", lambda self, progress, _flights, **rest: take_over(self, progress, 8, **rest)
    )


@killed_by("sync.py::test_parents_hold_absolute_counts_and_go_with_their_last_content")
def forgets_the_parents(patch: Patch) -> None:
    patch.setattr(contents.Contents, "parent_writes", lambda _self, _parents: iter(()))


@killed_by("sync.py::test_parents_hold_absolute_counts_and_go_with_their_last_content")
def keeps_parents_of_nothing(patch: Patch) -> None:
    def parent_write(self: Any, parent: str, totals: Sequence[DirectoryTotals]) -> Any:
        return self._connection.plain_write(parent, self.mapping.parent_fields(parent, totals))

    patch.setattr(contents.Contents, "_parent_write", parent_write)


@killed_by("sync.py::test_a_second_sync_with_nothing_changed_writes_nothing_and_reads_one_document")
def records_every_run(patch: Patch) -> None:
    perform = source_sync.SourceRun.perform

    def busy(self: Any, *, everything: bool) -> Any:
        report = perform(self, everything=everything)
        self._record(self._progress)
        return report

    patch.setattr(source_sync.SourceRun, "perform", busy)


@killed_by("sync.py::test_a_dry_run_says_what_would_be_done_and_writes_nothing")
def writes_in_a_dry_run(patch: Patch) -> None:
    init = source_sync.SourceRun.__init__

    def wet(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **{**options, "dry_run": False})

    patch.setattr(source_sync.SourceRun, "__init__", wet)


@killed_by("sync.py::test_of_two_syncs_at_once_one_is_told_and_the_catalog_ends_right")
def overwrites_the_record_of_another_sync(patch: Patch) -> None:
    move = watermark.Watermark.move

    def blind(self: Any, progress: Any, *, cancel: Any) -> Any:
        document = self._connection.get([self.path]).get(self.path)
        self._update_time = None if document is None else document.update_time
        return move(self, progress, cancel=cancel)

    patch.setattr(watermark.Watermark, "move", blind)


@killed_by(
    "overtaken.py::test_what_an_overtaken_run_has_on_its_way_is_refused",
    "overtaken.py::test_a_commit_that_arrives_after_its_sender_was_killed_is_refused",
)
def sends_without_a_guard(patch: Patch) -> None:
    write = writer.Writer.write

    def unguarded(self: Any, batch: Any, *, cancel: Any = None, gate: Any = None, guard: Any = None) -> Iterator[Any]:
        del guard
        return write(self, batch, cancel=cancel, gate=gate)

    patch.setattr(writer.Writer, "write", unguarded)


@killed_by("overtaken.py::test_a_run_that_did_not_end_leaves_a_fence_that_the_next_one_removes")
def leaves_the_fence_of_a_dead_run(patch: Patch) -> None:
    take_over = watermark.Watermark.take_over

    def polite(self: Any, *arguments: Any, **options: Any) -> Any:
        self._standing = ()
        return take_over(self, *arguments, **options)

    patch.setattr(watermark.Watermark, "take_over", polite)


@killed_by("sync.py::test_of_two_syncs_at_once_one_is_told_and_the_catalog_ends_right")
def forgets_the_record_of_the_other_sync(patch: Patch) -> None:
    save = SqliteMediaStateStore.save_bookmark
    patch.setattr(
        SqliteMediaStateStore,
        "save_bookmark",
        lambda self, reader, state: save(self, reader, {"records": state["records"][:1]}),
    )


@killed_by("sync.py::test_what_went_while_the_first_sync_was_cut_off_is_deleted_by_the_next")
def follows_no_tombstones_in_a_first_sync(patch: Patch) -> None:
    planned = source_sync.SourceRun._planned

    def living(self: Any, *, full: bool) -> Any:
        for each in planned(self, full=full):
            if not full or each.message.HasField("update"):
                yield each

    patch.setattr(source_sync.SourceRun, "_planned", living)


@killed_by("sync.py::test_parents_of_what_went_while_the_first_sync_was_cut_off_go_too")
def counts_only_what_stands_at_the_end_of_a_first_sync(patch: Patch) -> None:
    finish = source_sync.SourceRun._finish

    def hasty(self: Any, places: Any) -> Any:
        self._touched.clear()
        return finish(self, places)

    patch.setattr(source_sync.SourceRun, "_finish", hasty)


@killed_by("uploader.py::test_an_answer_that_was_lost_is_found_and_nothing_is_written_twice")
def looks_for_nothing(patch: Patch) -> None:
    patch.setattr(uploader.FirestoreUploader, "find_existing", lambda *_arguments: None)


@killed_by(
    "uploader.py::test_items_whose_lease_is_lost_are_left_out_and_the_others_delivered",
    "uploader_contract.py::TestFirestoreUploader::test_nothing_is_visible_before_the_lease_is_confirmed",
)
def asks_nobody_before_it_writes(patch: Patch) -> None:
    patch.setattr(uploader, "_confirmed", lambda _writes: [])


@killed_by("uploader_contract.py::TestFirestoreUploader::test_equal_name_and_size_is_no_proof")
def takes_any_document_for_proof(patch: Patch) -> None:
    plain = connection.Connection.plain_fields

    class Anything(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __ne__(self, other: object) -> bool:
            return False

    patch.setattr(
        connection.Connection, "plain_fields", lambda self, message: {**plain(self, message), "key": Anything()}
    )


@killed_by("uploader.py::test_a_receipt_of_an_earlier_document_is_not_taken_for_that_of_the_bytes")
def takes_any_earlier_receipt_for_that_of_the_bytes(patch: Patch) -> None:
    patch.setattr(uploader.FirestoreUploader, "_delivered_before", lambda _self, context: context.previous)


@pytest.fixture(scope="session")
def _one_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One emulator for all runs of tests inside of these."""
    import importlib.util  # noqa: PLC0415 - for this alone
    from pathlib import Path  # noqa: PLC0415 - as above

    path = Path(__file__).parents[1] / "firestore" / "conftest.py"
    spec = importlib.util.spec_from_file_location("firestore_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as environment, module.running_emulator() as port:
        environment.setenv("MWT_FIRESTORE_EMULATOR_PORT", str(port))
        yield


@pytest.mark.usefixtures("_one_emulator")
@pytest.mark.xdist_group("firestore mutants")
@MUTANTS.each()
def test_a_wrong_catalog_is_found_out(mutant: Callable[[Patch], None], test: str, assert_killed: Kill) -> None:
    assert_killed(mutant, f"tests/firestore/test_firestore_{test}")
