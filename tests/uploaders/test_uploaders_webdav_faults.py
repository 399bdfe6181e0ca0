"""What goes wrong between the PUT to a temporary name and the MOVE: never half a file, nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.uploaders.fault_cases import (
    LATER,
    SHORT,
    assert_a_newer_version_replaces_no_other,
    assert_a_stranger_is_left_alone,
    case,
)
from tests.uploaders.fault_server import FaultServer, Trouble
from tests.uploaders.killed import HANG_GUARD, finish, start
from tests.uploaders.rclone_webdav import running
from tests.uploaders.webdav_fault_server import WebdavFaultServer

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import (
    AlreadyExists,
    ConfigurationError,
    LeaseLost,
    OperationCancelled,
    TransientError,
)
from media_watch_tasks.http import BearerAuth
from media_watch_tasks.uploaders import WebdavUploader


def _uploader(server: FaultServer, rig: Any, template: str = "/{path}", **settings: Any) -> WebdavUploader:
    made: WebdavUploader = rig.stack.enter_context(WebdavUploader(server.url + template, clock=rig.clock, **settings))
    return made


def _temporary(server: WebdavFaultServer) -> list[str]:
    return [path for path in server.objects if "/.mwt-" in path]


def test_a_file_is_sent_under_another_name_and_moved_once_it_was_confirmed(rig: Any) -> None:
    with WebdavFaultServer() as server:
        media = rig.media("2026/may/clip.mov", b"footage")
        seen: list[list[str]] = []
        context = rig.context(media, on_confirm=lambda: seen.append(list(server.objects)))
        receipt = _uploader(server, rig).upload(media, context)
        assert list(server.objects) == ["/2026/may/clip.mov"]
        assert receipt.remote_id == f"{server.url}/2026/may/clip.mov"
        assert receipt.verified
        assert seen[-1] != []
        assert all("/.mwt-" in path for path in seen[-1]), "it stood there before it was confirmed"
        assert [one.path for one in server.requests("MKCOL")] == ["/2026/", "/2026/may/"]
        assert [one.headers["Overwrite"] for one in server.requests("MOVE")] == ["F"]


def test_folders_are_made_once_and_again_when_they_are_gone(rig: Any) -> None:
    with WebdavFaultServer() as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("may/1.mov", b"1")
        rig.tree.put("may/2.mov", b"2")
        rig.run()
        assert len(server.requests("MKCOL")) == 1
        server.folders.discard("/may")
        rig.tree.put("may/3.mov", b"3")
        assert sorted(task.state for task in rig.run()) == ["failed", "success", "success"]
        assert {task.state for task in rig.process(LATER)} == {"success"}
        assert sorted(server.bodies) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("template", ["/away/{path}", "/away/{key}{ext}"])
def test_a_base_that_is_not_there_pauses_the_destination(rig: Any, template: str) -> None:
    with WebdavFaultServer() as server:
        rig.watch(_uploader(server, rig, template))
        rig.tree.put("may/clip.mov", b"footage")
        (task,) = rig.run()
        assert (task.state, task.attempts, server.bodies) == ("pending", 0, [])
        server.folders.add("/away")
        (task,) = rig.process(LATER)
        assert (task.state, server.bodies) == ("success", [b"footage"])


@pytest.mark.parametrize(
    ("trouble", "state", "attempts"),
    [
        (Trouble("MOVE", status=423), "failed", 1),
        (Trouble("MOVE", status=503), "failed", 1),
        (Trouble("MOVE", status=404), "failed", 1),
        (Trouble("MOVE", status=207), "failed", 1),
        (Trouble("MOVE", reset=True), "failed", 1),
        (Trouble("MOVE", reset=True, stores=True), "failed", 1),
        (Trouble("MOVE", silent=True, stores=True), "failed", 1),
        (Trouble("MOVE", status=401), "pending", 0),
        (Trouble("MOVE", status=507), "pending", 0),
        (Trouble("MOVE", status=403), "dead", 1),
        (Trouble("MOVE", status=405), "dead", 1),
        (Trouble("MOVE", status=302, headers={"Location": "/elsewhere"}), "dead", 1),
        (Trouble("MKCOL", status=503), "failed", 1),
        (Trouble("MKCOL", status=403), "dead", 1),
        (Trouble("PUT", status=503), "failed", 1),
        (Trouble("PUT", reset=True, after=1_000), "failed", 1),
        (Trouble("PUT", status=507), "pending", 0),
        (Trouble("PUT", damage=True), "failed", 1),
    ],
    ids=case,
)
def test_an_answer_means_what_is_to_be_done(
    rig: Any, payload: bytes, trouble: Trouble, state: str, attempts: int
) -> None:
    with WebdavFaultServer([trouble]) as server:
        # What is cut off has to be more than the line holds.
        data = b"footage" if trouble.after is None else payload
        rig.watch(_uploader(server, rig, timeouts=SHORT if trouble.silent else None))
        rig.tree.put("may/clip.mov", data)
        (task,) = rig.run()
        assert (task.state, task.attempts) == (state, attempts)
        assert set(server.objects) - set(_temporary(server)) <= {"/may/clip.mov"}
        if state != "dead":
            (task,) = rig.process(LATER)
            assert (task.state, server.bodies == [data]) == ("success", True)
        assert _temporary(server) == [], "something was left behind"


def test_a_lost_answer_to_the_move_is_made_up_for_by_a_look(rig: Any, payload: bytes) -> None:
    with WebdavFaultServer([Trouble("MOVE", reset=True, stores=True)]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", payload)
        rig.run()
        (task,) = rig.process(LATER)
        assert (task.state, len(server.requests("PUT"))) == ("success", 1)


@pytest.mark.parametrize("trouble", [Trouble("DELETE", status=423), Trouble("DELETE", status=403)])
def test_what_cannot_be_removed_now_does_not_stand_in_the_way_for_good(rig: Any, trouble: Trouble) -> None:
    with WebdavFaultServer([Trouble("MOVE", status=503), trouble]) as server:
        rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", b"footage")
        rig.run()
        rig.process(LATER)
        (task,) = rig.process(LATER)
        assert (task.state, task.receipt.remote_id) == ("success", f"{server.url}/clip.mov")
        assert len(_temporary(server)) == (1 if trouble.status == 403 else 0)


def test_a_stranger_is_left_alone_and_nothing_is_sent(rig: Any) -> None:
    with WebdavFaultServer() as server:
        assert_a_stranger_is_left_alone(rig, server, _uploader(server, rig))
        assert server.requests("PUT") == []


def test_a_stranger_that_comes_after_the_last_look_is_left_alone(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebdavFaultServer(tokens={"good", "none"}) as server:
        media = rig.media("clip.mov", b"footage")
        uploader = _uploader(server, rig, headers={"Authorization": "Bearer good"})
        come = Trouble(expire="none", calls=lambda: server.put("/clip.mov", b"a stranger's footage"))
        server.troubles.append(come)
        monkeypatch.setattr(uploader, "_may_overwrite", lambda *_: False)
        with pytest.raises(AlreadyExists, match="something stands there"):
            uploader.upload(media, rig.context(media))
        assert server.bodies == [b"a stranger's footage"]


def test_a_newer_version_replaces_the_earlier_one_and_no_other(rig: Any) -> None:
    with WebdavFaultServer() as server:
        assert_a_newer_version_replaces_no_other(rig, server, _uploader(server, rig))
        assert [one.headers["Overwrite"] for one in server.requests("MOVE")] == ["F", "T"]


def test_replace_replaces_anything(rig: Any) -> None:
    with WebdavFaultServer() as server:
        server.put("/clip.mov", b"whatever")
        rig.watch(_uploader(server, rig, if_exists="replace"))
        rig.tree.put("clip.mov", b"footage")
        (task,) = rig.run()
        assert (task.state, server.bodies) == ("success", [b"footage"])


def test_the_same_bytes_of_a_stranger_count_as_delivered(rig: Any) -> None:
    with WebdavFaultServer() as server:
        server.put("/clip.mov", b"footage")
        media = rig.media("clip.mov", b"footage")
        receipt = _uploader(server, rig).upload(media, rig.context(media))
        assert (receipt.deduplicated, server.requests("PUT")) == (True, [])


@pytest.mark.parametrize("lost", [True, False], ids=["lease lost", "cancelled"])
def test_an_upload_that_has_to_stop_leaves_nothing(rig: Any, payload: bytes, *, lost: bool) -> None:
    with WebdavFaultServer() as server:
        media = rig.media("clip.mov", payload)
        context = rig.context(media, **({"lose_lease": True} if lost else {"cancel_at": len(payload) // 2}))
        with pytest.raises(LeaseLost if lost else OperationCancelled):
            _uploader(server, rig).upload(media, context)
        assert server.objects == {}


def test_a_shutdown_in_the_middle_leaves_what_the_next_attempt_removes(rig: Any, payload: bytes) -> None:
    token = CancelToken()
    hanging = Trouble(silent=True, after=1 << 20, calls=lambda: token.cancel(CancelReason.SHUTDOWN))
    with WebdavFaultServer([hanging]) as server:
        media = rig.media("clip.mov", payload)
        uploader, context = _uploader(server, rig), rig.context(media, cancel=token)
        with pytest.raises(OperationCancelled):
            uploader.upload(media, context)
        state = dict(context.resume_state)
        server.put(state["temporary"].removeprefix(server.url), payload[: 1 << 20])
        uploader.upload(media, rig.context(media, attempt=2, resume_state=state))
        assert list(server.objects) == ["/clip.mov"]


def test_what_a_task_that_ended_left_is_removed_by_the_manager(rig: Any) -> None:
    with WebdavFaultServer([Trouble("MOVE", status=503)]) as server:
        manager = rig.watch(_uploader(server, rig))
        rig.tree.put("clip.mov", b"footage")
        rig.run()
        assert len(_temporary(server)) == 1
        manager.cancel(everything=True)
        rig.process(LATER)
        assert server.objects == {}


def test_a_token_that_expires_while_it_is_sent_is_renewed(rig: Any, payload: bytes) -> None:
    troubles = [Trouble(after=1 << 20, expire="old")]
    with WebdavFaultServer(troubles, tokens={"old", "new"}) as server:
        tokens = ["old"]
        auth = BearerAuth(lambda: tokens[-1], refresh=lambda: tokens.append("new"))
        media = rig.media("may/clip.mov", payload)
        _uploader(server, rig, auth=auth).upload(media, rig.context(media))
        assert list(server.objects) == ["/may/clip.mov"]


def test_a_name_of_another_base_is_never_removed(rig: Any) -> None:
    with WebdavFaultServer() as other, WebdavFaultServer() as server:
        other.put("/.mwt-1.tmp", b"of somebody else")
        server.put("/outside.mov", b"of somebody else")
        uploader = _uploader(server, rig, "/media/{path}")
        uploader.abort({"temporary": f"{other.url}/.mwt-1.tmp"})
        uploader.abort({"temporary": f"{server.url}/outside.mov"})
        uploader.abort({})
        assert (len(other.objects), len(server.objects), other.seen, server.seen) == (1, 1, [], [])


def test_settings_and_servers_that_make_no_sense_are_refused(rig: Any) -> None:
    with pytest.raises(ConfigurationError, match="no query"):
        WebdavUploader("https://example.org/{path}?token=1")
    with WebdavFaultServer() as server:
        _uploader(server, rig).check()
    with FaultServer() as plain, pytest.raises(ConfigurationError, match="no WebDAV server"):
        _uploader(plain, rig).check()


def test_a_name_that_the_server_does_not_show_is_no_delivery(rig: Any) -> None:
    with WebdavFaultServer([Trouble("HEAD", status=404)]) as server:
        media = rig.media("clip.mov", b"footage")
        with pytest.raises(TransientError, match="does not show the 7 bytes"):
            _uploader(server, rig, if_exists="replace").upload(media, rig.context(media))


def test_a_killed_upload_shows_no_half_file_and_leaves_nothing(tmp_path: Path, payload: bytes) -> None:
    """At a real server, which stores what comes under the name that it was sent to, bit by bit."""
    source, served = tmp_path / "source", tmp_path / "served"
    source.mkdir()
    served.mkdir()
    (source / "clip.mov").write_bytes(payload)
    with running(served) as url:
        deadline = time.monotonic() + HANG_GUARD
        with start(source, url + "/{path}", kind="slow webdav") as victim:
            while not any(path.stat().st_size > 1 << 20 for path in served.iterdir()):
                assert time.monotonic() < deadline, "nothing arrives"
                time.sleep(0.01)
            victim.send_signal(signal.SIGKILL)
            assert victim.wait(HANG_GUARD) == -signal.SIGKILL
        (left,) = served.iterdir()
        assert left.name.startswith(".mwt-"), "half a file stands under its name"
        assert left.stat().st_size < len(payload)
        assert finish(source, url + "/{path}", kind="webdav").split()[0] == "success"
        assert {path.name: path.read_bytes() == payload for path in served.iterdir()} == {"clip.mov": True}


@pytest.mark.parametrize("moved", [True, False], ids=["after the move", "before the move"])
def test_a_process_that_is_killed_at_the_move_is_followed_by_one_that_delivers(tmp_path: Path, *, moved: bool) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "clip.mov").write_bytes(b"footage")
    process: list[subprocess.Popen[str]] = []

    def kill() -> None:
        process[0].send_signal(signal.SIGKILL)
        process[0].wait(HANG_GUARD)

    with WebdavFaultServer([Trouble("MOVE", calls=kill, reset=True, stores=moved)]) as server:
        process.append(start(source, server.url + "/{path}", kind="webdav"))
        with process[0]:
            assert process[0].wait(HANG_GUARD) == -signal.SIGKILL
        assert finish(source, server.url + "/{path}", kind="webdav").split()[0] == "success"
        assert list(server.objects) == ["/clip.mov"]
        assert len(server.requests("PUT")) == (1 if moved else 2)
