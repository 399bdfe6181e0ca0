"""Requests that go past botocore: the same on the line, and only where it makes no difference but time."""

from __future__ import annotations

import contextlib
import random
import select
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import attrs
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from tests.uploaders.certificates import write_certificate

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import MediaWatchError, OperationCancelled, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.testing.s3 import S3Fault, StrictS3
from media_watch_tasks.testing.s3.server import SeenRequest
from media_watch_tasks.testing.s3.signatures import Credentials
from media_watch_tasks.uploaders import S3Uploader
from media_watch_tasks.uploaders.s3._line import Line, SendingFailed

MIB = 1 << 20
SMALL = random.Random(1).randbytes(200_000)
LARGE = random.Random(2).randbytes(11 * MIB + 3)
MakeClient = Callable[..., Any]
PARTS: dict[str, Any] = {"part_size": 5 * MIB, "multipart_threshold": 8 * MIB, "concurrency": 2}


@pytest.fixture
def tree() -> FakeTree:
    return FakeTree("direct:source")


def media_of(tree: FakeTree, path: str | bytes, data: bytes) -> ResolvedMedia:
    return FakeResolver(tree).resolve_for_upload(tree.put(path, data), cancel=FakeContext().cancel)


def upload(uploader: S3Uploader, media: ResolvedMedia, **context: Any) -> Any:
    return uploader.upload(media, FakeContext.for_media(media, destination_id=uploader.destination_id, **context))


def by_botocore(request: SeenRequest) -> bool:
    return "amz-sdk-invocation-id" in request.headers


def of(server: StrictS3, operation: str) -> list[bool]:
    """Of the requests of this operation, in order: did botocore send it?"""
    return [by_botocore(request) for request in server.requests if request.operation == operation]


@pytest.mark.parametrize("signs_payload", [False, True])
def test_bytes_go_past_botocore(s3: StrictS3, client_for: MakeClient, tree: FakeTree, *, signs_payload: bool) -> None:
    how = {"payload_signing_enabled": signs_payload, "addressing_style": "path"}
    uploader = S3Uploader("media", client=client_for(s3, s3=how), **PARTS)
    for path, data in (("small.mov", SMALL), ("large.mov", LARGE), ("empty.mov", b"")):
        upload(uploader, media_of(tree, path, data))
        assert s3.objects[path].data == data
    assert (of(s3, "PutObject"), of(s3, "UploadPart")) == ([False, False], [False] * 3)
    assert of(s3, "CreateMultipartUpload") == [True]


@pytest.mark.parametrize(
    "name", ["a b+c&d=e;f.mov", "ü/日本 語.mov", "q?x=1#y~z'(1)!*.mov", "%2F%%.mov", '[x]@:$,"<>.mov']
)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["put", "parts"])
def test_any_key_is_signed_as_it_is_sent(
    s3: StrictS3, client_for: MakeClient, tree: FakeTree, name: str, data: bytes
) -> None:
    uploader = S3Uploader("media", "x" + name, client=client_for(s3), **PARTS)
    receipt = upload(uploader, media_of(tree, "clip.mov", data))
    assert list(s3.objects) == ["x" + name]
    assert receipt.verified
    assert not any(of(s3, "PutObject") + of(s3, "UploadPart"))


def test_metadata_arrives_as_it_was_given(s3: StrictS3, client_for: MakeClient, tree: FakeTree) -> None:
    more = {"Camera": "A  7   IV", "empty": "", "signs": "a:b;c=d"}
    uploader = S3Uploader("media", client=client_for(s3), metadata=lambda _: more, extra={"Tagging": "a=b&c=d%20e"})
    upload(uploader, media_of(tree, "clip.mov", SMALL))
    headers = s3.objects["clip.mov"].headers
    assert {name: headers[f"x-amz-meta-{name.lower()}"] for name in more} == more
    assert of(s3, "PutObject") == [False]


@pytest.mark.parametrize("value", ["zwei\r\nx-amz-meta-mwt-key: other", "Grün"])
def test_a_value_that_no_header_holds_is_for_botocore_to_judge(
    s3: StrictS3, client_for: MakeClient, tree: FakeTree, value: str
) -> None:
    uploader = S3Uploader("media", client=client_for(s3), metadata=lambda _: {"note": value})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - botocore's own classes differ; nothing may arrive
        upload(uploader, media_of(tree, "clip.mov", SMALL))
    assert not isinstance(caught.value, AssertionError)
    assert of(s3, "PutObject") in ([], [True])
    assert s3.objects == {}


class TestLeftToBotocore:
    """Whatever an application has done to its client holds."""

    def deliver(self, s3: StrictS3, client: Any, tree: FakeTree) -> None:
        upload(S3Uploader("media", client=client), media_of(tree, "clip.mov", SMALL))
        assert s3.objects["clip.mov"].data == SMALL
        assert of(s3, "PutObject") == [True]

    def test_a_header_that_differs_each_time(self, s3: StrictS3, client_for: MakeClient, tree: FakeTree) -> None:
        client, count = client_for(s3), iter(range(100))

        def mark(request: Any, **_: Any) -> None:
            request.headers["x-amz-meta-number"] = f"{next(count)}"

        client.meta.events.register("before-sign.s3.PutObject", mark)
        self.deliver(s3, client, tree)
        upload(S3Uploader("media", client=client), media_of(tree, "other.mov", SMALL))
        numbers = [found.headers["x-amz-meta-number"] for found in s3.objects.values()]
        assert len(set(numbers)) == 2

    def test_a_header_that_is_always_the_same_goes_along(
        self, s3: StrictS3, client_for: MakeClient, tree: FakeTree
    ) -> None:
        client = client_for(s3)
        client.meta.events.register(
            "before-sign.s3.PutObject", lambda request, **_: request.headers.add_header("x-amz-meta-site", "roof")
        )
        upload(S3Uploader("media", client=client), media_of(tree, "clip.mov", SMALL))
        assert s3.objects["clip.mov"].headers["x-amz-meta-site"] == "roof"
        assert of(s3, "PutObject") == [False]

    def test_a_signature_of_another_kind(self, s3: StrictS3, client_for: MakeClient, tree: FakeTree) -> None:
        client = client_for(s3, signature_version="s3")
        with pytest.raises(MediaWatchError):
            self.deliver(s3, client, tree)
        assert all(of(s3, "PutObject"))

    def test_somebody_who_answers_in_the_place_of_the_network(
        self, s3: StrictS3, client_for: MakeClient, tree: FakeTree
    ) -> None:
        client = client_for(s3)

        class Body:
            @staticmethod
            def stream(*_: object, **__: object) -> Iterator[bytes]:
                return iter(())

        def answer(request: Any, **_: Any) -> AWSResponse:
            return AWSResponse(request.url, 200, {"ETag": '"made up"'}, Body())

        client.meta.events.register("before-send.s3", answer)
        assert upload(S3Uploader("media", client=client), media_of(tree, "clip.mov", SMALL)).etag == "made up"
        assert s3.requests == []

    def test_a_proxy(self, s3: StrictS3, client_for: MakeClient, tree: FakeTree) -> None:
        with StrictS3() as proxy:  # it sees the request, and knows no such bucket
            client = client_for(s3, proxies={"http": proxy.url})
            with pytest.raises(MediaWatchError):
                self.deliver(s3, client, tree)
            assert [by_botocore(request) for request in proxy.requests] == [True]
        assert s3.requests == []


def test_a_connection_that_was_closed_meanwhile_is_no_failure(
    s3: StrictS3, client_for: MakeClient, tree: FakeTree
) -> None:
    uploader = S3Uploader("media", client=client_for(s3))
    upload(uploader, media_of(tree, "one.mov", SMALL))
    (line,) = uploader._bucket._way.direct._lines.values()
    (wire,) = line._wires._idle
    s3.close_connections()
    assert select.select([wire._sock], [], [], 20)[0]
    with contextlib.suppress(TransientError):
        upload(uploader, media_of(tree, "two.mov", SMALL))
    assert set(s3.objects) == {"one.mov", "two.mov"}
    assert of(s3, "PutObject") == [False, False]


def test_connections_are_used_again(s3: StrictS3, client_for: MakeClient, tree: FakeTree) -> None:
    with S3Uploader("media", client=client_for(s3)) as uploader:
        for number in range(5):
            upload(uploader, media_of(tree, f"{number}.mov", SMALL))
        assert s3.connections == 1
        (line,) = uploader._bucket._way.direct._lines.values()
    assert not line._wires._idle, "they stay open"


@pytest.mark.parametrize("what", [{"status": 503, "code": "SlowDown"}, {"reset_at": 1_000}, {"lose_answer": True}])
@pytest.mark.parametrize(("operation", "data"), [("PutObject", SMALL), ("UploadPart", LARGE)])
def test_what_passes_is_asked_again_by_botocore_as_often_as_it_is_told(  # noqa: PLR0917 - of pytest
    s3: StrictS3, client_for: MakeClient, tree: FakeTree, what: dict[str, Any], operation: str, data: bytes
) -> None:
    s3.fail(S3Fault(operation, **what))
    uploader = S3Uploader("media", client=client_for(s3, attempts=2), **{**PARTS, "concurrency": 1})
    upload(uploader, media_of(tree, "clip.mov", data))
    assert s3.objects["clip.mov"].data == data
    assert of(s3, operation)[:2] == [False, True]


def test_what_cuts_a_small_file_off_is_asked_for_again(
    s3: StrictS3, client_for: MakeClient, tree: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether a refusal is lost with the connection depends on buffers: no server shows it each time.
    cut_off = [SendingFailed("reset by peer")]
    right = Line.exchange

    def exchange(line: Line, *args: Any, **named: Any) -> Any:
        if cut_off:
            raise cut_off.pop()
        return right(line, *args, **named)

    monkeypatch.setattr(Line, "exchange", exchange)
    with contextlib.suppress(TransientError):
        upload(S3Uploader("media", client=client_for(s3)), media_of(tree, "clip.mov", SMALL))
    assert (cut_off, of(s3, "PutObject")) == ([], [True])


def test_a_redirect_is_left_to_botocore_from_then_on(s3: StrictS3, client_for: MakeClient, tree: FakeTree) -> None:
    s3.fail(S3Fault("PutObject", status=301, code="PermanentRedirect"))
    uploader = S3Uploader("media", client=client_for(s3))
    upload(uploader, media_of(tree, "one.mov", SMALL))
    upload(uploader, media_of(tree, "two.mov", SMALL))
    assert of(s3, "PutObject") == [False, True, True]


@pytest.mark.parametrize("size", [200_000, 3 * MIB], ids=["small", "asked first"])
def test_a_cancelled_upload_waits_for_no_answer(
    s3: StrictS3, client_for: MakeClient, tree: FakeTree, size: int
) -> None:
    token, released = CancelToken(), threading.Event()

    def hang() -> None:
        token.cancel(CancelReason.USER)
        assert released.wait(20), "it waited for the server"

    s3.fail(S3Fault("PutObject", calls=hang))
    uploader = S3Uploader("media", client=client_for(s3, read_timeout=15))
    try:
        with pytest.raises((OperationCancelled, MediaWatchError)) as caught:
            upload(uploader, media_of(tree, "clip.mov", b"x" * size), cancel=token)
        assert type(caught.value) is OperationCancelled
        assert s3.objects == {}
    finally:
        released.set()


def test_credentials_that_change_are_used_at_once(s3: StrictS3, client_for: MakeClient, tree: FakeTree) -> None:
    client = client_for(s3)
    uploader = S3Uploader("media", client=client)
    upload(uploader, media_of(tree, "one.mov", SMALL))
    s3.credentials = Credentials("AKIANEW", "new-secret", "new-token")
    known = client._request_signer._credentials
    known.access_key, known.secret_key, known.token = "AKIANEW", "new-secret", "new-token"
    upload(uploader, media_of(tree, "two.mov", SMALL))
    assert of(s3, "PutObject") == [False, False]


class TestTls:
    @pytest.fixture
    def server(self, tmp_path: Any) -> Iterator[StrictS3]:
        self.certificate = write_certificate(tmp_path / "certificate.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        with StrictS3(tls=context) as server:
            yield server

    def client(self, server: StrictS3, verify: Any) -> Any:
        import boto3  # noqa: PLC0415 - only here

        return boto3.client(
            "s3", endpoint_url=server.url, region_name=server.region, verify=verify,
            aws_access_key_id=server.credentials.access_key, aws_secret_access_key=server.credentials.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=20),
        )  # fmt: skip

    def test_the_authorities_of_the_client_are_trusted(self, server: StrictS3, tree: FakeTree) -> None:
        uploader = S3Uploader("media", client=self.client(server, str(self.certificate)), **PARTS)
        upload(uploader, media_of(tree, "small.mov", SMALL))
        upload(uploader, media_of(tree, "large.mov", LARGE))
        assert [found.data for found in server.objects.values()] == [SMALL, LARGE]
        assert not any(of(server, "PutObject") + of(server, "UploadPart"))

    def test_a_server_that_does_not_say_continue_gets_the_file_too(self, server: StrictS3, tree: FakeTree) -> None:
        server.answers_expect = False
        client = self.client(server, str(self.certificate))
        upload(S3Uploader("media", client=client), media_of(tree, "clip.mov", LARGE[: 2 * MIB]))
        assert of(server, "PutObject") == [False]

    def test_a_server_that_nobody_vouches_for_gets_nothing(self, server: StrictS3, tree: FakeTree) -> None:
        with pytest.raises(MediaWatchError):
            upload(S3Uploader("media", client=self.client(server, verify=True)), media_of(tree, "clip.mov", SMALL))
        assert server.requests == []


@pytest.mark.parametrize("size", [6 * MIB, 19 * MIB], ids=["room", "just room"])
def test_a_file_for_which_there_is_room_is_read_once(
    s3: StrictS3, client_for: MakeClient, tree: FakeTree, size: int
) -> None:
    uploader = S3Uploader("media", client=client_for(s3), part_size=5 * MIB, concurrency=4)
    media, opened = media_of(tree, "clip.mov", b"x" * size), []

    def open_stream(offset: int, length: int | None) -> BinaryIO:
        opened.append((offset, length))
        return media.open_stream(offset, length)

    upload(uploader, attrs.evolve(media, open_stream=open_stream))
    assert opened == [(0, None)]
    assert s3.count("PutObject") == 1
