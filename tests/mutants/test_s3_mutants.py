"""Wrong ways to deliver into S3 and to keep bytes, each of which a test of their promises finds out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.errors import OperationCancelled
from media_watch_tasks.http.wire import Wire
from media_watch_tasks.manager.attempt import Attempt
from media_watch_tasks.manager.spooling import Spooling
from media_watch_tasks.spool.folder import SpoolFolder
from media_watch_tasks.spool.pending import PendingStore
from media_watch_tasks.uploaders import PresignedUploader, S3Uploader
from media_watch_tasks.uploaders.s3 import _direct, _learning, standing
from media_watch_tasks.uploaders.s3._bucket import Bucket
from media_watch_tasks.uploaders.s3._direct import Direct
from media_watch_tasks.uploaders.s3._line import Line
from media_watch_tasks.uploaders.s3._multipart import MultipartUpload
from media_watch_tasks.uploaders.s3.standing import Standing

FAULTS = "tests/uploaders/s3/test_s3_faults.py::"
SETTINGS = "tests/uploaders/s3/test_s3_settings.py::"
CONTRACT = "tests/uploaders/s3/test_s3_contract.py::TestS3Strict::"
SPOOL = "tests/uploaders/s3/test_spool_manager.py::"
DIRECT = "tests/uploaders/s3/test_s3_direct.py::"
TRIPS = "tests/uploaders/s3/test_s3_round_trips.py::"
STORE = "tests/uploaders/s3/test_spool_store.py::"
PRESIGNED = "tests/uploaders/s3/test_presigned.py::"
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(SETTINGS + "TestForeignObjects::test_an_object_that_appears_meanwhile_stays")
def sends_without_conditions(patch: pytest.MonkeyPatch) -> None:
    right = Bucket.call

    def call(self: Bucket, operation: str, **parameters: Any) -> Mapping[str, Any]:
        parameters.pop("IfNoneMatch", None)
        return right(self, operation, **parameters)

    patch.setattr(Bucket, "call", call)


@killed_by(CONTRACT + "test_equal_name_and_size_is_no_proof")
def takes_name_and_size_for_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standing, "is_delivery", lambda self, media, _context: self.size == media.size)


@killed_by(SETTINGS + "test_what_did_not_verify_is_sent_again_also_where_there_are_no_checksums")
def forgets_that_it_did_not_verify(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(standing, "is_written_by_us", lambda _state: False)


@killed_by(SETTINGS + "test_a_damaged_copy_with_the_right_key_is_no_proof")
def takes_the_key_alone_for_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Standing, "is_delivery", lambda self, _media, context: self.metadata.get(standing._KEY) == context.key
    )


@killed_by(FAULTS + "test_wrong_bytes_at_the_server_are_no_delivery_and_are_replaced[small]")
def believes_every_answer(patch: pytest.MonkeyPatch) -> None:
    right = Bucket.call

    def call(self: Bucket, operation: str, **parameters: Any) -> Mapping[str, Any]:
        answer = dict(right(self, operation, **parameters))
        if operation == "put_object":
            answer["ChecksumSHA256"] = parameters["ChecksumSHA256"]
        return answer

    patch.setattr(Bucket, "call", call)


@killed_by(FAULTS + "test_after_a_reset_only_what_is_missing_is_sent")
def always_begins_anew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MultipartUpload, "_resume", lambda _self: False)


@killed_by(FAULTS + "test_a_part_of_another_length_is_sent_again")
def counts_every_part_that_is_listed(patch: pytest.MonkeyPatch) -> None:
    right = Bucket.parts

    def parts(self: Bucket, key: str, upload_id: str) -> Any:
        for part in right(self, key, upload_id):
            yield {**part, "Size": 5 << 20 if part["PartNumber"] < 4 else part["Size"]}

    patch.setattr(Bucket, "parts", parts)


@killed_by(FAULTS + "test_lists_of_parts_are_read_to_their_end")
def reads_the_first_page_of_parts(patch: pytest.MonkeyPatch) -> None:
    right = Bucket.parts
    patch.setattr(Bucket, "parts", lambda self, key, upload_id: iter([next(iter(right(self, key, upload_id)))]))


@killed_by(FAULTS + "test_a_cancelled_upload_stops_and_its_parts_are_removed")
def leaves_the_parts_of_ended_tasks(patch: pytest.MonkeyPatch) -> None:
    for place in ("run", "control"):
        patch.setattr(f"media_watch_tasks.manager.{place}.remove_unfinished", lambda _core: None)


@killed_by(SETTINGS + "TestForeignObjects::test_equal_bytes_of_another_asset_are_not_shared")
def shares_objects_of_other_assets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standing, "owner", None)


@killed_by(SETTINGS + "TestForeignObjects::test_another_object_stays")
def replaces_whatever_stands_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standing, "may_be_replaced", lambda *_: True)
    patch.setattr(S3Uploader, "_learn", lambda *_: None)


@killed_by(SPOOL + "test_bytes_of_two_versions_are_not_kept")
def looks_at_the_source_once(patch: pytest.MonkeyPatch) -> None:
    def keep(self: Attempt) -> None:
        kept = None if self._kept is not None else self._spooling.keep(self._task, self.media)
        if kept is not None:
            self._kept, self._media = kept, self._from_kept(kept)

    patch.setattr(Attempt, "_keep", keep)


@killed_by(DIRECT + "test_bytes_go_past_botocore[False]")
def always_asks_botocore(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Direct, "call", lambda *_: None)


@killed_by(DIRECT + "TestLeftToBotocore::test_a_header_that_differs_each_time")
def learns_from_one_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_direct, "learn", _learning._learn_once)


@killed_by(DIRECT + "test_a_connection_that_was_closed_meanwhile_is_no_failure")
def takes_any_connection_that_is_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Wire, "is_over", False)


@killed_by(DIRECT + "test_a_cancelled_upload_waits_for_no_answer[small]")
def waits_for_the_answer_whatever_happens(patch: pytest.MonkeyPatch) -> None:
    right = Line.exchange
    patch.setattr(Line, "exchange", lambda *args, **named: right(*args, **{**named, "wanted": lambda: None}))


@killed_by(TRIPS + "test_a_newer_version_takes_a_look_before_it")
def looks_when_it_was_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(S3Uploader, "_looks_first", lambda *_: False)


@killed_by(TRIPS + "test_equal_bytes_of_another_asset_are_not_taken_for_the_earlier_version")
def goes_by_the_etag_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Standing, "may_be_replaced", lambda self, _media, context: context.previous.etag.strip('"') == self.etag
    )


@killed_by(DIRECT + "test_what_cuts_a_small_file_off_is_asked_for_again")
def takes_a_connection_that_broke_for_an_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_direct, "_ASK_FIRST", 0)


@killed_by(SPOOL + "test_bytes_of_a_waiting_task_that_was_cancelled_go_with_the_next_run")
def never_looks_for_ended_tasks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spooling, "sweep", lambda _self: None)


@killed_by(SPOOL + "test_bytes_of_dead_tasks_go_by_policy_and_never_silently")
def frees_the_bytes_of_dead_tasks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PendingStore, "keep_dead", property(lambda _self: False))


@killed_by(SPOOL + "test_kept_files_are_private_and_hold_no_secret")
def keeps_files_for_everybody_to_read(patch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415 - only here

    right = SpoolFolder.publish

    def publish(self: SpoolFolder, name: str, as_name: str) -> None:
        right(self, name, as_name)
        os.chmod(os.path.join(self.path, as_name), 0o644)

    patch.setattr(SpoolFolder, "publish", publish)


@killed_by(STORE + "test_equal_content_is_kept_once_and_goes_with_its_last_task")
def forgets_that_others_need_the_bytes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PendingStore, "_named", lambda _self: set())


@killed_by(PRESIGNED + "test_an_upload_url_of_another_origin_gets_nothing")
def sends_wherever_it_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PresignedUploader, "_check_origin", lambda *_: None)


@killed_by(PRESIGNED + "test_what_had_arrived_as_a_whole_is_not_sent_again")
def forgets_what_an_earlier_attempt_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PresignedUploader, "_go_on", lambda *_: None)


@killed_by(PRESIGNED + "test_what_a_dead_process_left_is_gone_on_with_or_discarded")
def leaves_every_upload_to_the_server(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PresignedUploader, "_discard_quietly", lambda *_: None)


@killed_by(PRESIGNED + "test_an_upload_that_somebody_goes_on_with_is_not_discarded")
def discards_whatever_stops_it(patch: pytest.MonkeyPatch) -> None:
    right = PresignedUploader._send

    def send(self: PresignedUploader, grant: Any, *rest: Any) -> Any:
        try:
            return right(self, grant, *rest)
        except OperationCancelled:
            self._discard_quietly(grant.upload_id, rest[-1])
            raise

    patch.setattr(PresignedUploader, "_send", send)


@killed_by(PRESIGNED + "TestPresigned::test_an_aborted_state_is_gone_and_may_be_aborted_again")
def aborts_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PresignedUploader, "abort", lambda *_: None)


@MUTANTS.each()
def test_a_mutant_is_killed(assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str) -> None:
    assert_killed(mutant, test)
