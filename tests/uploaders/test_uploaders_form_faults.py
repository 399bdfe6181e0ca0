"""A file in a form (POST, multipart/form-data) under every trouble: the right class, attempts, never wrong bytes."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.uploaders.fault_cases import (
    LATER,
    RETRY_AFTER,
    SHORT,
    assert_answer_means,
    assert_retry_after,
    case,
    retry_after,
)
from tests.uploaders.fault_server import FaultServer, Trouble
from tests.uploaders.killed import HANG_GUARD, finish, start

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import (
    AlreadyExists,
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    MediaWatchError,
    OperationCancelled,
    PermanentError,
    RateLimited,
    TransientError,
)
from media_watch_tasks.http import BearerAuth, HttpTimeouts
from media_watch_tasks.uploaders import HttpUploader

SHORT_STALL = HttpTimeouts(stall=timedelta(seconds=1))
FOOTAGE = b"footage" * 1_000


def _uploader(server: FaultServer, rig: Any, **settings: Any) -> HttpUploader:
    chosen = {"method": "POST", "field_name": "file", "clock": rig.clock, **settings}
    made: HttpUploader = rig.stack.enter_context(HttpUploader(server.url + "/upload", **chosen))
    return made


def _post(**what: Any) -> Trouble:
    return Trouble("POST", **what)


ANSWERS: list[tuple[Trouble, type[MediaWatchError], str, int]] = [
    *[(_post(status=status), TransientError, "failed", 1) for status in (408, 425, 429, 500, 502, 503, 504)],
    *[(_post(status=status), PermanentError, "dead", 1) for status in (400, 403, 404, 410, 413)],
    *[(_post(status=status), ConfigurationError, "dead", 1) for status in (202, 304)],
    (_post(status=429, headers={"Retry-After": "600"}), RateLimited, "pending", 0),
    (_post(status=401), AuthenticationRequiredError, "pending", 0),
    (_post(status=409), AlreadyExists, "dead", 1),
    (_post(status=507), DestinationFull, "pending", 0),
    (_post(status=413, after=100_000), PermanentError, "dead", 1),
    (_post(status=401, after=100_000), AuthenticationRequiredError, "pending", 0),
    (_post(status=201, after=100_000), TransientError, "failed", 1),
    (_post(reset=True, after=3 << 20), TransientError, "failed", 1),
    (_post(silent=True, after=1 << 20), TransientError, "failed", 1),
    (_post(silent=True), TransientError, "failed", 1),
]


@pytest.mark.parametrize(("trouble", "error", "state", "attempts"), ANSWERS, ids=case)
def test_an_answer_means_what_is_to_be_done(  # noqa: PLR0917 - pytest gives parameters by name
    rig: Any, payload: bytes, trouble: Trouble, error: type[MediaWatchError], state: str, attempts: int
) -> None:
    with FaultServer([trouble, trouble]) as server:
        # What is cut off has to be more than the line holds.
        data = FOOTAGE if trouble.after is None else payload
        timeouts = SHORT if trouble.after is None else SHORT_STALL
        uploader = _uploader(server, rig, **({"timeouts": timeouts} if trouble.silent else {}))
        read = assert_answer_means(rig, server, uploader, data, error=error, state=state, attempts=attempts)
        if trouble.after is not None and trouble.status is not None:
            assert read < len(data), "the early answer was not heard"


@pytest.mark.parametrize(("header", "delay"), RETRY_AFTER.items())
def test_retry_after_is_heeded(rig: Any, header: str, delay: int | None) -> None:
    with FaultServer([_post(status=503, headers=retry_after(header))]) as server:
        assert_retry_after(rig, _uploader(server, rig), delay)


def test_a_redirect_is_a_wrong_url_and_gets_no_secret(rig: Any) -> None:
    with FaultServer() as other:
        elsewhere = _post(status=307, headers={"Location": f"{other.url}/elsewhere?token=secret"})
        with FaultServer([elsewhere]) as server:
            rig.watch(_uploader(server, rig, auth=BearerAuth("secret")))
            rig.tree.put("clip.mov")
            (task,) = rig.run()
            assert (task.state, task.reason) == ("dead", "configuration")
            assert "secret" not in task.error
        assert other.seen == []


def test_a_token_that_expires_while_a_file_is_sent_is_renewed_and_the_file_arrives(rig: Any, payload: bytes) -> None:
    with FaultServer([_post(after=1 << 20, expire="old")], tokens={"old", "new"}) as server:
        rig.watch(_uploader(server, rig, auth=BearerAuth("old", refresh=lambda: "new")))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, server.bodies == [payload]) == ("success", 1, True)


@pytest.mark.parametrize("lost", [{"reset": True}, {"silent": True}], ids=["reset", "silent"])
def test_a_lost_answer_is_made_up_for_by_the_idempotency_key(rig: Any, lost: dict[str, bool]) -> None:
    with FaultServer([_post(stores=True, **lost)]) as server:
        rig.watch(_uploader(server, rig, **({"timeouts": SHORT} if "silent" in lost else {})))
        rig.tree.put("clip.mov", FOOTAGE)
        (task,) = rig.run()
        assert task.state == "failed"
        (task,) = rig.process(LATER)
        assert (task.state, server.bodies == [FOOTAGE]) == ("success", True), "it stands there twice"


def test_wrong_bytes_at_the_server_are_noticed_and_replaced(rig: Any, payload: bytes) -> None:
    with FaultServer([_post(damage=True)]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, "another SHA-256" in task.error) == ("failed", True)
        (task,) = rig.process(LATER)
        assert (task.state, task.receipt.verified, server.bodies == [payload]) == ("success", True, True)


def test_cancelling_ends_an_upload_that_hangs(rig: Any, payload: bytes) -> None:
    token = CancelToken()
    hanging = _post(silent=True, after=1 << 20, calls=lambda: token.cancel(CancelReason.USER))
    with FaultServer([hanging]) as server:
        media = rig.media("clip.mov", payload)
        with pytest.raises(OperationCancelled):
            _uploader(server, rig).upload(media, rig.context(media, cancel=token))
        assert (rig.tree.open_streams, server.bodies) == (0, [])


@pytest.mark.parametrize("change", ["grow", "truncate", "replace", "delete"])
def test_a_source_that_changes_while_it_is_sent_arrives_as_it_is_then(rig: Any, payload: bytes, change: str) -> None:
    newer = {"grow": payload + b"more", "truncate": payload[: 1 << 20], "replace": payload[::-1]}.get(change)
    happens: Callable[[], object] = lambda: (  # noqa: E731 - one of two
        rig.tree.remove("clip.mov") if newer is None else rig.tree.change("clip.mov", newer)
    )
    # The server takes the rest, and would store what it got.
    with FaultServer([_post(after=1 << 20, calls=happens, expire="none")], tokens={"good", "none"}) as server:
        rig.watch(_uploader(server, rig, headers={"Authorization": "Bearer good"}))
        rig.tree.put("clip.mov", payload)
        rig.run()
        tasks = rig.process(LATER)
        assert server.bodies == ([] if newer is None else [newer])
        reasons = [task.reason for task in tasks if task.state == "cancelled"]
        assert reasons == ["source_gone" if newer is None else "superseded"]


@pytest.mark.parametrize(("after", "stores"), [(3 << 20, False), (None, True)], ids=["in the middle", "at the end"])
def test_a_killed_upload_ends_in_one_whole_object(tmp_path: Path, after: int | None, *, stores: bool) -> None:
    source, data = tmp_path / "source", random.Random(5).randbytes(8 << 20)
    source.mkdir()
    (source / "clip.mov").write_bytes(data)
    process: list[subprocess.Popen[str]] = []

    def kill() -> None:
        process[0].send_signal(signal.SIGKILL)
        process[0].wait(HANG_GUARD)

    with FaultServer([_post(after=after, calls=kill, reset=True, stores=stores)]) as server:
        process.append(start(source, server.url + "/upload", kind="form"))
        with process[0]:
            assert process[0].wait(HANG_GUARD) == -signal.SIGKILL
        assert finish(source, server.url + "/upload", kind="form").split()[0] == "success"
        assert [body == data for body in server.bodies] == [True]
