"""How many requests a file takes: on a line with a delay they are what a small file costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.uploaders.fault_server import FaultServer
from tests.uploaders.tus.fault_server import TusFaultServer
from tests.uploaders.webdav_fault_server import WebdavFaultServer

from media_watch_tasks.abc import Uploader
from media_watch_tasks.uploaders import HttpUploader, TusUploader, WebdavUploader

WITH_UPLOAD = "creation,creation-with-upload,termination"


def _put(server: Any) -> Uploader:
    return HttpUploader(server.url + "/{path}")


def _form(server: Any) -> Uploader:
    return HttpUploader(server.url + "/upload", method="POST", field_name="file")


def _webdav(server: Any) -> Uploader:
    return WebdavUploader(server.url + "/{path}")


def _tus(server: Any) -> Uploader:
    return TusUploader(server.files)


CASES: dict[str, tuple[Callable[[], FaultServer], Callable[[Any], Uploader], list[str], list[str]]] = {
    "PUT": (FaultServer, _put, [], ["PUT"]),
    "POST, form": (FaultServer, _form, [], ["POST"]),
    "WebDAV": (WebdavFaultServer, _webdav, ["HEAD", "MKCOL", "PUT", "MOVE", "HEAD"], ["HEAD", "PUT", "MOVE", "HEAD"]),
    "tus, creation-with-upload": (lambda: TusFaultServer(extensions=WITH_UPLOAD), _tus, ["OPTIONS", "POST"], ["POST"]),
    "tus": (
        lambda: TusFaultServer(extensions="creation,termination"),
        _tus,
        ["OPTIONS", "POST", "PATCH"],
        ["POST", "PATCH"],
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_small_file_takes_as_few_requests_as_its_protocol_allows(rig: Any, kind: str) -> None:
    serve, make, first, every = CASES[kind]
    with serve() as server, make(server) as uploader:
        for number in range(3):
            begun = len(server.seen)
            media = rig.media(f"may/{number}.mov", b"footage")
            uploader.upload(media, rig.context(media))
            # At first it asks what the server can do, and makes the folder.
            expected = (first or every) if number == 0 else every
            assert [seen.method for seen in server.seen[begun:]] == expected
        assert len({seen.connection for seen in server.seen}) == 1


@pytest.mark.parametrize("kind", ["PUT", "WebDAV"])
def test_a_newer_version_takes_no_more_than_its_proof(rig: Any, kind: str) -> None:
    serve, make, _, every = CASES[kind]
    with serve() as server, make(server) as uploader:
        media = rig.media("may/clip.mov", b"first")
        earlier = uploader.upload(media, rig.context(media))
        begun = len(server.seen)
        newer = rig.media("may/clip.mov", b"second")
        uploader.upload(newer, rig.context(newer, previous=earlier))
        # What is replaced is looked at right before: WebDAV's MOVE knows no ETag.
        expected = every if kind == "PUT" else ["HEAD", "PUT", "HEAD", "MOVE", "HEAD"]
        assert [seen.method for seen in server.seen[begun:]] == expected
        assert server.bodies == [b"second"]


def test_where_a_large_file_goes_is_looked_at_before_it_is_sent_and_before_it_is_moved(
    rig: Any, payload: bytes
) -> None:
    with WebdavFaultServer() as server, _webdav(server) as uploader:
        media = rig.media("clip.mov", payload)
        uploader.upload(media, rig.context(media))
        assert [seen.method for seen in server.seen] == ["HEAD", "PUT", "HEAD", "MOVE", "HEAD"]
