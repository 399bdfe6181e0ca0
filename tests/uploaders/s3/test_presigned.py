"""PresignedUploader against the service of the example, whose bytes go to a server that checks everything."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from tests.uploaders.s3.presigned_service import TOKEN, Service

from media_watch_tasks.abc import Uploader
from media_watch_tasks.cancellation import CancelReason
from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    OperationCancelled,
    PermanentError,
    TransientError,
)
from media_watch_tasks.http import BearerAuth
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.model.uploads import Stage
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import RemovesUnfinishedContract
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.testing.faults import Fault, FaultPlan
from media_watch_tasks.testing.s3 import S3Fault, StrictS3
from media_watch_tasks.uploaders import PresignedUploader
from media_watch_tasks.uploaders.presigned import Artwork

DATA = random.Random(5).randbytes(300_000)


class TestPresigned(UploaderContract, RemovesUnfinishedContract):
    form: ClassVar[bool] = False

    @pytest.fixture
    def uploader(self, serve: Callable[..., Service]) -> Iterator[PresignedUploader]:
        self.service = serve(form=self.form)
        with self.service.uploader() as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        return self.service.published()

    def assert_holds(self, uploader: Uploader, *expected: bytes) -> None:
        super().assert_holds(uploader, *expected)
        pending = [upload for upload in self.service.app.uploads.values() if upload["status"] == "pending"]
        leased = [upload["object"] for upload in pending]
        assert len(set(self.service.s3.objects) - set(leased)) == len(expected), "what was not delivered stays behind"

    def leftovers(self, uploader: Uploader) -> int:
        return len([upload for upload in self.service.app.uploads.values() if upload["status"] == "pending"])


class TestPresignedForm(TestPresigned):
    form = True


def media_of(data: bytes = DATA, name: str = "clip.mp3") -> Any:
    tree = FakeTree()
    return FakeResolver(tree).resolve_for_upload(tree.put(name, data), cancel=FakeContext().cancel)


def context_of(media: Any, uploader: Uploader, **settings: Any) -> FakeContext:
    return FakeContext.for_media(media, destination_id=uploader.destination_id, **settings)


@pytest.mark.parametrize("form", [False, True], ids=["put", "form"])
def test_artwork_goes_beside_the_file(serve: Callable[..., Service], form: bool) -> None:
    service = serve(form=form)
    picture = b"picture" * 1_000
    uploader, media = service.uploader(artwork=lambda _: Artwork(picture, "jpg")), media_of()
    uploader.upload(media, context_of(media, uploader))
    (upload,) = service.app.uploads.values()
    stored = {name: found.data for name, found in service.s3.objects.items()}
    assert stored == {upload["object"]: DATA, f"{upload['object']}.jpg": picture}


def test_the_receipt_is_verified_and_names_what_the_server_made(serve: Callable[..., Service]) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    context = context_of(media, uploader)
    receipt = uploader.upload(media, context)
    (upload_id,) = service.app.uploads
    assert (receipt.remote_id, receipt.verified) == (f"tracks/{upload_id}", True)
    stages = list(dict.fromkeys(call.stage for call in context.progress_calls))
    assert stages[0] is Stage.INITIALISE
    assert Stage.TRANSFER in stages
    assert Stage.FINALISE in stages


def test_an_upload_url_of_another_origin_gets_nothing(serve: Callable[..., Service]) -> None:
    service = serve()
    uploader, media = service.uploader(upload_origins=[]), media_of()
    with pytest.raises(ConfigurationError, match="upload_origins") as caught:
        uploader.upload(media, context_of(media, uploader))
    assert "Signature" not in str(caught.value)
    assert [request.operation for request in service.s3.requests] == ["DeleteObject"], "only the service cleaned up"
    assert service.app.uploads == {}


def test_credentials_stay_with_the_service(serve: Callable[..., Service]) -> None:
    service = serve()
    uploader, media = service.uploader(headers={"X-Secret": "canary"}), media_of()
    uploader.upload(media, context_of(media, uploader))
    for request in service.s3.requests:
        if request.operation == "PutObject":
            assert "authorization" not in request.headers
            assert "canary" not in str(request.headers)


@pytest.mark.parametrize("status", [400, 403])
def test_an_expired_upload_url_is_asked_for_anew(serve: Callable[..., Service], status: int) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    service.s3.fail(S3Fault("PutObject", status=status, code="ExpiredToken"))
    context = context_of(media, uploader)
    with pytest.raises(TransientError, match="another"):
        uploader.upload(media, context)
    uploader.upload(media, context_of(media, uploader, attempt=2, resume_state=context.resume_state))
    assert (service.published(), len(service.app.uploads)) == ([DATA], 1)


def test_a_url_that_expired_by_the_servers_clock_is_refused(serve: Callable[..., Service], s3: StrictS3) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    real = s3.now
    s3.now = lambda: real() + timedelta(hours=1)
    with pytest.raises(TransientError, match="expired"):
        uploader.upload(media, context_of(media, uploader))
    assert s3.count("PutObject") == 1


def test_a_token_that_is_refused_is_renewed_in_the_middle(serve: Callable[..., Service]) -> None:
    service = serve()
    renewed: list[str] = []

    def renew() -> str:
        renewed.append("new")
        return "new"

    def expire() -> None:
        service.app.token = "new"

    uploader, media = service.uploader(auth=BearerAuth(TOKEN, refresh=renew)), media_of()
    service.s3.fail(S3Fault("PutObject", calls=expire))
    uploader.upload(media, context_of(media, uploader))
    assert (renewed, service.published()) == (["new"], [DATA])


def test_without_a_newer_token_the_destination_waits(serve: Callable[..., Service]) -> None:
    uploader, media = serve().uploader(auth=BearerAuth("wrong")), media_of()
    with pytest.raises(AuthenticationRequiredError):
        uploader.upload(media, context_of(media, uploader))


class Slow:
    """A service whose processing ends when the test says so."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.state: dict[str, Any] = {"status": "processing", "progress": 40}
        service.app.process = lambda upload: upload.update(self.state)

    def becomes(self, **state: Any) -> None:
        for upload in self.service.app.uploads.values():
            upload.update(state)


def test_processing_that_takes_too_long_is_no_success_and_the_next_attempt_waits_on(
    serve: Callable[..., Service],
) -> None:
    service = serve()
    slow = Slow(service)
    uploader, media = service.uploader(poll_limit=timedelta(milliseconds=60)), media_of()
    context = context_of(media, uploader)
    with pytest.raises(TransientError, match="still processed"):
        uploader.upload(media, context)
    assert [call.done for call in context.progress_calls if call.stage is Stage.PROCESSING]
    state = context.resume_state
    slow.becomes(status="completed", remote_id="tracks/1")
    again = context_of(media, uploader, attempt=2, resume_state=state)
    assert uploader.upload(media, again).remote_id == "tracks/1"
    assert (again.bytes_read, service.s3.count("PutObject")) == (0, 1), "it was sent again"


def test_failed_processing_is_a_permanent_failure_with_the_servers_words(serve: Callable[..., Service]) -> None:
    service = serve()
    Slow(service).state = {"status": "failed", "error": "no audio in it; token=canary"}
    uploader, media = service.uploader(), media_of()
    service.app.process = lambda upload: upload.update(status="failed", error="no audio in it; token=canary")
    context = context_of(media, uploader)
    with pytest.raises(PermanentError, match="no audio in it") as caught:
        uploader.upload(media, context)
    assert "canary" not in str(caught.value)
    assert context.resume_state is None, "a retry must begin anew"


def test_bytes_that_the_service_finds_wrong_are_no_delivery(serve: Callable[..., Service]) -> None:
    service = serve()
    service.s3.fail(S3Fault("PutObject", corrupt=True))
    uploader, media = service.uploader(), media_of()
    with pytest.raises(PermanentError, match="not those that were announced"):
        uploader.upload(media, context_of(media, uploader))


def test_a_hash_that_differs_is_no_delivery(serve: Callable[..., Service]) -> None:
    service = serve()
    service.app.process = lambda upload: upload.update(status="completed", sha256="0" * 64)
    uploader, media = service.uploader(), media_of()
    with pytest.raises(TransientError, match="other bytes"):
        uploader.upload(media, context_of(media, uploader))


def test_a_cancelled_upload_is_discarded_while_it_is_processed(serve: Callable[..., Service]) -> None:
    service = serve()
    Slow(service)
    uploader, media = service.uploader(poll_limit=timedelta(seconds=30)), media_of()
    context = context_of(media, uploader)
    right = context.progress

    def progress(done: int, **more: Any) -> None:
        right(done, **more)
        if more.get("stage") is Stage.PROCESSING:
            context.cancel.cancel(CancelReason.USER)

    context.progress = progress  # type: ignore[method-assign]  # of this one context
    with pytest.raises(OperationCancelled):
        uploader.upload(media, context)
    assert (service.app.uploads, service.s3.objects) == ({}, {})


@pytest.mark.parametrize("remembers", [True, False])
def test_what_a_dead_process_left_is_gone_on_with_or_discarded(
    serve: Callable[..., Service], *, remembers: bool
) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    context = context_of(media, uploader)
    grant = uploader.init(media, context, None)
    if not remembers:
        service.app.by_key.clear()
    state = {"upload_id": grant.upload_id, "key": context.key}
    uploader.upload(media, context_of(media, uploader, attempt=2, resume_state=state))
    assert (grant.upload_id in service.app.uploads) == remembers
    assert (service.published(), len(service.app.uploads)) == ([DATA], 1)


def test_what_had_arrived_as_a_whole_is_not_sent_again(serve: Callable[..., Service]) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    context = context_of(media, uploader)
    with FaultPlan([Fault("complete", raises=TransientError("no answer"))]) as plan:
        plan.attach(uploader, "complete")
        with pytest.raises(TransientError):
            uploader.upload(media, context)
    again = context_of(media, uploader, attempt=2, resume_state=context.resume_state)
    receipt = uploader.upload(media, again)
    assert (again.bytes_read, service.s3.count("PutObject"), receipt.verified) == (0, 1, True)
    assert again.confirmations == 1


def test_what_had_arrived_and_is_gone_by_now_is_sent_again(serve: Callable[..., Service]) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    context = context_of(media, uploader)
    grant = uploader.init(media, context, None)
    state = {"upload_id": grant.upload_id, "key": context.key, "sha256": hashlib.sha256(DATA).hexdigest()}
    context = context_of(media, uploader, attempt=2, resume_state=state)
    with pytest.raises(TransientError, match="cannot be used any more"):
        uploader.upload(media, context)
    uploader.upload(media, context_of(media, uploader, attempt=3, resume_state=context.resume_state))
    assert service.published() == [DATA]


def test_the_state_holds_no_url(serve: Callable[..., Service]) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    context = context_of(media, uploader)
    service.s3.fail(S3Fault("PutObject", status=503, code="SlowDown"))
    with pytest.raises(TransientError):
        uploader.upload(media, context)
    assert set(context.resume_state or {}) == {"upload_id", "key"}


@pytest.mark.parametrize("reason", [CancelReason.SHUTDOWN, CancelReason.LEASE_LOST, CancelReason.STALL])
def test_an_upload_that_somebody_goes_on_with_is_not_discarded(
    serve: Callable[..., Service], reason: CancelReason
) -> None:
    service = serve()
    uploader, media = service.uploader(), media_of()
    context = context_of(media, uploader)
    service.s3.fail(S3Fault("PutObject", calls=lambda: context.cancel.cancel(reason)))
    with pytest.raises(OperationCancelled):
        uploader.upload(media, context)
    assert [upload["status"] for upload in service.app.uploads.values()] == ["pending"]
    again = context_of(media, uploader, attempt=2, resume_state=context.resume_state)
    uploader.upload(media, again)
    assert (service.published(), len(service.app.uploads)) == ([DATA], 1)


@pytest.mark.parametrize("status", [500, 503, 408])
def test_a_storage_that_fails_is_retried_through_a_manager(
    watch: Any, serve: Callable[..., Service], status: int
) -> None:
    service = serve()
    service.s3.fail(S3Fault("PutObject", status=status, code="SlowDown", headers={"Retry-After": "77"}))
    manager = watch.manager(service.uploader())
    watch.tree.put("clip.mp3", DATA)
    task = watch.run(manager)
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert (task.due_at - watch.clock.now()).total_seconds() == 77
    assert watch.again(manager).state is TaskState.SUCCESS
    assert service.published() == [DATA]


def test_an_answer_to_complete_that_gets_lost_is_made_up_for(watch: Any, serve: Callable[..., Service]) -> None:
    service = serve()
    uploader = service.uploader()
    with FaultPlan([Fault("complete", when="after", raises=TransientError("the answer got lost"))]) as plan:
        plan.attach(uploader, "complete")
        manager = watch.manager(uploader)
        watch.tree.put("clip.mp3", DATA)
        assert watch.run(manager).state is TaskState.FAILED
    assert watch.again(manager).state is TaskState.SUCCESS
    assert service.s3.count("PutObject") == 1, "it was sent again"


def test_redirects_are_not_followed(watch: Any, serve: Callable[..., Service]) -> None:
    service = serve()
    elsewhere = {"Location": "http://203.0.113.9/stolen"}
    service.s3.fail(S3Fault("PutObject", status=307, code="TemporaryRedirect", headers=elsewhere))
    manager = watch.manager(service.uploader())
    watch.tree.put("clip.mp3", DATA)
    task = watch.run(manager)
    assert (task.state, task.reason) == (TaskState.DEAD, "configuration")


@pytest.mark.parametrize(
    "wrong",
    [
        {"poll_every": timedelta(0)}, {"poll_limit": timedelta(milliseconds=1)}, {"upload_origins": "http://x"},
        {"upload_origins": ["nonsense"]},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        PresignedUploader("https://example.org/uploads", **wrong)


def test_a_file_that_is_too_large_is_refused_before_anything_is_asked(serve: Callable[..., Service]) -> None:
    service = serve()
    uploader, media = service.uploader(max_size=len(DATA) - 1), media_of()
    with pytest.raises(PermanentError, match="allowed"):
        uploader.upload(media, context_of(media, uploader))
    assert service.app.uploads == {}
