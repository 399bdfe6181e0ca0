"""A canary: secrets are planted everywhere, everything goes wrong, and then everything that was written is searched."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import attrs
import pytest
from tests.uploaders.fault_server import FaultServer, Trouble
from tests.uploaders.tus.fault_server import TusFaultServer
from tests.uploaders.webdav_fault_server import WebdavFaultServer

from media_watch_tasks.abc import Uploader
from media_watch_tasks.http import BearerAuth, HttpTimeouts
from media_watch_tasks.uploaders import HttpUploader, TusUploader, WebdavUploader

SECRET = "c4n4ry"
SHORT = HttpTimeouts(stall=timedelta(seconds=1), answer=timedelta(seconds=1))
# The server says it back, in every way.
ECHO = {"X-Echo": SECRET, "Set-Cookie": f"session={SECRET}", "WWW-Authenticate": f"Bearer error={SECRET}"}

TROUBLES = {
    "fine": [],
    "500": [Trouble(status=500, headers=ECHO, body=SECRET.encode())],
    "403": [Trouble(status=403, headers=ECHO, body=SECRET.encode())],
    "401": [Trouble(status=401, headers=ECHO, body=SECRET.encode())],
    "409": [Trouble(status=409, headers=ECHO, body=SECRET.encode())],
    "redirect": [Trouble(status=307, headers={**ECHO, "Location": f"http://u:{SECRET}@127.0.0.1:1/x?sig={SECRET}"})],
    "bad redirect": [Trouble(status=307, headers={**ECHO, "Location": f"http://[{SECRET}/x"})],
    "no HTTP": [Trouble(status=200, headers={"Content-Length": SECRET})],
    "reset": [Trouble(reset=True, after=3)],
    "silent": [Trouble(silent=True)],
}


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record) + repr(record.__dict__))


@pytest.fixture
def records() -> Iterator[_Records]:
    handler, root = _Records(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _key() -> dict[str, str]:
    return {"X-Api-Key": SECRET}


def _search(rig: Any, uploader: Uploader, records: _Records) -> None:
    """Run a delivery in every way that writes something, and look for the secret."""
    heard: list[object] = []
    manager = rig.watch(uploader)
    manager.subscribe(heard.append)
    rig.tree.put("clip.mov", b"footage")
    tasks = rig.run()
    assert tasks
    assert heard
    media = rig.media("direct.mov", b"footage")
    traces = []
    try:
        uploader.upload(media, rig.context(media))
    except Exception as error:
        traces = [*traceback.format_exception(error), repr(error)]
        logging.getLogger("an.application").exception("it failed")
    assert SECRET not in "".join(traces)
    assert records.texts
    assert any("request answered" in text or "it failed" in text for text in records.texts), "nothing was recorded"
    for what in (repr(tasks), repr(heard), repr(manager.health(max_age=timedelta(days=1))), repr(uploader)):
        assert SECRET not in what
    assert SECRET not in "\n".join(records.texts)
    for path in rig.database.parent.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert uploader.destination_id
    assert SECRET not in uploader.destination_id


@pytest.mark.parametrize("kind", TROUBLES)
def test_http_keeps_every_secret(rig: Any, records: _Records, kind: str) -> None:
    with FaultServer(TROUBLES[kind] * 2) as server:
        host = server.url.removeprefix("http://")
        uploader = HttpUploader(
            f"http://{host}/{{path}}?sig={SECRET}",
            headers=_key,
            auth=BearerAuth(SECRET),
            timeouts=SHORT,
            clock=rig.clock,
            if_exists="replace",
        )
        _search(rig, rig.stack.enter_context(uploader), records)
        assert any(SECRET in str(seen) for seen in server.seen), "the server got it"
        server.troubles.clear()


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_form_keeps_every_secret(rig: Any, records: _Records, kind: str) -> None:
    with FaultServer([attrs.evolve(trouble, method="POST") for trouble in TROUBLES[kind] * 2]) as server:
        uploader = HttpUploader(
            f"{server.url}/upload?sig={SECRET}",
            method="POST",
            field_name="file",
            fields={"token": SECRET},
            headers=_key,
            auth=BearerAuth(SECRET),
            timeouts=SHORT,
            clock=rig.clock,
        )
        _search(rig, rig.stack.enter_context(uploader), records)
        assert any(SECRET in str(seen) for seen in server.seen), "the server got it"
        server.troubles.clear()


@pytest.mark.parametrize("kind", TROUBLES)
@pytest.mark.parametrize("method", ["PUT", "MOVE"])
def test_webdav_keeps_every_secret(rig: Any, records: _Records, kind: str, method: str) -> None:
    with WebdavFaultServer([attrs.evolve(trouble, method=method) for trouble in TROUBLES[kind] * 2]) as server:
        host = server.url.removeprefix("http://")
        uploader = WebdavUploader(
            f"http://user:{SECRET}@{host}/{{path}}",
            headers=_key,
            timeouts=SHORT,
            clock=rig.clock,
            if_exists="replace",
        )
        _search(rig, rig.stack.enter_context(uploader), records)
        assert any(SECRET in str(seen) for seen in server.seen), "the server got it"
        server.troubles.clear()


def test_a_password_in_the_url_stays_secret(rig: Any, records: _Records) -> None:
    with FaultServer([Trouble(status=500)] * 2) as server:
        host = server.url.removeprefix("http://")
        _search(rig, rig.stack.enter_context(HttpUploader(f"http://user:{SECRET}@{host}/{{path}}")), records)


def test_a_failing_hook_says_nothing(rig: Any, records: _Records) -> None:
    def refresh() -> str:
        raise RuntimeError(f"the identity provider refused {SECRET}")

    def headers() -> dict[str, str]:
        raise ValueError(f"no key beside {SECRET}")

    with FaultServer(tokens=set()) as server:
        uploader = HttpUploader(server.url + "/{path}", auth=BearerAuth(SECRET, refresh=refresh), clock=rig.clock)
        _search(rig, rig.stack.enter_context(uploader), records)
        with HttpUploader(server.url + "/{path}", headers=headers) as broken, pytest.raises(Exception) as caught:  # noqa: PT011 - any
            broken.upload(media := rig.media("hook.mov", b"footage"), rig.context(media))
        assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", TROUBLES)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_tus_keeps_every_secret(rig: Any, records: _Records, kind: str, method: str) -> None:
    troubles = [attrs.evolve(trouble, method=method) for trouble in TROUBLES[kind] * 2]
    with TusFaultServer(troubles, query=f"?sig={SECRET}") as server:
        uploader = TusUploader(
            server.files + f"?token={SECRET}",
            headers={"X-Api-Key": SECRET},
            auth=BearerAuth(SECRET),
            timeouts=SHORT,
            clock=rig.clock,
        )
        _search(rig, rig.stack.enter_context(uploader), records)
        assert any(SECRET in str(seen) for seen in server.seen), "the server got it"
        server.troubles.clear()
