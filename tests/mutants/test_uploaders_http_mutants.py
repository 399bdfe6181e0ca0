"""Wrong uploaders over HTTP, each of which the contract suite or the tests of their promises find out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.errors import MediaWatchError, PermanentError, TransientError
from media_watch_tasks.http import _attentive, _httpx2, authentication, bodies, classification, retry_after, session
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.authentication import SingleFlightAuth
from media_watch_tasks.http.bodies import MediaBody
from media_watch_tasks.http.direct import DirectRequests, Way
from media_watch_tasks.http.heard import Head
from media_watch_tasks.http.passing_hash import PassingHash
from media_watch_tasks.http.wire import Wire
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.http import uploader as http_uploader
from media_watch_tasks.uploaders.http.stored import StoredObjects
from media_watch_tasks.uploaders.http.uploader import HttpUploader
from media_watch_tasks.uploaders.tus import sending
from media_watch_tasks.uploaders.tus.portions import PassingFile, Portion
from media_watch_tasks.uploaders.tus.protocol import TusProtocol
from media_watch_tasks.uploaders.tus.state import UploadUrls
from media_watch_tasks.uploaders.tus.uploader import TusUploader
from media_watch_tasks.uploaders.wrappers import bandwidth, then, verify
from media_watch_tasks.uploaders.wrappers.rate_limit import RateLimit

PUT = "tests/uploaders/test_uploaders_http_contract.py::TestPut::"
HTTP = "tests/uploaders/test_uploaders_http_faults.py::"
REQUESTS = "tests/uploaders/test_uploaders_http_requests.py::"
AUTH = "tests/uploaders/test_uploaders_http_auth.py::"
SECRETS = "tests/uploaders/test_uploaders_http_secrets.py::"
TUS = "tests/uploaders/test_uploaders_tus_faults.py::"
WIRE = "tests/uploaders/test_uploaders_http_wire.py::"
WRAPPERS = "tests/uploaders/test_uploaders_wrappers.py::"
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(PUT + "test_nothing_is_visible_before_the_lease_is_confirmed")
def never_confirms(patch: pytest.MonkeyPatch) -> None:
    def everything(self: MediaBody) -> Iterator[bytes | memoryview]:
        yield from self._read() if self._kept is None else [self._kept]
        self._complete = True

    patch.setattr(MediaBody, "__iter__", everything)


@killed_by(PUT + "test_a_file_that_ends_early_is_not_delivered")
def pads_and_cuts_to_the_announced_length(patch: pytest.MonkeyPatch) -> None:
    def whatever(stream: Any, media: Any, offset: int = 0) -> Iterator[bytes]:
        left = media.size - offset
        while left:
            part = stream.read(min(left, bodies.CHUNK)) or bytes(min(left, bodies.CHUNK))
            left -= len(part)
            yield part

    patch.setattr(bodies, "exactly", whatever)


@killed_by(PUT + "test_equal_name_and_size_is_no_proof")
def takes_name_and_size_for_proof(patch: pytest.MonkeyPatch) -> None:
    def find(self: StoredObjects, url: str, media: Any, context: Any, *, headers: Any) -> Any:
        answer = self._ask("HEAD", url, headers, context)
        length = answer.headers.get("content-length")
        found = answer.status == 200 and length == str(media.size)
        return UploadReceipt(url, size=media.size) if found else None

    patch.setattr(StoredObjects, "find", find)


@killed_by(HTTP + "test_a_lost_answer_is_made_up_for_by_a_look")
def never_looks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HttpUploader, "find_existing", lambda *_: None)


@killed_by(HTTP + "test_a_stranger_at_the_url_is_not_overwritten")
def sends_no_conditions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HttpUploader, "_conditions", lambda *_: {})


@killed_by(HTTP + "test_wrong_bytes_at_the_server_are_noticed_and_replaced")
def believes_the_server(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(http_uploader, "stored_sha256", lambda _: None)


@killed_by(HTTP + "test_wrong_bytes_at_the_server_are_noticed_and_replaced")
def does_not_remember_that_it_has_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(http_uploader, "mark_as_ours", lambda _: None)


@killed_by(HTTP + "test_retry_after_is_a_number_a_date_or_nothing")
def takes_zero_and_the_past_for_now(patch: pytest.MonkeyPatch) -> None:
    right = retry_after.parse_retry_after

    def parse(text: str | None, *, now: Any) -> timedelta | None:
        return right(text, now=now) if text is None or text.strip() != "0" else timedelta(0)

    patch.setattr(classification, "parse_retry_after", parse)


@killed_by(HTTP + "test_an_answer_means_what_is_to_be_done[direct-PUT status=503-TransientError-failed-1]")
def takes_every_refusal_for_final(patch: pytest.MonkeyPatch) -> None:
    right = classification.error_for

    def error_for(answer: Answer, **named: Any) -> MediaWatchError:
        found = right(answer, **named)
        return PermanentError(str(found)) if isinstance(found, TransientError) else found

    patch.setattr(session, "error_for", error_for)


@killed_by(AUTH + "test_many_threads_ask_for_newer_credentials_once")
def every_thread_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SingleFlightAuth, "refused", lambda self, _: bool(authentication.asked(self._auth.refresh)))


@killed_by(AUTH + "test_credentials_go_to_their_own_origin_alone")
def sends_credentials_anywhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session.HttpSession, "_is_own", lambda *_: True)


@killed_by(SECRETS + "test_http_keeps_every_secret[500]")
def shows_the_query(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HttpUploader, "target", property(lambda self: self._template.text))


@killed_by(SECRETS + "test_http_keeps_every_secret[fine]")
def lets_the_client_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_httpx2, "_install_quiet", lambda: None)
    patch.setattr(_httpx2._Quiet, "filter", lambda *_: True)
    patch.setattr(_httpx2, "direct_requests", lambda _: None)


@killed_by(SECRETS + "test_a_failing_hook_says_nothing")
def repeats_what_a_hook_said(patch: pytest.MonkeyPatch) -> None:
    def asked(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            raise TransientError(f"hook: {error}") from error

    patch.setattr(authentication, "asked", asked)
    patch.setattr(session, "asked", asked)


@killed_by(HTTP + "test_an_early_answer_ends_the_sending")
def does_not_listen_while_it_sends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Wire, "_answered", lambda *_: False)


@killed_by(HTTP + "test_an_early_answer_ends_the_sending[httpx2-413]")
def does_not_listen_while_httpx2_sends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_attentive.AttentiveStream, "_answered", lambda *_: False)


@killed_by(WIRE + "test_a_connection_that_ends_with_its_answer_is_not_used_again")
def keeps_every_connection(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Head, "keeps", True)


@killed_by(WIRE + "test_a_body_of_another_length_than_it_announced_never_counts[pieces1]")
def sends_whatever_a_body_gives(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Wire, "_left", staticmethod(lambda left, piece, _: left - len(piece)))


@killed_by(WIRE + "test_a_proxy_of_the_environment_is_used")
def goes_past_the_proxy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_httpx2, "direct_requests", lambda _: DirectRequests(lambda _: Way(None)))


@killed_by(TUS + "test_a_restarted_process_goes_on_where_it_was")
def forgets_its_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UploadUrls, "url", lambda *_: None)


@killed_by(TUS + "test_a_url_with_a_query_is_kept_in_memory_unless_asked[?sig=SECRET-False]")
def keeps_the_query(patch: pytest.MonkeyPatch) -> None:
    right = UploadUrls.state

    def state(self: UploadUrls, key: str, url: str, size: int) -> Mapping[str, Any]:
        self._keep_query = True
        return right(self, key, url, size)

    patch.setattr(UploadUrls, "state", state)


@killed_by(TUS + "test_a_cancelled_upload_is_removed_and_one_that_was_released_stays")
def leaves_what_was_cancelled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TusUploader, "_remove", lambda *_: None)


@killed_by(TUS + "test_checksums_are_sent_where_they_are_offered")
def sends_no_checksums(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TusProtocol, "_checksum", lambda *_: {})


@killed_by(TUS + "test_a_source_that_cannot_be_read_is_no_trouble_of_the_server")
def blames_the_server_for_the_source(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Portion, "source_failed", property(lambda _: False, lambda *_: None), raising=False)


@killed_by(TUS + "test_a_chunk_that_is_streamed_is_mended_too_and_the_hash_stays_known")
def hashes_twice_what_is_sent_twice(patch: pytest.MonkeyPatch) -> None:
    right = PassingFile.read

    def read(self: PassingFile, begin: int, end: int) -> Iterator[memoryview]:
        for piece in right(self, begin, end):
            if begin < self._hashed - len(piece):
                self._digest.update(piece)
            yield piece

    patch.setattr(PassingFile, "read", read)


@killed_by(TUS + "test_an_upload_at_another_origin_is_refused_unless_allowed_and_gets_no_secret")
def trusts_every_origin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TusProtocol, "checked", lambda _self, url: url)


@killed_by(TUS + "test_a_file_that_changes_while_it_is_sent_arrives_as_it_is_then[replace]")
def does_not_confirm_the_last_chunk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sending.Sending, "_release", lambda _: None)


@killed_by(WRAPPERS + "test_all_uploads_together_keep_to_the_bandwidth")
def lets_everything_through(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bandwidth.BandwidthLimit, "spend", lambda *_: None)


@killed_by(WRAPPERS + "test_no_more_uploads_begin_in_a_period_than_allowed")
def counts_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RateLimit, "upload", lambda self, media, context: self.inner.upload(media, context))


@killed_by(WRAPPERS + "test_the_first_uploader_is_not_asked_again_when_the_second_fails")
def sends_to_both_again(patch: pytest.MonkeyPatch) -> None:
    right = then.Then.upload

    def upload(self: then.Then, media: Any, context: Any) -> Any:
        context.save_resume_state(None)
        return right(self, media, context)

    patch.setattr(then.Then, "upload", upload)


@killed_by(WRAPPERS + "test_what_does_not_verify_is_sent_again_over_what_stands_there")
def verifies_and_does_not_mind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verify.VerifyAfterUpload, "upload", lambda self, media, context: self.inner.upload(media, context))


@killed_by("tests/uploaders/test_uploaders_passing_hash.py::test_it_is_the_hash_of_all_bytes_in_order")
def hashes_the_beginning_alone(patch: pytest.MonkeyPatch) -> None:
    right = PassingHash.update

    def update(self: PassingHash, piece: Any) -> None:
        if self._seen < 8 << 20:
            right(self, piece)

    patch.setattr(PassingHash, "update", update)


@killed_by("tests/uploaders/test_uploaders_passing_hash.py::test_a_body_that_is_left_in_its_middle_leaves_no_thread")
def leaves_its_thread(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PassingHash, "close", lambda _: None)


@MUTANTS.each()
def test_a_wrong_uploader_is_found_out(assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str) -> None:
    assert_killed(mutant, test)
