"""What S3Uploader is told: where files go and what with them, whose objects it replaces, how credentials change."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from media_watch_tasks.errors import (
    AlreadyExists,
    AuthenticationRequiredError,
    ConfigurationError,
    PermanentError,
    TransientError,
)
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.testing.s3 import S3Fault, StrictS3
from media_watch_tasks.testing.s3.signatures import Credentials
from media_watch_tasks.uploaders import S3Uploader
from media_watch_tasks.uploaders.s3._multipart import part_size_for
from media_watch_tasks.uploaders.s3.budget import ByteBudget
from media_watch_tasks.uploaders.wrappers import VerifyAfterUpload

MIB = 1 << 20
MakeClient = Callable[..., Any]


@pytest.fixture
def tree() -> FakeTree:
    return FakeTree("settings:source")


@pytest.fixture
def make(s3: StrictS3, client_for: MakeClient) -> Callable[..., S3Uploader]:
    return lambda **settings: S3Uploader("media", client=client_for(s3), **{"part_size": 5 * MIB, **settings})


def media_of(tree: FakeTree, path: str | bytes, data: bytes) -> ResolvedMedia:
    return FakeResolver(tree).resolve_for_upload(tree.put(path, data), cancel=FakeContext().cancel)


def upload(uploader: S3Uploader, media: ResolvedMedia, **context: Any) -> Any:
    return uploader.upload(media, FakeContext.for_media(media, destination_id=uploader.destination_id, **context))


@pytest.mark.parametrize("size", [1_000, 6 * MIB, 11 * MIB], ids=["put", "streamed", "parts"])
def test_what_goes_with_an_object(s3: StrictS3, make: Callable[..., S3Uploader], tree: FakeTree, size: int) -> None:
    uploader = make(
        multipart_threshold=8 * MIB,
        storage_class="STANDARD_IA",
        metadata=lambda media: {"camera": media.name},
        content_type=lambda _: "video/x-test",
        extra={"ServerSideEncryption": "AES256"},
    )
    upload(uploader, media_of(tree, "clip.mov", b"x" * size))
    (stored,) = s3.objects.values()
    assert stored.headers["content-type"] == "video/x-test"
    assert stored.headers["x-amz-storage-class"] == "STANDARD_IA"
    assert stored.headers["x-amz-server-side-encryption"] == "AES256"
    assert stored.headers["x-amz-meta-camera"] == "clip.mov"
    assert len(stored.headers["x-amz-meta-mwt-key"]) == 64
    assert stored.checksum is not None


def test_the_type_of_a_file_is_its_mime_type(s3: StrictS3, make: Callable[..., S3Uploader], tree: FakeTree) -> None:
    upload(make(), media_of(tree, "clip.mov", b"x"))
    assert s3.objects["clip.mov"].headers["content-type"] == "video/quicktime"


@pytest.mark.parametrize(
    ("template", "key"),
    [("{path}", "2026/clip.mov"), ("in/{name}", "in/clip.mov"), ("{stem}-{year}{ext}", "clip-2023.mov")],
)
def test_the_template_says_where_a_file_goes(
    s3: StrictS3, make: Callable[..., S3Uploader], tree: FakeTree, template: str, key: str
) -> None:
    receipt = upload(make(key_template=template), media_of(tree, "2026/clip.mov", b"x"))
    assert list(s3.objects) == [key] == [receipt.remote_id]
    assert receipt.sha256 == hashlib.sha256(b"x").hexdigest()
    assert receipt.verified


def test_a_key_that_looks_like_a_url_is_found_again(
    s3: StrictS3, make: Callable[..., S3Uploader], tree: FakeTree
) -> None:
    uploader, media = make(), media_of(tree, "http:/x@y/a?b#c.mov", b"x")
    receipt = upload(uploader, media)
    assert list(s3.objects) == ["http:/x@y/a?b#c.mov"]
    assert uploader.verify(media, receipt)


def test_a_key_longer_than_s3_allows_is_refused(make: Callable[..., S3Uploader], tree: FakeTree) -> None:
    with pytest.raises(PermanentError, match="1024 bytes"):
        upload(make(key_template="{path}/" + "n" * 1_020), media_of(tree, "clip.mov", b"x"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": ""}, {"bucket": "a/b"}, {"part_size": 1}, {"part_size": 5.5 * MIB}, {"multipart_threshold": 0},
        {"concurrency": 0}, {"key_template": "/{path}"}, {"key_template": "{nonsense}"},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(client_for: MakeClient, s3: StrictS3, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        S3Uploader(**{"bucket": "media", "client": client_for(s3), **wrong})


def test_parts_grow_where_a_file_would_have_too_many() -> None:
    assert part_size_for(100 * MIB, 8 * MIB) == 8 * MIB
    largest = 5 << 40
    assert -(-largest // part_size_for(largest, 8 * MIB)) <= 10_000


class TestForeignObjects:
    @pytest.fixture(params=[1_000, 11 * MIB], ids=["put", "parts"])
    def data(self, request: pytest.FixtureRequest) -> bytes:
        return b"ours" * (int(request.param) // 4)

    @pytest.fixture
    def uploader(self, make: Callable[..., S3Uploader]) -> S3Uploader:
        return make(multipart_threshold=8 * MIB, key_template="{name}")

    def put_foreign(self, client: Any, body: bytes) -> None:
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        client.put_object(Bucket="media", Key="clip.mov", Body=body, ChecksumSHA256=checksum)

    def test_another_object_stays(
        self, s3: StrictS3, client_for: MakeClient, uploader: S3Uploader, tree: FakeTree, data: bytes
    ) -> None:
        self.put_foreign(client_for(s3), b"theirs")
        with pytest.raises(AlreadyExists) as caught:
            upload(uploader, media_of(tree, "clip.mov", data))
        assert caught.value.receipt is None
        assert s3.objects["clip.mov"].data == b"theirs"
        assert s3.received("UploadPart") == 0

    def test_equal_bytes_of_somebody_else_are_named_for_comparison(
        self, s3: StrictS3, client_for: MakeClient, uploader: S3Uploader, tree: FakeTree, data: bytes
    ) -> None:
        self.put_foreign(client_for(s3), data)
        with pytest.raises(AlreadyExists) as caught:
            upload(uploader, media_of(tree, "clip.mov", data))
        assert caught.value.receipt is not None
        assert caught.value.receipt.sha256 == hashlib.sha256(data).hexdigest()

    def test_equal_bytes_of_another_asset_are_not_shared(
        self, uploader: S3Uploader, tree: FakeTree, data: bytes
    ) -> None:
        upload(uploader, media_of(tree, "monday/clip.mov", data))
        with pytest.raises(AlreadyExists) as caught:
            upload(uploader, media_of(tree, "tuesday/clip.mov", data))
        assert caught.value.receipt is None, "its owner would replace it"

    def test_an_object_that_appears_meanwhile_stays(
        self, s3: StrictS3, client_for: MakeClient, uploader: S3Uploader, tree: FakeTree, data: bytes
    ) -> None:
        media = media_of(tree, "clip.mov", data)
        client = client_for(s3)
        with pytest.raises(AlreadyExists):
            upload(uploader, media, on_confirm=lambda: self.put_foreign(client, b"theirs"))
        assert s3.objects["clip.mov"].data == b"theirs"

    def test_an_unmarked_object_with_the_etag_of_the_last_receipt_is_replaced(
        self, s3: StrictS3, client_for: MakeClient, uploader: S3Uploader, tree: FakeTree, data: bytes
    ) -> None:
        old = media_of(tree, "clip.mov", b"earlier")
        previous = upload(uploader, old)
        self.put_foreign(client_for(s3), b"earlier")  # the same bytes, copied there by a tool that keeps no metadata
        upload(uploader, media_of(tree, "clip.mov", data), previous=previous)
        assert s3.objects["clip.mov"].data == data

    def test_a_service_without_conditions_is_looked_at_first(
        self, s3: StrictS3, client_for: MakeClient, uploader: S3Uploader, tree: FakeTree, data: bytes
    ) -> None:
        last_step = "PutObject" if len(data) < MIB else "CompleteMultipartUpload"
        s3.fail(S3Fault(last_step, status=501, code="NotImplemented"))
        media = media_of(tree, "clip.mov", data)
        try:
            upload(uploader, media)
        except TransientError:
            upload(uploader, media)
        assert s3.objects["clip.mov"].data == data
        self.put_foreign(client_for(s3), b"theirs")
        with pytest.raises(AlreadyExists):
            upload(uploader, media_of(tree, "clip.mov", data + b"newer"))
        assert s3.objects["clip.mov"].data == b"theirs"


class TestCredentials:
    """`client=` as a function: it is asked again, once, when credentials are refused."""

    OLD = Credentials("AKIAOLD", "old-secret", "old-token")
    NEW = Credentials("AKIANEW", "new-secret", "new-token")

    @pytest.fixture
    def made(self) -> list[Credentials]:
        return []

    @pytest.fixture
    def uploader(self, s3: StrictS3, made: list[Credentials]) -> Iterator[S3Uploader]:
        import boto3  # noqa: PLC0415 - only here
        from botocore.config import Config  # noqa: PLC0415 - only here

        session = boto3.session.Session()

        def client() -> Any:
            known = self.NEW if made else self.OLD
            made.append(known)
            return session.client(
                "s3", endpoint_url=s3.url, region_name=s3.region, aws_access_key_id=known.access_key,
                aws_secret_access_key=known.secret_key, aws_session_token=known.session_token,
                config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
            )  # fmt: skip

        s3.credentials = self.OLD
        with S3Uploader(
            "media", client=client, part_size=5 * MIB, multipart_threshold=6 * MIB, concurrency=3
        ) as uploader:
            yield uploader

    def test_an_upload_goes_on_in_its_middle_with_new_ones(
        self, s3: StrictS3, uploader: S3Uploader, tree: FakeTree, made: list[Credentials]
    ) -> None:
        def expire() -> None:
            s3.credentials = self.NEW

        s3.fail(S3Fault("UploadPart", nth=2, calls=expire))
        data = b"x" * (27 * MIB)
        upload(uploader, media_of(tree, "clip.mov", data))
        assert s3.objects["clip.mov"].data == data
        assert made == [self.OLD, self.NEW], "made once for all threads"
        assert s3.received("UploadPart") == len(data), "what had arrived was sent again"
        assert s3.count("CreateMultipartUpload") == 1

    def test_a_single_request_is_repeated_with_new_ones(
        self, s3: StrictS3, uploader: S3Uploader, tree: FakeTree, made: list[Credentials]
    ) -> None:
        upload(uploader, media_of(tree, "first.mov", b"1"))
        s3.credentials = self.NEW
        upload(uploader, media_of(tree, "clip.mov", b"x" * MIB))
        assert s3.objects["clip.mov"].data == b"x" * MIB
        assert made == [self.OLD, self.NEW]

    def test_if_the_new_ones_are_refused_too_the_destination_waits(
        self, s3: StrictS3, uploader: S3Uploader, tree: FakeTree, made: list[Credentials]
    ) -> None:
        s3.credentials = Credentials("AKIAOTHER", "other")
        with pytest.raises(AuthenticationRequiredError) as caught:
            upload(uploader, media_of(tree, "clip.mov", b"x"))
        assert caught.value.party == "destination"
        assert made == [self.OLD, self.NEW]

    def test_a_client_that_was_given_is_not_replaced(
        self, s3: StrictS3, client_for: MakeClient, tree: FakeTree
    ) -> None:
        uploader = S3Uploader("media", client=client_for(s3))
        s3.credentials = self.NEW
        with pytest.raises(AuthenticationRequiredError):
            upload(uploader, media_of(tree, "clip.mov", b"x"))
        assert len(s3.requests) == 1


def test_a_damaged_copy_with_the_right_key_is_no_proof(
    s3: StrictS3, make: Callable[..., S3Uploader], tree: FakeTree
) -> None:
    uploader, media = make(), media_of(tree, "clip.mov", b"x" * 1_000)
    upload(uploader, media)
    stored = s3.objects["clip.mov"]
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    s3.shelf.objects["clip.mov"] = attrs.evolve(stored, checksum=other)
    context = FakeContext.for_media(media, destination_id=uploader.destination_id, attempt=2)
    assert uploader.find_existing(media, context) is None


@pytest.mark.parametrize("size", [1_000, 11 * MIB], ids=["put", "parts"])
def test_what_did_not_verify_is_sent_again_also_where_there_are_no_checksums(
    s3: StrictS3, make: Callable[..., S3Uploader], tree: FakeTree, size: int
) -> None:
    inner, media = make(multipart_threshold=8 * MIB), media_of(tree, "clip.mov", b"x" * size)
    uploader = VerifyAfterUpload(inner)
    right = inner.upload

    def stored_wrongly(*arguments: Any) -> Any:
        receipt = right(*arguments)
        stored = s3.objects["clip.mov"]
        s3.shelf.objects["clip.mov"] = attrs.evolve(stored, data=b"y" * size, checksum=None, etag='"other"')
        return attrs.evolve(receipt, details={})

    context = FakeContext.for_media(media, destination_id=uploader.destination_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inner, "upload", stored_wrongly)
        with pytest.raises(TransientError, match="does not hold"):
            uploader.upload(media, context)
    again = FakeContext.for_media(
        media, destination_id=uploader.destination_id, attempt=2, resume_state=context.resume_state
    )
    assert inner.find_existing(media, again) is None
    assert uploader.upload(media, again).verified
    assert s3.objects["clip.mov"].data == b"x" * size


def test_a_missing_permission_to_look_finds_nothing(
    s3: StrictS3, make: Callable[..., S3Uploader], tree: FakeTree
) -> None:
    uploader, media = make(), media_of(tree, "clip.mov", b"x")
    s3.fail(S3Fault("HeadObject", times=2, status=403, code="AccessDenied"))
    context = FakeContext.for_media(media, destination_id=uploader.destination_id, attempt=2)
    assert uploader.find_existing(media, context) is None
    with pytest.raises((AuthenticationRequiredError, PermanentError)):
        uploader.verify(media, attrs.evolve(upload(make(), media)))


def test_check_says_what_is_wrong(s3: StrictS3, client_for: MakeClient) -> None:
    with pytest.raises(Exception, match="bucket"):
        S3Uploader("elsewhere", client=client_for(s3)).check()
    s3.fail(S3Fault("CreateMultipartUpload", status=403, code="AccessDenied"))
    with pytest.raises(PermanentError, match="can be written"):
        S3Uploader("media", client=client_for(s3)).check()
    S3Uploader("media", client=client_for(s3)).check()
    assert (s3.objects, s3.uploads) == ({}, {})


def test_the_budget_is_never_exceeded_and_one_large_part_still_goes() -> None:
    budget = ByteBudget(100)
    assert budget.take(60, timeout=0)
    assert not budget.take(60, timeout=0.01)
    waiting = threading.Thread(target=lambda: budget.take(60, timeout=20))
    waiting.start()
    budget.give_back(60)
    waiting.join(20)
    assert not waiting.is_alive()
    budget.give_back(60)
    assert budget.take(1_000, timeout=0)
    assert not budget.take(1, timeout=0.01)


def test_memory_that_comes_back_is_lent_again_while_others_are_at_work() -> None:
    budget = ByteBudget(100)
    assert budget.take(40, timeout=0)
    assert budget.take(40, timeout=0)
    first, second = budget.lend(40), budget.lend(40)
    assert first is not second
    budget.give_back(40, first)
    assert budget.take(30, timeout=0)
    assert budget.lend(30) is first
    budget.give_back(30, first)
    budget.give_back(40, second)
    assert budget.take(40, timeout=0)
    assert all(budget.lend(40) is not one for one in (first, second)), "memory is held by nobody's work"
