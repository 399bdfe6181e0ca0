"""What goes wrong at a tus server, on the way, or at the source: class, attempts, and little sent twice."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests.uploaders.fault_cases import LATER, RETRY_AFTER, SHORT, assert_answer_means, assert_retry_after, retry_after
from tests.uploaders.fault_server import FaultServer, Trouble
from tests.uploaders.tus.fault_server import TusFaultServer, Upload

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    MediaWatchError,
    OperationCancelled,
    PermanentError,
    RateLimited,
    TransientError,
)
from media_watch_tasks.http import BearerAuth
from media_watch_tasks.testing.fakes import FakeContext
from media_watch_tasks.testing.faults import Fault, FaultPlan
from media_watch_tasks.uploaders import TusUploader

CHUNK = 4 << 20
IN_ONE = "creation,creation-with-upload,termination,checksum"


def _uploader(server: TusFaultServer, rig: Any, **settings: Any) -> TusUploader:
    # Short where something is to run into it: a busy machine must not.
    timeouts = SHORT if any(trouble.silent for trouble in server.troubles) else None
    chosen = {"chunk_size": CHUNK, "clock": rig.clock, "timeouts": timeouts, **settings}
    made: TusUploader = rig.stack.enter_context(TusUploader(server.files, **chosen))
    return made


def _fine(method: str) -> Trouble:
    """A request that goes as it should: the trouble comes later."""
    return Trouble(method, calls=lambda: None)


ANSWERS: list[tuple[int, type[MediaWatchError], str, int]] = [
    *[(status, TransientError, "failed", 1) for status in (408, 423, 425, 429, 460, 500, 502, 503, 504)],
    *[(status, PermanentError, "dead", 1) for status in (400, 403, 413)],
    *[(status, ConfigurationError, "dead", 1) for status in (202, 302, 308, 412)],
    (401, AuthenticationRequiredError, "pending", 0),
    (507, DestinationFull, "pending", 0),
]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(("status", "error", "state", "attempts"), ANSWERS)
def test_an_answer_means_what_is_to_be_done(  # noqa: PLR0917 - pytest gives parameters by name
    rig: Any, payload: bytes, method: str, status: int, error: type[MediaWatchError], state: str, attempts: int
) -> None:
    with TusFaultServer([Trouble(method, status=status)] * 2) as server:
        assert_answer_means(rig, server, _uploader(server, rig), payload, error=error, state=state, attempts=attempts)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(("header", "delay"), RETRY_AFTER.items())
def test_retry_after_is_heeded(rig: Any, method: str, header: str, delay: int | None) -> None:
    with TusFaultServer([Trouble(method, status=503, headers=retry_after(header))]) as server:
        assert_retry_after(rig, _uploader(server, rig), delay)


@pytest.mark.parametrize(("status", "state", "attempts"), [(413, "dead", 1), (401, "pending", 0)])
@pytest.mark.parametrize("extensions", ["creation,termination", "creation,checksum,termination"])
def test_an_early_answer_ends_the_sending(  # noqa: PLR0917 - pytest gives parameters by name
    rig: Any, payload: bytes, status: int, state: str, attempts: int, extensions: str
) -> None:
    with TusFaultServer([Trouble("PATCH", status=status, after=100_000)], extensions=extensions) as server:
        rig.watch(_uploader(server, rig, chunk_size=16 << 20))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, server.bodies) == (state, attempts, [])


@pytest.mark.parametrize(("status", "reason"), [(404, "permanent"), (409, "name_conflict"), (410, "permanent")])
def test_a_server_that_creates_no_upload_ends_the_task(rig: Any, status: int, reason: str) -> None:
    with TusFaultServer([Trouble("POST", status=status)]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", b"footage")
        (task,) = rig.run()
        assert (task.state, task.reason, server.uploads) == ("dead", reason, {})


@pytest.mark.parametrize(("header", "error"), [("600", RateLimited), ("garbage", TransientError)])
def test_a_rate_limit_is_kept_to(rig: Any, header: str, error: type[Exception]) -> None:
    with TusFaultServer([Trouble("POST", status=429, headers={"Retry-After": header})]) as server:
        media = rig.media("clip.mov", b"footage")
        with pytest.raises(error):
            _uploader(server, rig).upload(media, rig.context(media))


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble("PATCH", reset=True, after=1 << 20, stores=True),
        Trouble("PATCH", reset=True, after=1 << 20),
        Trouble("PATCH", reset=True, stores=True),
        Trouble("PATCH", silent=True, after=1 << 20, stores=True),
        Trouble("PATCH", silent=True, stores=True),
        Trouble("PATCH", status=500, stores=True),
        Trouble("PATCH", status=409),
        Trouble("PATCH", damage=True),
    ],
    ids=[
        "reset, bytes kept",
        "reset",
        "answer lost",
        "stall",
        "silent",
        "500 after all came",
        "409",
        "damaged on the way",
    ],
)
def test_a_trouble_after_some_progress_is_mended_within_the_attempt(rig: Any, payload: bytes, trouble: Trouble) -> None:
    with TusFaultServer([_fine("PATCH"), trouble]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, server.bodies == [payload]) == ("success", 1, True)
        assert server.received <= len(payload) + CHUNK, "more than a chunk was sent twice"
        assert task.receipt.sha256 in {None, hashlib.sha256(payload).hexdigest()}


STREAMED = "creation,termination"
"""Without checksums a chunk is sent as it is read."""


@pytest.mark.parametrize("stores", [True, False])
def test_a_chunk_that_is_streamed_is_mended_too_and_the_hash_stays_known(
    rig: Any, payload: bytes, stores: bool
) -> None:
    cut = Trouble("PATCH", reset=True, after=1 << 20, stores=stores)
    with TusFaultServer([_fine("PATCH"), cut], extensions=STREAMED) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, server.bodies == [payload]) == ("success", 1, True)
        assert server.received <= len(payload) + CHUNK
        assert task.receipt.sha256 == hashlib.sha256(payload).hexdigest()


def test_a_streamed_chunk_is_read_again_for_renewed_credentials(rig: Any, payload: bytes) -> None:
    def renew() -> str:
        server.tokens.add("new")  # type: ignore[union-attr]  # it has tokens
        return "new"

    expires = Trouble("PATCH", after=1, expire="old")
    with TusFaultServer([_fine("PATCH"), expires], tokens={"old"}, extensions=STREAMED) as server:
        media = rig.media("clip.mov", payload)
        receipt = _uploader(server, rig, auth=BearerAuth("old", refresh=renew)).upload(media, rig.context(media))
        assert server.bodies == [payload]
        assert receipt.sha256 == hashlib.sha256(payload).hexdigest()
        assert rig.tree.open_streams == 0


@pytest.mark.parametrize(("extensions", "requests"), [(STREAMED, 1), ("creation,checksum", 2)])
def test_chunks_are_large_where_they_are_streamed_and_small_where_they_are_in_memory(
    rig: Any, payload: bytes, extensions: str, requests: int
) -> None:
    with TusFaultServer(extensions=extensions) as server:
        media = rig.media("clip.mov", payload)
        with TusUploader(server.files, clock=rig.clock) as uploader:
            uploader.upload(media, rig.context(media))
        assert len(server.requests("PATCH")) == requests
        assert server.bodies == [payload]


def test_a_source_that_cannot_be_read_is_no_trouble_of_the_server(rig: Any, payload: bytes) -> None:
    broken = TransientError("the disk does not answer")
    with TusFaultServer(extensions=STREAMED) as server:
        media = rig.media("clip.mov", payload)
        with (
            FaultPlan([Fault("read", at_byte=CHUNK + 1, raises=broken)]) as plan,
            pytest.raises(TransientError) as caught,
        ):
            _uploader(server, rig).upload(plan.media(media), rig.context(media))
        assert caught.value is broken
        assert server.requests("HEAD") == [], "the server is not asked how far it is"


def test_a_trouble_without_progress_costs_an_attempt_and_the_next_one_goes_on(rig: Any, payload: bytes) -> None:
    troubles = [_fine("PATCH"), Trouble("PATCH", reset=True, after=0), Trouble("PATCH", reset=True, after=0)]
    with TusFaultServer(troubles) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts) == ("failed", 1)
        (task,) = rig.process(LATER)
        assert (task.state, task.attempts, server.bodies == [payload]) == ("success", 2, True)
        assert len(server.requests("POST")) == 1
        assert server.received <= len(payload) + CHUNK


def test_a_restarted_process_goes_on_where_it_was(rig: Any, payload: bytes) -> None:
    with TusFaultServer([_fine("PATCH"), *[Trouble("PATCH", status=503, headers={"Retry-After": "9"})]]) as server:
        media = rig.media("clip.mov", payload)
        first = rig.context(media)
        with pytest.raises(TransientError):
            _uploader(server, rig).upload(media, first)
        second = rig.context(media, attempt=2, resume_state=first.resume_state)
        _uploader(server, rig).upload(media, second)
        assert server.bodies == [payload]
        assert second.bytes_read == len(payload) - CHUNK
        assert second.progress_calls[1].done > CHUNK, "progress counts what had arrived before"


@pytest.mark.parametrize(("query", "keep"), [("?sig=SECRET", False), ("?sig=SECRET", True)])
def test_a_url_with_a_query_is_kept_in_memory_unless_asked(rig: Any, payload: bytes, query: str, *, keep: bool) -> None:
    fault = Trouble("PATCH", status=503, headers={"Retry-After": "9"})
    with TusFaultServer([_fine("PATCH"), fault, fault], query=query) as server:
        uploader = _uploader(server, rig, keep_query=keep)
        rig.watch(uploader)
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert task.state == "failed"
        assert (b"SECRET" in _database(rig)) is keep
        media = rig.media("clip.mov", payload)
        again = FakeContext(task.key, attempt=2, resume_state=task.resume_state)
        with pytest.raises(TransientError):
            uploader.upload(media, again)
        assert len(server.requests("POST")) == 1, "the same process goes on"
        restarted = FakeContext(task.key, attempt=3, resume_state=task.resume_state)
        _uploader(server, rig, keep_query=keep).upload(media, restarted)
        assert len(server.requests("POST")) == (1 if keep else 2), "after a restart it begins anew, unless asked"
        assert payload in server.bodies


def _database(rig: Any) -> bytes:
    return b"".join(path.read_bytes() for path in rig.database.parent.glob("watch.db*") if path.is_file())


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_that_is_gone_begins_anew(rig: Any, payload: bytes, status: int) -> None:
    with TusFaultServer([_fine("PATCH"), Trouble("PATCH", status=status)]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, len(server.requests("POST"))) == ("success", 1, 2)
        assert server.bodies == [payload]


def test_a_server_that_forgets_every_upload_is_given_up_for_now(rig: Any, payload: bytes) -> None:
    with TusFaultServer([Trouble("PATCH", status=404)] * 2) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, len(server.requests("POST"))) == ("failed", 1, 2)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_state_whose_upload_is_gone_begins_anew(rig: Any, status: int) -> None:
    with TusFaultServer([Trouble("HEAD", status=status)]) as server:
        media = rig.media("clip.mov", b"footage")
        state = {"key": rig.context(media).key, "size": 7, "url": server.files + "/77"}
        _uploader(server, rig).upload(media, rig.context(media, attempt=2, resume_state=state))
        assert server.bodies == [b"footage"]


def test_an_upload_of_another_length_or_key_is_not_gone_on_with(rig: Any) -> None:
    with TusFaultServer() as server:
        uploader = _uploader(server, rig)
        other = rig.media("other.mov", b"another length")
        context = rig.context(other)
        uploader.upload(other, context)
        media = rig.media("clip.mov", b"footage")
        for key in (context.key, rig.context(media).key):
            state = {**context.resume_state, "key": key}
            uploader.upload(media, rig.context(media, attempt=2, resume_state=state))
        assert server.bodies.count(b"footage") == 2


def test_a_small_file_is_one_request_where_the_server_offers_it(rig: Any) -> None:
    with TusFaultServer(extensions=IN_ONE) as server:
        media = rig.media("clip.mov", b"footage")
        receipt = _uploader(server, rig).upload(media, rig.context(media))
        assert [seen.method for seen in server.seen] == ["OPTIONS", "POST"]
        assert receipt.sha256 == hashlib.sha256(b"footage").hexdigest()
        (upload,) = server.uploads.values()
        assert upload.metadata == {
            "filename": "clip.mov", "filetype": "video/quicktime", "key": rig.context(media).key
        }  # fmt: skip


def test_what_came_with_the_creation_only_in_part_is_gone_on_with(rig: Any) -> None:
    headers = {"Upload-Offset": "3", "Location": "/files/9"}
    with TusFaultServer([Trouble("POST", status=201, headers=headers)], extensions=IN_ONE) as server:
        server.uploads["/files/9"] = Upload(7, bytearray(b"foo"), {})
        media = rig.media("clip.mov", b"footage")
        _uploader(server, rig).upload(media, rig.context(media))
        assert server.bodies == [b"footage"]


def test_bytes_that_were_damaged_on_the_way_are_noticed_by_the_checksum(rig: Any, payload: bytes) -> None:
    with TusFaultServer([Trouble("PATCH", damage=True)]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, server.bodies) == ("failed", 1, [])
        assert "460" in task.error


@pytest.mark.parametrize(("offered", "algorithm"), [("creation,checksum", "sha256"), ("creation", None)])
def test_checksums_are_sent_where_they_are_offered(rig: Any, offered: str, algorithm: str | None) -> None:
    with TusFaultServer(extensions=offered) as server:
        media = rig.media("clip.mov", b"footage")
        _uploader(server, rig).upload(media, rig.context(media))
        (patch,) = server.requests("PATCH")
        assert patch.headers.get("Upload-Checksum", "").partition(" ")[0] == (algorithm or "")


@pytest.mark.parametrize(
    ("reason", "left"), [(CancelReason.USER, 0), (CancelReason.SHUTDOWN, 1), (CancelReason.STALL, 1)]
)
def test_a_cancelled_upload_is_removed_and_one_that_was_released_stays(
    rig: Any, payload: bytes, reason: CancelReason, left: int
) -> None:
    token = CancelToken()
    stops = Trouble("PATCH", silent=True, after=1 << 20, stores=True, calls=lambda: token.cancel(reason))
    with TusFaultServer([_fine("PATCH"), stops]) as server:
        media = rig.media("clip.mov", payload)
        with pytest.raises(OperationCancelled):
            _uploader(server, rig).upload(media, rig.context(media, cancel=token))
        assert len(server.uploads) == left


@pytest.mark.parametrize("change", ["grow", "truncate", "replace"])
def test_a_file_that_changes_while_it_is_sent_arrives_as_it_is_then(rig: Any, payload: bytes, change: str) -> None:
    newer = {"grow": payload + b"more", "truncate": payload[: 1 << 20], "replace": payload[::-1]}[change]
    with TusFaultServer([Trouble("PATCH", calls=lambda: rig.tree.change("clip.mov", newer))]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        rig.run()
        tasks = rig.process(LATER)
        assert sorted((task.state, task.reason) for task in tasks) == [("cancelled", "superseded"), ("success", None)]
        assert [bytes(upload.data) for upload in server.uploads.values()] == [newer], (
            "the parts of the old one are gone"
        )
        assert server.was_complete == [newer], "the old one never stood there whole"


def test_a_file_that_vanishes_while_it_is_sent_is_not_delivered(rig: Any, payload: bytes) -> None:
    with TusFaultServer([Trouble("PATCH", calls=lambda: rig.tree.remove("clip.mov"))]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.reason, server.bodies) == ("cancelled", "source_gone", [])


def test_a_token_that_expires_in_mid_upload_is_renewed_once(rig: Any, payload: bytes) -> None:
    asked: list[str] = []

    def renew() -> str:
        asked.append("asked")
        server.tokens.add("new")  # type: ignore[union-attr]  # it has tokens
        return "new"

    with TusFaultServer([_fine("PATCH"), Trouble("PATCH", after=1, expire="old")], tokens={"old"}) as server:
        rig.watch(_uploader(server, rig, auth=BearerAuth("old", refresh=renew)))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, len(asked)) == ("success", 1, 1)
        assert server.bodies == [payload]
        assert server.received == len(payload) + CHUNK, "one chunk was refused, and sent again"


def test_an_upload_at_another_origin_is_refused_unless_allowed_and_gets_no_secret(rig: Any) -> None:
    with TusFaultServer() as other:
        with TusFaultServer(location=other.url) as server:
            media = rig.media("clip.mov", b"footage")
            with pytest.raises(MediaWatchError) as caught:
                _uploader(server, rig).upload(media, rig.context(media))
            assert other.seen == []
            assert isinstance(caught.value, ConfigurationError)
            assert "allowed_origins" in str(caught.value)
            other.uploads["/files/2"] = Upload(7, bytearray(), {})
            settings: dict[str, Any] = {"auth": BearerAuth("SECRET"), "headers": {"X-Api-Key": "SECRET"}}
            uploader = _uploader(server, rig, allowed_origins=[other.url], **settings)
            uploader.upload(media, rig.context(media))
        assert other.bodies == [b"footage"]
        assert not any("SECRET" in str(seen.headers) for seen in other.seen)


def test_a_file_too_large_for_the_server_is_not_begun(rig: Any) -> None:
    with TusFaultServer(max_size=3) as server:
        media = rig.media("clip.mov", b"footage")
        with pytest.raises(PermanentError, match="3"):
            _uploader(server, rig).upload(media, rig.context(media))
        assert server.requests("POST") == []


@pytest.mark.parametrize(
    ("settings", "words"), [({"version": "0.2.2"}, "1.0.0"), ({"extensions": "checksum"}, "create")]
)
def test_a_server_that_cannot_do_it_is_told_by_a_check(rig: Any, settings: dict[str, str], words: str) -> None:
    with TusFaultServer(**settings) as server, pytest.raises(ConfigurationError, match=words):  # type: ignore[arg-type]  # texts
        _uploader(server, rig).check()


def test_a_web_server_that_knows_no_tus_is_told_by_a_check(rig: Any) -> None:
    with FaultServer() as server, pytest.raises(ConfigurationError, match="tus server"):
        TusUploader(server.url + "/files", clock=rig.clock).check()
