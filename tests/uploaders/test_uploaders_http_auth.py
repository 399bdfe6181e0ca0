"""Credentials: renewed once for all threads, put on nobody else's requests, and waited for where there are none."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from tests.uploaders.fault_server import FaultServer, Trouble

from media_watch_tasks.errors import AuthenticationRequiredError, ConfigurationError
from media_watch_tasks.http import BasicAuth, BearerAuth, HttpAuth, HttpSession
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.settlements import PauseScope
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.uploaders import HttpUploader

HANG_GUARD = 30.0


class Hook:
    """A refresh that counts its calls, and that a test can hold up."""

    def __init__(self, server: FaultServer, *, works: bool = True) -> None:
        self.server = server
        self.works = works
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if not self.works:
            raise RuntimeError("SECRET of the identity provider")
        assert self.server.tokens is not None
        token = f"token-{self.calls}"
        self.server.tokens.add(token)
        return token


def test_a_token_that_expires_while_a_file_is_sent_is_renewed_and_the_file_arrives(rig: Any, payload: bytes) -> None:
    with FaultServer([Trouble(after=1 << 20, expire="old")], tokens={"old"}) as server:
        hook = Hook(server)
        rig.watch(rig.stack.enter_context(HttpUploader(server.url + "/{path}", auth=BearerAuth("old", refresh=hook))))
        rig.tree.put("clip.mov", payload)
        (task,) = rig.run()
        assert (task.state, task.attempts, hook.calls, server.bodies == [payload]) == ("success", 1, 1, True)


@pytest.mark.parametrize("works", [True, False])
def test_many_threads_ask_for_newer_credentials_once(rig: Any, *, works: bool) -> None:
    with FaultServer(tokens=set()) as server:
        hook = Hook(server, works=works)
        all_refused = threading.Barrier(8)

        class Auth(BearerAuth):
            def headers(self) -> Any:
                found = super().headers()
                if not hook.calls:
                    all_refused.wait(HANG_GUARD)  # everybody sends the old token
                return found

        auth = Auth("old", refresh=hook)
        uploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", auth=auth, clock=FakeClock()))
        files = [rig.media(f"{number}.mov", b"footage %d" % number) for number in range(8)]

        def send(media: Any) -> Exception | None:
            try:
                uploader.upload(media, rig.context(media))
            except AuthenticationRequiredError as error:
                return error
            return None

        with ThreadPoolExecutor(8) as pool:
            errors = list(pool.map(send, files, timeout=HANG_GUARD))
        assert hook.calls == 1
        assert [error is None for error in errors] == [works] * 8
        assert len(server.bodies) == (8 if works else 0)


def test_a_refresh_that_failed_is_asked_for_again_after_a_while(rig: Any) -> None:
    with FaultServer(tokens=set()) as server:
        hook = Hook(server, works=False)
        auth = BearerAuth("old", refresh=hook)
        uploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", auth=auth, clock=rig.clock))
        media = rig.media("clip.mov", b"footage")
        for _ in range(3):
            with pytest.raises(AuthenticationRequiredError):
                uploader.upload(media, rig.context(media))
        assert hook.calls == 1
        rig.clock.advance(timedelta(seconds=6))
        hook.works = True
        uploader.upload(media, rig.context(media))
        assert (hook.calls, server.bodies) == (2, [b"footage"])


def test_without_newer_credentials_the_destination_waits_until_they_are_there(rig: Any) -> None:
    with FaultServer(tokens=set()) as server:
        auth = BearerAuth(lambda: "signed-in")
        manager = rig.watch(rig.stack.enter_context(HttpUploader(server.url + "/{path}", auth=auth, clock=rig.clock)))
        for number in range(3):
            rig.tree.put(f"{number}.mov", b"footage %d" % number)
        tasks = rig.run()
        assert [(task.state, task.attempts) for task in tasks] == [("pending", 0)] * 3
        assert len(server.requests("PUT")) == 1
        assert [pause.scope for pause in manager._core.tasks.pauses()] == [PauseScope.DESTINATION]
        assert server.tokens is not None
        server.tokens.add("signed-in")
        assert manager.credentials_refreshed() == 1
        tasks = rig.process(timedelta(0))
        assert [(task.state, task.attempts) for task in tasks] == [("success", 1)] * 3


def test_a_token_is_renewed_as_often_as_it_expires(rig: Any) -> None:
    with FaultServer(tokens=set()) as server:
        hook = Hook(server)
        auth = BearerAuth("old", refresh=hook)
        uploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", auth=auth, clock=rig.clock))
        for number in range(3):
            server.tokens = set()
            media = rig.media(f"{number}.mov", b"footage")
            uploader.upload(media, rig.context(media))
        assert (hook.calls, len(server.bodies)) == (3, 3)


def test_headers_are_asked_for_at_each_request(rig: Any) -> None:
    with FaultServer() as server:
        tokens = iter("abc")

        def named(media: ResolvedMedia) -> dict[str, str]:
            return {"X-Token": next(tokens), "X-Name": media.name}

        uploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", headers=named))
        for name in ("1.mov", "2.mov"):
            media = rig.media(name, b"footage")
            uploader.upload(media, rig.context(media))
        sent = [(seen.headers["X-Token"], seen.headers["X-Name"]) for seen in server.requests("PUT")]
        assert sent == [("a", "1.mov"), ("b", "2.mov")]


@pytest.mark.parametrize("form", ["url", "tuple", "object"])
def test_basic_authentication_may_stand_in_the_url(rig: Any, form: str) -> None:
    with FaultServer() as server:
        host = server.url.removeprefix("http://")
        url = f"http://us%65r:p%40ss@{host}" if form == "url" else server.url
        auth = {"tuple": ("user", "p@ss"), "object": BasicAuth("user", "p@ss")}.get(form)
        uploader = rig.stack.enter_context(HttpUploader(url + "/{path}", auth=auth))  # type: ignore[arg-type]  # one of them
        media = rig.media("clip.mov", b"footage")
        receipt = uploader.upload(media, rig.context(media))
        assert server.requests("PUT")[0].headers["Authorization"] == "Basic dXNlcjpwQHNz"
        assert receipt.remote_id == server.url + "/clip.mov"
        assert "p@ss" not in uploader.destination_id + repr(uploader) + repr(uploader.__dict__)


@pytest.mark.parametrize("url", ["other", "presigned"])
def test_credentials_go_to_their_own_origin_alone(url: str) -> None:
    with FaultServer() as home, FaultServer() as other:
        session = HttpSession(
            home.url, feature="the test", auth=BearerAuth("SECRET"), headers=lambda: {"X-Api-Key": "SECRET"}
        )
        with session:
            target, authenticated = (other, True) if url == "other" else (home, False)
            session.request("PUT", target.url + "/a?b=c", body=b"x", authenticated=authenticated)
            assert "SECRET" not in str(target.seen)
            session.request("PUT", home.url + "/a?b=c", body=b"x")
            assert str(home.seen[-1]).count("SECRET") == 2


def test_what_an_injected_client_adds_stays_at_its_origin(rig: Any) -> None:
    with (
        FaultServer() as home,
        FaultServer() as other,
        httpx2.Client(headers={"X-Api-Key": "SECRET"}, cookies={"session": "SECRET"}, auth=("u", "SECRET")) as client,
        HttpSession(home.url, feature="the test", client=client) as session,
    ):
        session.request("PUT", other.url + "/a", body=b"x")
        assert "SECRET" not in str(other.seen)
        assert "Authorization" not in other.seen[0].headers
        session.request("PUT", home.url + "/a", body=b"x")
        assert str(home.seen[-1]).count("SECRET") == 2
        assert "Authorization" in home.seen[-1].headers
        session.close()
        assert not client.is_closed, "it is the application's"


@pytest.mark.parametrize("bad", ["line\r\nX-Injected: yes", "SECRET\x00", "SECRET\xe9", " SECRET"])
def test_a_header_that_cannot_be_sent_is_named_and_not_shown(rig: Any, bad: str) -> None:
    with FaultServer() as server:
        uploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", headers=lambda: {"X-Token": bad}))
        media = rig.media("clip.mov", b"footage")
        with pytest.raises(ConfigurationError, match="X-Token") as caught:
            uploader.upload(media, rig.context(media))
        assert "SECRET" not in str(caught.value)
        assert "Injected" not in str(caught.value)
        assert server.seen == []


def test_an_auth_of_ones_own_is_a_small_class(rig: Any) -> None:
    class Signed(HttpAuth):
        def headers(self) -> dict[str, str]:
            return {"Authorization": "Bearer own"}

    with FaultServer(tokens={"own"}) as server:
        uploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", auth=Signed()))
        media = rig.media("clip.mov", b"footage")
        uploader.upload(media, rig.context(media))
        server.tokens = set()
        other = rig.media("other.mov", b"footage")
        with pytest.raises(AuthenticationRequiredError):
            uploader.upload(other, rig.context(other))


@pytest.mark.parametrize("auth", ["token", ("user",), ("user", 1), 7])
def test_auth_that_is_none_is_refused_without_being_shown(auth: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpUploader("http://127.0.0.1/{path}", auth=auth)
    assert "token" not in str(caught.value).replace("BearerAuth(token", "")
