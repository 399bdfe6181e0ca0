"""What goes wrong at a server, on the way, or at the source: the right class, the right attempts, never wrong bytes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.uploaders.fault_cases import (
    LATER,
    RETRY_AFTER,
    SHORT,
    assert_a_newer_version_replaces_no_other,
    assert_a_stranger_is_left_alone,
    assert_answer_means,
    assert_retry_after,
    case,
    retry_after,
)
from tests.uploaders.fault_server import FaultServer, Trouble

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import (
    AlreadyExists,
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    DestinationOfflineError,
    MediaWatchError,
    OperationCancelled,
    PermanentError,
    RateLimited,
    TransientError,
)
from media_watch_tasks.http import new_client
from media_watch_tasks.uploaders import HttpUploader


@pytest.fixture(params=["direct", "httpx2"])
def way(request: pytest.FixtureRequest, rig: Any) -> dict[str, Any]:
    """Settings of an uploader: past httpx2, or through it."""
    return {} if request.param == "direct" else {"client": rig.stack.enter_context(new_client())}


def _uploader(server: FaultServer, rig: Any, **settings: Any) -> HttpUploader:
    made: HttpUploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", clock=rig.clock, **settings))
    return made


ANSWERS: list[tuple[Trouble, type[MediaWatchError], str, int]] = [
    *[
        (Trouble(status=status), TransientError, "failed", 1)
        for status in (408, 421, 423, 425, 429, 500, 502, 503, 504)
    ],
    *[(Trouble(status=status), PermanentError, "dead", 1) for status in (400, 403, 404, 410, 413, 451)],
    *[(Trouble(status=status), ConfigurationError, "dead", 1) for status in (202, 206, 304)],
    (Trouble(status=429, headers={"Retry-After": "600"}), RateLimited, "pending", 0),
    (Trouble(status=401), AuthenticationRequiredError, "pending", 0),
    (Trouble(status=407), AuthenticationRequiredError, "pending", 0),
    (Trouble(status=409), AlreadyExists, "dead", 1),
    (Trouble(status=507), DestinationFull, "pending", 0),
    (Trouble(status=413, after=100_000), PermanentError, "dead", 1),
    (Trouble(status=401, after=100_000), AuthenticationRequiredError, "pending", 0),
    (Trouble(status=201, after=100_000), TransientError, "failed", 1),
    (Trouble(reset=True, after=3 << 20), TransientError, "failed", 1),
    (Trouble(reset=True, after=0), TransientError, "failed", 1),
]


@pytest.mark.parametrize(("trouble", "error", "state", "attempts"), ANSWERS, ids=case)
def test_an_answer_means_what_is_to_be_done(  # noqa: PLR0917 - pytest gives parameters by name
    rig: Any,
    way: dict[str, Any],
    payload: bytes,
    trouble: Trouble,
    error: type[MediaWatchError],
    state: str,
    attempts: int,
) -> None:
    with FaultServer([trouble, trouble]) as server:
        # What is cut off has to be more than the line holds.
        data = b"footage" if trouble.after is None else payload
        uploader = _uploader(server, rig, **way)
        assert_answer_means(rig, server, uploader, data, error=error, state=state, attempts=attempts)


@pytest.mark.parametrize("status", [401, 413])
def test_an_early_answer_ends_the_sending(rig: Any, way: dict[str, Any], payload: bytes, status: int) -> None:
    with FaultServer([Trouble(status=status, after=100_000)]) as server:
        media = rig.media("clip.mov", payload)
        context = rig.context(media)
        with pytest.raises(MediaWatchError):
            _uploader(server, rig, **way).upload(media, context)
        assert context.bytes_read < len(payload)
        assert context.confirmations == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_wrong_url_and_is_not_followed(rig: Any, status: int) -> None:
    with FaultServer() as other:
        target = f"{other.url}/elsewhere?token=secret"
        with FaultServer([Trouble(status=status, headers={"Location": target})]) as server:
            rig.watch(_uploader(server, rig, auth=("user", "password")))
            rig.tree.put("clip.mov")
            (task,) = rig.run()
            assert (task.state, task.reason) == ("dead", "configuration")
            assert f"{other.url}/elsewhere" in task.error
            assert "secret" not in task.error
        assert other.seen == []


@pytest.mark.parametrize(
    ("header", "delay"),
    [
        *RETRY_AFTER.items(),
        ("  120 ", 120),
        ("9" * 5_000, None),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Wed, 99 Oct 99999 07:28:00 GMT", None),
        ("\xff\xfe", None),
    ],
)
def test_retry_after_is_a_number_a_date_or_nothing(rig: Any, header: str, delay: int | None) -> None:
    with FaultServer([Trouble(status=503, headers=retry_after(header))]) as server:
        assert_retry_after(rig, _uploader(server, rig), delay)


def test_the_manager_keeps_to_retry_after_up_to_its_cap(rig: Any) -> None:
    answers = [Trouble(status=503, headers={"Retry-After": text}) for text in ("600", "99999999999")]
    with FaultServer(answers) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov")
        (task,) = rig.run()
        assert task.due_ns - rig.clock.now_ns() == 600 * 10**9
        (task,) = rig.process(timedelta(minutes=10))
        assert task.due_ns - rig.clock.now_ns() == 24 * 3600 * 10**9
        assert task.attempts == 2


def test_a_rate_limit_pauses_the_destination_for_all_files(rig: Any) -> None:
    with FaultServer([Trouble(status=429, headers={"Retry-After": "600"})]) as server:
        rig.watch(_uploader(server, rig))
        for number in range(3):
            rig.tree.put(f"{number}.mov", b"footage %d" % number)
        rig.run()
        assert len(server.requests("PUT")) == 1, "the others were left alone"
        tasks = rig.process(timedelta(minutes=9))
        assert {task.state for task in tasks} == {"pending"}
        tasks = rig.process(timedelta(minutes=2))
        assert [(task.state, task.attempts) for task in tasks] == [("success", 1)] * 3


def test_a_stall_while_sending_ends(rig: Any, way: dict[str, Any], payload: bytes) -> None:
    with FaultServer([Trouble(silent=True, after=1 << 20)]) as server:
        rig.watch(_uploader(server, rig, timeouts=SHORT, **way))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts) == ("failed", 1)
        assert "stalled" in task.error
        (task,) = rig.process(LATER)
        assert (task.state, server.bodies == [payload]) == ("success", True)


@pytest.mark.parametrize("trouble", [Trouble(silent=True), Trouble(drip=True)], ids=["silent", "drip"])
def test_a_server_that_does_not_answer_in_time_is_left(rig: Any, way: dict[str, Any], trouble: Trouble) -> None:
    with FaultServer([trouble]) as server:
        rig.watch(_uploader(server, rig, timeouts=SHORT, **way))
        rig.tree.put("clip.mov", b"footage")
        (task,) = rig.run()
        assert (task.state, task.attempts) == ("failed", 1)
        assert "no answer within 1 s" in task.error


@pytest.mark.parametrize("digests", [True, False])
@pytest.mark.parametrize("trouble", [Trouble(silent=True, stores=True), Trouble(reset=True, stores=True)])
def test_a_lost_answer_is_made_up_for_by_a_look(rig: Any, trouble: Trouble, *, digests: bool) -> None:
    with FaultServer([trouble], digests=digests) as server:
        rig.watch(_uploader(server, rig, timeouts=SHORT))
        rig.tree.put("clip.mov", b"footage")
        (task,) = rig.run()
        assert (task.state, server.bodies) == ("failed", [b"footage"])
        (task,) = rig.process(LATER)
        assert task.state == "success"
        assert (task.receipt.verified, task.receipt.deduplicated) == (True, False)
        assert len(server.requests("PUT")) == 1, "nothing was sent twice"


def test_wrong_bytes_at_the_server_are_noticed_and_replaced(rig: Any, payload: bytes) -> None:
    with FaultServer([Trouble(damage=True)]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, server.bodies == [payload]) == ("failed", False)
        assert "another SHA-256" in task.error
        (task,) = rig.process(LATER)
        assert (task.state, server.bodies == [payload]) == ("success", True)
        assert task.receipt.verified


def test_a_stranger_at_the_url_is_not_overwritten(rig: Any) -> None:
    with FaultServer() as server:
        assert_a_stranger_is_left_alone(rig, server, _uploader(server, rig))


def test_a_newer_version_replaces_the_earlier_one_and_no_other(rig: Any) -> None:
    with FaultServer() as server:
        assert_a_newer_version_replaces_no_other(rig, server, _uploader(server, rig))


@pytest.mark.parametrize("change", ["grow", "truncate", "replace"])
def test_a_file_that_changes_while_it_is_sent_arrives_as_it_is_then(rig: Any, payload: bytes, change: str) -> None:
    newer = {"grow": payload + b"more", "truncate": payload[: 1 << 20], "replace": payload[::-1]}[change]
    changes: list[Callable[[], object]] = [lambda: rig.tree.change("clip.mov", newer)]
    # The server takes the rest, and would store what it got.
    with FaultServer([Trouble(after=1 << 20, calls=changes[0], expire="none")], tokens={"good", "none"}) as server:
        rig.watch(_uploader(server, rig, headers={"Authorization": "Bearer good"}))
        rig.tree.put("clip.mov", payload)
        rig.run()
        tasks = rig.process(LATER)
        assert sorted(task.state for task in tasks) == ["cancelled", "success"]
        assert [task.reason for task in tasks if task.state == "cancelled"] == ["superseded"]
        assert server.bodies == [newer]


def test_a_file_that_vanishes_while_it_is_sent_is_not_delivered(rig: Any, payload: bytes) -> None:
    def vanish() -> None:
        rig.tree.remove("clip.mov")

    with FaultServer([Trouble(after=1 << 20, calls=vanish, expire="none")], tokens={"good", "none"}) as server:
        rig.watch(_uploader(server, rig, headers={"Authorization": "Bearer good"}))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.reason, server.bodies) == ("cancelled", "source_gone", [])


def test_no_connection_pauses_the_destination(rig: Any, way: dict[str, Any]) -> None:
    with FaultServer() as server:
        uploader = _uploader(server, rig, **way)
    media = rig.media("clip.mov", b"footage")
    with pytest.raises(DestinationOfflineError):
        uploader.upload(media, rig.context(media))
    rig.watch(uploader)
    rig.tree.put("new.mov")
    (task,) = rig.run()
    assert (task.state, task.attempts) == ("pending", 0)


@pytest.mark.parametrize(
    "trouble", [Trouble(silent=True, after=1 << 20), Trouble(silent=True)], ids=["while sending", "while waiting"]
)
def test_cancelling_ends_an_upload_that_hangs(rig: Any, way: dict[str, Any], payload: bytes, trouble: Trouble) -> None:
    token = CancelToken()
    hanging = Trouble(silent=True, after=trouble.after, calls=lambda: token.cancel(CancelReason.USER))
    with FaultServer([hanging]) as server:
        media = rig.media("clip.mov", payload)
        with pytest.raises(OperationCancelled) as caught:
            _uploader(server, rig, **way).upload(media, rig.context(media, cancel=token))
        assert caught.value.reason is CancelReason.USER
        assert rig.tree.open_streams == 0
        assert server.bodies == []


def test_a_connection_that_the_server_closed_meanwhile_costs_nothing(rig: Any, way: dict[str, Any]) -> None:
    with FaultServer() as server:
        uploader = _uploader(server, rig, **way)
        for number in range(3):
            media = rig.media(f"{number}.mov", b"footage")
            uploader.upload(media, rig.context(media))
            # As a server does whose idle connections end after a while.
            server.close_idle()
        assert len(server.bodies) == 3
