"""What HttpUploader sends and what it makes of an answer: headers, URLs, forms, receipts."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, BinaryIO

import attrs
import httpx2
import pytest
from tests.uploaders.fault_server import FaultServer, Trouble

from media_watch_tasks.errors import ConfigurationError, PermanentError, TransientError
from media_watch_tasks.http import Answer, new_client
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders import HttpUploader


def _uploader(rig: Any, url: str, **settings: Any) -> HttpUploader:
    made: HttpUploader = rig.stack.enter_context(HttpUploader(url, clock=rig.clock, **settings))
    return made


def test_a_request_says_what_it_carries(rig: Any) -> None:
    with FaultServer() as server:
        media = rig.media("2026/clip.mov", b"footage")
        context = rig.context(media)
        receipt = _uploader(rig, server.url + "/in/{path}").upload(media, context)
        (seen,) = server.seen
        digest = base64.b64encode(hashlib.sha256(b"footage").digest()).decode()
        assert (seen.method, seen.path) == ("PUT", "/in/2026/clip.mov")
        assert seen.headers["Idempotency-Key"] == context.key
        assert seen.headers["Content-Length"] == "7"
        assert seen.headers["Content-Type"] == "video/quicktime"
        assert seen.headers["Repr-Digest"] == seen.headers["Content-Digest"] == f"sha-256=:{digest}:"
        assert seen.headers["If-None-Match"] == "*"
        assert "Transfer-Encoding" not in seen.headers
        sha256 = hashlib.sha256(b"footage").hexdigest()
        url = server.url + "/in/2026/clip.mov"
        assert receipt == UploadReceipt(url, size=7, sha256=sha256, etag='"1"', verified=True)


@pytest.mark.parametrize(("digest", "large", "reads"), [("known", False, 1), ("always", True, 2), ("never", False, 1)])
def test_the_digest_of_a_large_file_costs_a_second_read_only_where_asked(
    rig: Any, payload: bytes, digest: str, reads: int, *, large: bool
) -> None:
    with FaultServer() as server:
        media = rig.media("clip.mov", payload)
        context = rig.context(media)
        opened: list[int] = []
        plain = media.open_stream

        def open_stream(offset: int, length: int | None) -> BinaryIO:
            opened.append(offset)
            stream: BinaryIO = plain(offset, length)
            return stream

        watched = attrs.evolve(media, open_stream=open_stream)
        _uploader(rig, server.url + "/{path}", digest=digest).upload(watched, context)
        assert ("Repr-Digest" in server.seen[0].headers) is large
        assert len(opened) == reads
        stages = {progress.stage for progress in context.progress_calls}
        assert (Stage.HASH in stages) is large
        assert {Stage.TRANSFER, Stage.FINALISE} <= stages


def test_a_form_has_the_file_and_the_texts(rig: Any, payload: bytes) -> None:
    with FaultServer() as server:
        uploader = _uploader(
            rig, server.url + "/upload", method="POST", field_name="upload", fields={"album": "Ünïcødé"}
        )
        media = rig.media('a "quoted"\r\nname.mov', payload)
        receipt = uploader.upload(media, rig.context(media))
        assert server.form["album"].get_payload(decode=True).decode() == "Ünïcødé"
        assert server.form["upload"].get_content_type() == "video/quicktime"
        assert server.form["upload"].get_filename() == "a %22quoted%22%0D%0Aname.mov"
        assert server.bodies == [payload]
        assert receipt.remote_id == server.url + "/objects/1"
        assert uploader.verify(None, receipt)


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("/{path}", b"a b/c%d/e?f#g.mov", "/a%20b/c%25d/e%3Ff%23g.mov"),
        ("/{path}", b"caf\xc3\xa9/\xff.mov", "/caf%C3%A9/%FF.mov"),
        ("/x%20y/{stem}-{key8}{ext}", b"a/b.mov", "/x%20y/b-{key8}.mov"),
        ("/up?name={path}&x=1", b"a/b&c.mov", "/up?name=a%2Fb%26c.mov&x=1"),
        ("/{year}/{month}/{day}/{name}", b"a/b.mov", "/2023/11/14/b.mov"),
        ("/{source}/{name}", b"b.mov", "/fake%3Atree/b.mov".replace("%3A", "%253A")),
    ],
)
def test_a_name_cannot_lead_to_another_url(rig: Any, template: str, path: bytes, expected: str) -> None:
    with FaultServer() as server:
        media = rig.media(path, b"footage")
        context = rig.context(media)
        _uploader(rig, server.url + template).upload(media, context)
        assert server.seen[0].path == expected.replace("{key8}", context.key[:8])


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("/{path}", "http"),
        ("ftp://127.0.0.1/{path}", "http"),
        ("http://{name}/x", "host"),
        ("http://127.0.0.1:99999/{path}", "port"),
        ("http://127.0.0.1/{nonsense}", "nonsense"),
        ("http://127.0.0.1/{path", "template"),
        ("http://127.0.0.1/fixed", "same URL"),
        ("http://127.0.0.1/a b/{path}", "spaces"),
        ("http://127.0.0.1/{path}#top", "fragment"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(template: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        HttpUploader(template)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "GET"},
        {"if_exists": "keep"},
        {"digest": "md5"},
        {"fields": {"a": "b"}},
        {"headers": 7},
        {"client": 7},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        HttpUploader("http://127.0.0.1/{path}", **settings)


def test_an_answer_is_looked_at_by_the_application(rig: Any) -> None:
    said: list[Any] = [None, True, UploadReceipt("media-77", etag="e"), False, KeyError("id")]
    asked: list[tuple[int, str]] = []

    def look(answer: Answer, media: ResolvedMedia) -> UploadReceipt | bool | None:
        asked.append((answer.status, media.name))
        result = said.pop(0)
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]  # what the test says

    with FaultServer() as server:
        uploader = _uploader(rig, server.url + "/{path}", verify_response=look)
        media = [rig.media(f"{number}.mov", b"footage") for number in range(5)]
        receipts = [uploader.upload(file, rig.context(file)) for file in media[:3]]
        assert [receipt.remote_id for receipt in receipts] == [f"{server.url}/0.mov", f"{server.url}/1.mov", "media-77"]
        assert receipts[2].details["url"] == server.url + "/2.mov"
        assert uploader.verify(None, receipts[2])
        for file, error in ((media[3], TransientError), (media[4], KeyError)):
            context = rig.context(file)
            with pytest.raises(error):
                uploader.upload(file, context)
            assert context.saved_states, "what stands there now is ours"
        assert asked == [(201, f"{number}.mov") for number in range(5)]


def test_other_statuses_may_mean_done(rig: Any) -> None:
    with FaultServer([Trouble(status=202, stores=True)]) as server:
        media = rig.media("clip.mov", b"footage")
        receipt = _uploader(rig, server.url + "/{path}", expected={202}).upload(media, rig.context(media))
        assert receipt.verified is False


def test_a_receipt_without_a_url_cannot_be_verified(rig: Any) -> None:
    with FaultServer() as server:
        uploader = _uploader(rig, server.url + "/{path}")
        with pytest.raises(PermanentError):
            uploader.verify(None, UploadReceipt(None, size=7, sha256="0" * 64))
        assert not uploader.verify(None, UploadReceipt("gone.mov", size=7, sha256="0" * 64))


def test_a_query_that_is_the_same_for_all_files_is_used_to_verify_too(rig: Any) -> None:
    with FaultServer() as server:
        uploader = _uploader(rig, server.url + "/{path}?tenant=7")
        media = rig.media("clip.mov", b"footage")
        receipt = uploader.upload(media, rig.context(media))
        assert receipt.remote_id == server.url + "/clip.mov"
        assert uploader.verify(media, receipt)


@pytest.mark.parametrize("made", ["httpx2.Client", "new_client"])
def test_a_client_of_the_application_is_used_and_left_open(rig: Any, payload: bytes, made: str) -> None:
    maker = httpx2.Client if made == "httpx2.Client" else new_client
    with FaultServer([Trouble(status=413, after=1 << 20)]) as server, maker(headers={"X-Own": "yes"}) as client:
        uploader = _uploader(rig, server.url + "/{path}", client=client)
        media = rig.media("clip.mov", payload)
        with pytest.raises(PermanentError):
            uploader.upload(media, rig.context(media))
        uploader.upload(media, rig.context(media))
        assert server.bodies == [payload]
        assert server.seen[-1].headers["X-Own"] == "yes"
        uploader.close()
        assert not client.is_closed


def test_an_answer_shows_no_secret_in_its_repr() -> None:
    answer = Answer(
        method="GET", url="http://a/b?sig=SECRET", status=200, headers={"set-cookie": "SECRET"}, body=b"SECRET"
    )
    assert "SECRET" not in repr(answer)
    assert answer.headers["set-cookie"] == "SECRET"


def test_a_flood_of_an_answer_is_cut_off(rig: Any) -> None:
    with FaultServer([Trouble(status=500, body=b"x" * (8 << 20))]) as server:
        media = rig.media("clip.mov", b"footage")
        with pytest.raises(TransientError):
            _uploader(rig, server.url + "/{path}").upload(media, rig.context(media))
