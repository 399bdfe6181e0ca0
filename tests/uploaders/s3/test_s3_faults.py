"""Whatever S3, the line or the source does in the middle of an upload: the right class, and never wrong bytes."""

from __future__ import annotations

import email.utils
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from media_watch_tasks.model.tasks import Task, TaskState, WaitReason
from media_watch_tasks.testing.s3 import S3Fault, StrictS3
from media_watch_tasks.uploaders import S3Uploader

MIB = 1 << 20
SMALL = random.Random(1).randbytes(200_000)
STREAMED = random.Random(2).randbytes(7 * MIB)
LARGE = random.Random(3).randbytes(17 * MIB + 5)
FIRST_RETRY = timedelta(seconds=10)

MakeUploader = Callable[..., S3Uploader]


@pytest.fixture
def make_uploader(s3: StrictS3, client_for: Callable[..., Any], watch: Any) -> MakeUploader:
    def make(*, config: dict[str, Any] | None = None, **settings: Any) -> S3Uploader:
        chosen: dict[str, Any] = {"part_size": 5 * MIB, "multipart_threshold": 8 * MIB, "concurrency": 1, **settings}
        chosen.setdefault("client", client_for(s3, **(config or {})))
        chosen.setdefault("clock", watch.clock)
        return S3Uploader("media", **chosen)

    return make


@attrs.define
class Delivery:
    """One file on its way to the strict server."""

    watch: Any
    server: StrictS3
    manager: Any

    def first(self, data: bytes) -> Task:
        self.watch.tree.put("clip.mov", data)
        task: Task = self.watch.run(self.manager)
        return task

    def again(self, **after: int) -> Task:
        task: Task = self.watch.again(self.manager, timedelta(**(after or {"hours": 1})))
        return task

    def assert_delivered(self, data: bytes) -> None:
        assert [task.state for task in self.manager.tasks()][-1] is TaskState.SUCCESS
        assert [found.data for found in self.server.objects.values()] == [data]
        assert self.server.uploads == {}

    def assert_nothing_visible(self) -> None:
        assert self.server.objects == {}


@pytest.fixture
def delivery(watch: Any, s3: StrictS3, make_uploader: MakeUploader) -> Delivery:
    return Delivery(watch, s3, watch.manager(make_uploader()))


STEPS = [
    ("PutObject", SMALL),
    ("PutObject", STREAMED),
    ("CreateMultipartUpload", LARGE),
    ("UploadPart", LARGE),
    ("CompleteMultipartUpload", LARGE),
]
steps = pytest.mark.parametrize(("operation", "data"), STEPS, ids=["put", "streamed", "create", "part", "complete"])


sending = pytest.mark.parametrize(
    ("operation", "nth", "settings"),
    [("PutObject", 1, {"multipart_threshold": 1 << 30}), ("UploadPart", 2, {})],
    ids=["one request", "parts"],
)
"""Something happens while a large file is on its way."""


@steps
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (408, "RequestTimeout"),
        (409, "ConditionalRequestConflict"),
        (425, "TooEarly"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (502, "BadGateway"),
        (503, "SlowDown"),
        (504, "GatewayTimeout"),
    ],
)
def test_a_passing_refusal_costs_an_attempt_and_is_retried(
    delivery: Delivery, operation: str, data: bytes, status: int, code: str
) -> None:
    delivery.server.fail(S3Fault(operation, status=status, code=code))
    task = delivery.first(data)
    assert (task.state, task.attempts, task.waits_for) == (TaskState.FAILED, 1, WaitReason.BACKOFF)
    assert task.due_at - delivery.watch.clock.now() == FIRST_RETRY
    delivery.assert_nothing_visible()
    assert delivery.again().attempts == 2
    delivery.assert_delivered(data)


IN_AN_HOUR = "a date, of which the test decides when it runs"


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("120", 120, 120),
        (IN_AN_HOUR, 3_000, 3_600),
        ("99999999999", 24 * 3600, 24 * 3600),
        ("soon", 10, 10),
        ("-5", 10, 10),
    ],
    ids=["seconds", "date", "absurd", "garbage", "negative"],
)
@pytest.mark.parametrize("status", [503, 425])
@steps
def test_retry_after_is_heeded_up_to_a_cap(  # noqa: PLR0917 - of pytest
    delivery: Delivery, operation: str, data: bytes, status: int, asked: str, least: int, most: int
) -> None:
    if asked == IN_AN_HOUR:
        asked = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    delivery.server.fail(S3Fault(operation, status=status, code="SlowDown", headers={"Retry-After": asked}))
    task = delivery.first(data)
    assert task.state is TaskState.FAILED
    assert least <= (task.due_at - delivery.watch.clock.now()).total_seconds() <= most


def test_too_many_requests_with_a_time_pauses_the_destination(delivery: Delivery) -> None:
    delivery.server.fail(S3Fault("PutObject", status=429, code="TooManyRequests", headers={"Retry-After": "60"}))
    task = delivery.first(SMALL)
    assert (task.state, task.attempts) == (TaskState.PENDING, 0)
    assert delivery.manager.sources()[0].pauses
    delivery.again()
    delivery.assert_delivered(SMALL)


@steps
@pytest.mark.parametrize(("status", "code"), [(301, "PermanentRedirect"), (307, "TemporaryRedirect"), (302, "Found")])
def test_a_redirect_is_a_wrong_setting(delivery: Delivery, operation: str, data: bytes, status: int, code: str) -> None:
    # botocore looks for the bucket's region and asks the same server once more; it never goes to the Location. What
    # went past it is left to it then.
    elsewhere = {"Location": "http://203.0.113.9/media"}
    times = 3 if operation == "UploadPart" or data is SMALL else 2
    delivery.server.fail(S3Fault(operation, times=times, status=status, code=code, headers=elsewhere))
    task = delivery.first(data)
    assert (task.state, task.reason) == (TaskState.DEAD, "configuration")
    delivery.assert_nothing_visible()
    assert delivery.server.uploads == {}


@steps
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "Unauthorized"), (400, "ExpiredToken"), (403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch")],
)
def test_refused_credentials_pause_the_destination_and_cost_no_attempt(
    delivery: Delivery, operation: str, data: bytes, status: int, code: str
) -> None:
    delivery.server.fail(S3Fault(operation, status=status, code=code))
    task = delivery.first(data)
    assert (task.state, task.attempts) == (TaskState.PENDING, 0)
    (pause,) = delivery.manager.sources()[0].pauses
    assert "S3" in pause.reason
    assert delivery.manager.credentials_refreshed() == 1
    delivery.manager.process()
    delivery.assert_delivered(data)
    assert delivery.watch.only(delivery.manager).attempts == 1


def test_one_object_that_may_not_be_written_is_a_permanent_failure(delivery: Delivery) -> None:
    delivery.server.fail(S3Fault("PutObject", status=403, code="AccessDenied"))
    task = delivery.first(SMALL)
    assert (task.state, task.reason) == (TaskState.DEAD, "permanent")


def test_a_bucket_that_may_not_be_written_pauses_the_destination(delivery: Delivery) -> None:
    refuse = {"status": 403, "code": "AccessDenied"}
    delivery.server.fail(S3Fault("PutObject", **refuse), S3Fault("HeadBucket", **refuse))  # type: ignore[arg-type]
    task = delivery.first(SMALL)
    assert (task.state, task.attempts) == (TaskState.PENDING, 0)
    delivery.again()
    delivery.assert_delivered(SMALL)


@pytest.mark.parametrize(
    ("status", "code", "state", "attempts"),
    [
        (404, "NoSuchBucket", TaskState.PENDING, 0),
        (507, "InsufficientStorage", TaskState.PENDING, 0),
        (400, "QuotaExceeded", TaskState.PENDING, 0),
        (400, "InvalidRequest", TaskState.DEAD, 1),
        (410, "Gone", TaskState.DEAD, 1),
        (405, "MethodNotAllowed", TaskState.DEAD, 1),
    ],
)
@steps
def test_other_refusals_mean_what_they_say(  # noqa: PLR0917 - of pytest
    delivery: Delivery, operation: str, data: bytes, status: int, code: str, state: TaskState, attempts: int
) -> None:
    delivery.server.fail(S3Fault(operation, status=status, code=code))
    task = delivery.first(data)
    assert (task.state, task.attempts) == (state, attempts)
    delivery.assert_nothing_visible()
    if state is TaskState.DEAD:
        assert delivery.server.uploads == {}, "the parts of a dead task stay behind"


@pytest.mark.parametrize(("operation", "data"), [("PutObject", STREAMED), ("UploadPart", LARGE)])
def test_too_large_is_understood_before_everything_was_sent(delivery: Delivery, operation: str, data: bytes) -> None:
    delivery.server.fail(S3Fault(operation, status=413, code="EntityTooLarge", early=True))
    task = delivery.first(data)
    assert (task.state, task.reason) == (TaskState.DEAD, "permanent")
    assert delivery.server.received(operation) == 0


@pytest.mark.parametrize(("operation", "data"), [("PutObject", SMALL), ("PutObject", STREAMED), ("UploadPart", LARGE)])
def test_a_reset_while_sending_is_retried(delivery: Delivery, operation: str, data: bytes) -> None:
    delivery.server.fail(S3Fault(operation, reset_at=100_000))
    task = delivery.first(data)
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    delivery.again()
    delivery.assert_delivered(data)


def test_after_a_reset_only_what_is_missing_is_sent(delivery: Delivery) -> None:
    delivery.server.fail(S3Fault("UploadPart", nth=3, reset_at=100_000))
    assert delivery.first(LARGE).state is TaskState.FAILED
    before = delivery.server.received("UploadPart")
    delivery.again()
    delivery.assert_delivered(LARGE)
    assert delivery.server.received("UploadPart") - before == len(LARGE) - 10 * MIB


@steps
def test_a_server_that_stalls_is_given_up(
    watch: Any, s3: StrictS3, make_uploader: MakeUploader, operation: str, data: bytes
) -> None:
    let_go = threading.Event()
    delivery = Delivery(watch, s3, watch.manager(make_uploader(config={"read_timeout": 0.3})))
    s3.fail(S3Fault(operation, calls=lambda: let_go.wait(20), lose_answer=True))
    task = delivery.first(data)
    let_go.set()
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)


@pytest.mark.parametrize(
    ("operation", "data"),
    [("PutObject", SMALL), ("PutObject", STREAMED), ("CompleteMultipartUpload", LARGE)],
)
def test_a_lost_answer_is_found_again_and_nothing_is_sent_twice(
    delivery: Delivery, operation: str, data: bytes
) -> None:
    delivery.server.fail(S3Fault(operation, lose_answer=True))
    task = delivery.first(data)
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    task = delivery.again()
    delivery.assert_delivered(data)
    assert delivery.server.count(operation) == 1
    assert task.receipt is not None
    assert task.receipt.verified


@pytest.mark.parametrize(("operation", "data"), [("PutObject", SMALL), ("CompleteMultipartUpload", LARGE)])
def test_a_lost_answer_within_a_call_is_found_again(
    watch: Any, s3: StrictS3, make_uploader: MakeUploader, operation: str, data: bytes
) -> None:
    delivery = Delivery(watch, s3, watch.manager(make_uploader(config={"attempts": 2})))
    s3.fail(S3Fault(operation, lose_answer=True))
    assert delivery.first(data).attempts == 1
    delivery.assert_delivered(data)


@pytest.mark.parametrize("data", [SMALL, STREAMED], ids=["small", "streamed"])
def test_wrong_bytes_at_the_server_are_no_delivery_and_are_replaced(delivery: Delivery, data: bytes) -> None:
    delivery.server.fail(S3Fault("PutObject", corrupt=True))
    task = delivery.first(data)
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert "other bytes" in (task.error or "")
    delivery.again()
    delivery.assert_delivered(data)


def test_a_part_that_was_stored_wrongly_is_sent_again(delivery: Delivery) -> None:
    delivery.server.fail(S3Fault("UploadPart", nth=2, corrupt=True))
    assert delivery.first(LARGE).attempts == 1
    delivery.assert_delivered(LARGE)


def test_parts_that_are_always_stored_wrongly_are_not_gone_on_with(delivery: Delivery) -> None:
    delivery.server.fail(S3Fault("UploadPart", nth=2, times=3, corrupt=True))
    task = delivery.first(LARGE)
    assert (task.state, task.resume_state) == (TaskState.FAILED, None)
    assert delivery.server.uploads == {}
    delivery.again()
    delivery.assert_delivered(LARGE)


@pytest.mark.parametrize("damage", ["the part is gone", "the upload is gone"])
def test_what_the_server_lost_between_attempts_is_sent_again(delivery: Delivery, damage: str) -> None:
    delivery.server.fail(S3Fault("UploadPart", nth=3, status=500))
    assert delivery.first(LARGE).state is TaskState.FAILED
    (upload,) = delivery.server.shelf.uploads.values()
    if damage == "the part is gone":
        del upload.parts[1]
    else:
        delivery.server.shelf.uploads.clear()
    delivery.again()
    delivery.assert_delivered(LARGE)


def test_a_part_of_another_length_is_sent_again(delivery: Delivery) -> None:
    delivery.server.fail(S3Fault("UploadPart", nth=3, status=500))
    assert delivery.first(LARGE).state is TaskState.FAILED
    (upload,) = delivery.server.shelf.uploads.values()
    upload.parts[1] = attrs.evolve(upload.parts[1], size=7)
    delivery.again()
    delivery.assert_delivered(LARGE)


def test_lists_of_parts_are_read_to_their_end(delivery: Delivery) -> None:
    delivery.server.parts_per_page = 1
    delivery.server.fail(S3Fault("UploadPart", nth=4, status=500))
    assert delivery.first(LARGE).state is TaskState.FAILED
    before = delivery.server.received("UploadPart")
    delivery.again()
    delivery.assert_delivered(LARGE)
    assert delivery.server.received("UploadPart") - before == len(LARGE) - 15 * MIB


@sending
def test_a_cancelled_upload_stops_and_its_parts_are_removed(  # noqa: PLR0917 - of pytest
    watch: Any, s3: StrictS3, make_uploader: MakeUploader, operation: str, nth: int, settings: dict[str, int]
) -> None:
    delivery = Delivery(watch, s3, watch.manager(make_uploader(**settings)))

    def cancel() -> None:
        delivery.manager.cancel(everything=True)
        for flight in delivery.manager._core.flights.all():
            assert flight.cancel.wait(20)

    delivery.server.fail(S3Fault(operation, nth=nth, calls=cancel))
    task = delivery.first(LARGE)
    assert (task.state, task.reason) == (TaskState.CANCELLED, "user")
    delivery.assert_nothing_visible()
    assert delivery.server.uploads == {}


SOURCE_FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) * 2 // 3],
    "replaced": lambda data: random.Random(9).randbytes(len(data)),
    "grown": lambda data: data + b"more",
}


@sending
@pytest.mark.parametrize("what", SOURCE_FAULTS)
def test_a_source_that_changes_while_it_is_sent_is_sent_as_it_is_then(  # noqa: PLR0917 - of pytest
    watch: Any, s3: StrictS3, make_uploader: MakeUploader, what: str, operation: str, nth: int,
    settings: dict[str, int],
) -> None:  # fmt: skip
    delivery = Delivery(watch, s3, watch.manager(make_uploader(**settings)))
    now = SOURCE_FAULTS[what](LARGE)
    delivery.server.fail(S3Fault(operation, nth=nth, calls=lambda: delivery.watch.tree.change("clip.mov", now)))
    delivery.watch.tree.put("clip.mov", LARGE)
    delivery.watch.scan(delivery.manager)
    delivery.manager.process()
    delivery.watch.clock.advance(timedelta(minutes=5))
    delivery.manager.process()
    delivery.assert_delivered(delivery.watch.tree.file("clip.mov").data)
    assert delivery.server.count("CompleteMultipartUpload") == (not settings), "parts of two versions met"
    assert {task.reason for task in delivery.manager.tasks()} == {"superseded", None}


@sending
def test_a_source_that_is_deleted_while_it_is_sent_is_not_delivered(  # noqa: PLR0917 - of pytest
    watch: Any, s3: StrictS3, make_uploader: MakeUploader, operation: str, nth: int, settings: dict[str, int]
) -> None:
    delivery = Delivery(watch, s3, watch.manager(make_uploader(**settings)))
    s3.fail(S3Fault(operation, nth=nth, calls=lambda: watch.tree.remove("clip.mov")))
    task = delivery.first(LARGE)
    assert (task.state, task.reason) == (TaskState.CANCELLED, "source_gone")
    delivery.assert_nothing_visible()
    assert s3.uploads == {}


def test_a_small_file_is_sent_as_it_was_read_and_again_as_it_is_found_to_be(delivery: Delivery) -> None:
    delivery.server.fail(S3Fault("PutObject", calls=lambda: delivery.watch.tree.change("clip.mov", SMALL[::-1])))
    delivery.first(SMALL)
    delivery.assert_delivered(SMALL)
    delivery.watch.scan(delivery.manager)
    delivery.manager.process()
    delivery.assert_delivered(SMALL[::-1])
