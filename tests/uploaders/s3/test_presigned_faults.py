"""Whatever the service, its storage or the source does in the middle: the right class, never wrong bytes, no secret."""

from __future__ import annotations

import email.utils
import logging
import os
import random
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.uploaders.s3.presigned_service import TOKEN, Service, Trouble

from media_watch_tasks.http import HttpTimeouts
from media_watch_tasks.model.tasks import Task, TaskState
from media_watch_tasks.testing.s3 import S3Fault

DATA = random.Random(5).randbytes(6_000_000)
SHORT = HttpTimeouts(stall=timedelta(seconds=2), answer=timedelta(seconds=2))
FIRST_RETRY = 10
VICTIM = Path(__file__).with_name("presigned_victim.py")


@attrs.define
class Delivery:
    """One file on its way to a service whose troubles a test scripts."""

    watch: Any
    service: Service
    manager: Any

    def first(self) -> Task:
        self.watch.tree.put("clip.mp3", DATA)
        task: Task = self.watch.run(self.manager)
        return task

    def again(self) -> Task:
        task: Task = self.watch.again(self.manager)
        return task

    def trouble(self, *troubles: Trouble) -> None:
        self.service.app.front.troubles += troubles

    def assert_delivered(self, data: bytes = DATA) -> None:
        assert self.manager.tasks()[-1].state is TaskState.SUCCESS
        assert self.service.published() == [data]
        assert [trouble for trouble in self.service.app.front.troubles if not trouble.fired] == []

    def assert_nothing_left(self) -> None:
        assert (self.service.published(), dict(self.service.s3.objects)) == ([], {})


@pytest.fixture
def delivery(watch: Any, serve: Callable[..., Service]) -> Delivery:
    service = serve()
    return Delivery(watch, service, watch.manager(service.uploader()))


@pytest.fixture
def impatient(watch: Any, serve: Callable[..., Service]) -> Delivery:
    """For a server that says nothing."""
    service = serve()
    return Delivery(watch, service, watch.manager(service.uploader(timeouts=SHORT)))


STEPS = ["init", "complete", "status"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
def test_a_service_that_fails_for_now_costs_an_attempt(delivery: Delivery, step: str, status: int) -> None:
    delivery.trouble(Trouble(step, status))
    task = delivery.first()
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert delivery.again().attempts == 2
    delivery.assert_delivered()


@pytest.mark.parametrize("step", [*STEPS, "storage"])
@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("120", 120, 120),
        ("in an hour", 3_000, 3_660),  # the service says its date with a second of delay
        ("99999999999", 24 * 3600, 24 * 3600),
        ("soon", FIRST_RETRY, FIRST_RETRY),
        ("-5", FIRST_RETRY, FIRST_RETRY),
    ],
)
def test_retry_after_is_heeded_up_to_a_cap(delivery: Delivery, step: str, asked: str, least: int, most: int) -> None:
    if asked == "in an hour":
        asked = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    headers = {"Retry-After": asked}
    if step == "storage":
        delivery.service.s3.fail(S3Fault("PutObject", status=503, code="SlowDown", headers=headers))
    else:
        delivery.trouble(Trouble(step, 503, headers))
    task = delivery.first()
    assert task.state is TaskState.FAILED
    assert least <= (task.due_at - delivery.watch.clock.now()).total_seconds() <= most


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("status", "state", "attempts", "reason"),
    [
        (301, TaskState.DEAD, 1, "configuration"),
        (307, TaskState.DEAD, 1, "configuration"),
        (400, TaskState.DEAD, 1, "permanent"),
        (403, TaskState.DEAD, 1, "permanent"),
        (401, TaskState.PENDING, 0, None),
        (507, TaskState.PENDING, 0, None),
    ],
)
def test_a_refusal_means_what_it_says(  # noqa: PLR0917 - of pytest
    delivery: Delivery, step: str, status: int, state: TaskState, attempts: int, reason: str | None
) -> None:
    delivery.trouble(Trouble(step, status, {"Location": "http://203.0.113.9/stolen"}))
    task = delivery.first()
    assert (task.state, task.attempts, task.reason) == (state, attempts, reason)
    if state is TaskState.DEAD:
        delivery.assert_nothing_left()
    else:
        assert delivery.manager.sources()[0].pauses
        delivery.manager.credentials_refreshed()
        delivery.again()
        delivery.assert_delivered()


@pytest.mark.parametrize(("status", "reason"), [(404, "permanent"), (409, "name_conflict"), (410, "permanent")])
def test_a_service_that_takes_no_upload_ends_the_task(delivery: Delivery, status: int, reason: str) -> None:
    delivery.trouble(Trouble("init", status))
    task = delivery.first()
    assert (task.state, task.reason) == (TaskState.DEAD, reason)
    delivery.assert_nothing_left()


@pytest.mark.parametrize("step", STEPS)
def test_a_rate_limit_pauses_the_destination(watch: Any, serve: Callable[..., Service], step: str) -> None:
    service = serve()
    delivery = Delivery(watch, service, watch.manager(service.uploader(clock=watch.clock)))
    delivery.trouble(Trouble(step, 429, {"Retry-After": "60"}))
    task = delivery.first()
    assert (task.state, task.attempts) == (TaskState.PENDING, 0)
    assert delivery.manager.sources()[0].pauses
    delivery.again()
    delivery.assert_delivered()


@pytest.mark.parametrize("step", ["complete", "status"])
@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_that_the_service_has_lost_is_begun_anew(delivery: Delivery, step: str, status: int) -> None:
    delivery.trouble(Trouble(step, status))
    assert delivery.first().state is TaskState.FAILED
    delivery.again()
    assert delivery.manager.tasks()[-1].state is TaskState.SUCCESS
    assert set(delivery.service.published()) == {DATA}


def test_complete_that_was_heard_before_is_no_failure(delivery: Delivery) -> None:
    delivery.trouble(Trouble("complete", 409), Trouble("status", 503))
    assert delivery.first().state is TaskState.FAILED
    delivery.again()
    delivery.assert_delivered()


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_of_the_service_that_gets_lost_is_made_up_for(impatient: Delivery, step: str) -> None:
    impatient.trouble(Trouble(step))
    task = impatient.first()
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    impatient.again()
    impatient.assert_delivered()
    assert impatient.service.s3.count("PutObject") == 1, "it was sent twice"


@pytest.mark.parametrize(
    "fault",
    [
        S3Fault("PutObject", reset_at=100_000),
        S3Fault("PutObject", lose_answer=True),
        S3Fault("PutObject", status=400, code="RequestTimeout"),
        S3Fault("PutObject", status=403, code="AccessDenied"),
        S3Fault("PutObject", status=429, code="SlowDown"),
        *[S3Fault("PutObject", status=status, code="Trouble") for status in (401, 408, 425, 500, 502, 503, 504)],
    ],
    ids=lambda fault: fault.code + str(fault.status or ""),
)
def test_a_storage_in_trouble_gets_the_file_again_under_a_new_url(delivery: Delivery, fault: S3Fault) -> None:
    delivery.service.s3.fail(fault)
    task = delivery.first()
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert delivery.again().attempts == 2
    delivery.assert_delivered()
    assert len(delivery.service.s3.objects) == 1, "what was not delivered stays behind"


def test_a_storage_that_stalls_is_given_up(impatient: Delivery) -> None:
    let_go = threading.Event()
    impatient.service.s3.fail(S3Fault("PutObject", calls=lambda: let_go.wait(20), lose_answer=True))
    task = impatient.first()
    let_go.set()
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)


def test_too_large_is_understood_before_everything_was_sent(delivery: Delivery) -> None:
    delivery.service.s3.fail(S3Fault("PutObject", status=413, code="EntityTooLarge", early=True))
    task = delivery.first()
    assert (task.state, task.reason) == (TaskState.DEAD, "permanent")
    assert delivery.service.s3.received("PutObject") == 0


@pytest.mark.parametrize(
    ("status", "reason"), [(307, "configuration"), (404, "permanent"), (409, "name_conflict"), (410, "permanent")]
)
def test_a_storage_that_takes_nothing_there_ends_the_task(delivery: Delivery, status: int, reason: str) -> None:
    headers = {"Location": "http://203.0.113.9/stolen"}
    delivery.service.s3.fail(S3Fault("PutObject", status=status, code="Trouble", headers=headers))
    task = delivery.first()
    assert (task.state, task.reason) == (TaskState.DEAD, reason)
    delivery.assert_nothing_left()
    assert delivery.service.app.uploads == {}


def test_wrong_bytes_in_the_storage_are_no_delivery(delivery: Delivery) -> None:
    delivery.service.s3.fail(S3Fault("PutObject", corrupt=True))
    task = delivery.first()
    assert (task.state, task.reason) == (TaskState.DEAD, "permanent")
    delivery.assert_nothing_left()


def test_a_cancelled_upload_is_discarded(delivery: Delivery) -> None:
    def cancel() -> None:
        delivery.manager.cancel(everything=True)
        for flight in delivery.manager._core.flights.all():
            assert flight.cancel.wait(20)

    delivery.service.s3.fail(S3Fault("PutObject", calls=cancel))
    task = delivery.first()
    assert (task.state, task.reason) == (TaskState.CANCELLED, "user")
    assert delivery.service.app.uploads == {}
    delivery.assert_nothing_left()


OTHER = random.Random(9).randbytes(len(DATA))


@pytest.mark.parametrize("now", [DATA[:3_000_000], OTHER, DATA + b"more"], ids=["truncated", "replaced", "grown"])
def test_a_source_that_changes_while_it_is_sent_is_sent_as_it_is_then(delivery: Delivery, now: bytes) -> None:
    delivery.service.s3.fail(S3Fault("PutObject", calls=lambda: delivery.watch.tree.change("clip.mp3", now)))
    delivery.watch.tree.put("clip.mp3", DATA)
    delivery.watch.scan(delivery.manager)
    delivery.manager.process()
    delivery.watch.clock.advance(timedelta(minutes=5))
    delivery.manager.process()
    delivery.assert_delivered(now)
    assert {task.reason for task in delivery.manager.tasks()} == {"superseded", None}


def test_a_source_that_is_deleted_while_it_is_sent_is_not_delivered(delivery: Delivery) -> None:
    delivery.service.s3.fail(S3Fault("PutObject", calls=lambda: delivery.watch.tree.remove("clip.mp3")))
    task = delivery.first()
    assert (task.state, task.reason) == (TaskState.CANCELLED, "source_gone")
    delivery.assert_nothing_left()


@pytest.mark.parametrize("when", ["sending", "processing"])
def test_a_process_that_is_killed_is_followed_by_one_that_delivers(
    serve: Callable[..., Service], tmp_path: Path, when: str
) -> None:
    service = serve()
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "clip.mp3").write_bytes(DATA)
    arguments = [str(tmp_path / "footage"), str(tmp_path / "watch.db"), f"{service.url}/uploads", service.s3.url]

    def start() -> subprocess.Popen[str]:
        environment = {**os.environ, "VICTIM_SECRET": TOKEN}
        command = [sys.executable, str(VICTIM), *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    right = service.app.process
    victim = start()
    if when == "sending":
        service.s3.fail(S3Fault("PutObject", calls=victim.kill))
    else:

        def process(upload: dict[str, Any]) -> None:
            victim.kill()
            victim.wait(20)
            right(upload)

        service.app.process = process
    victim.communicate(timeout=60)
    assert victim.returncode == -9
    service.app.process = right
    survivor = start()
    said, _ = survivor.communicate(timeout=60)
    assert survivor.returncode == 0
    assert "'success': 1" in said
    assert service.published() == [DATA]
    assert len(service.app.uploads) == 1, "another upload was begun beside the one that was cut off"
    assert service.s3.count("PutObject") == (2 if when == "sending" else 1)


@pytest.mark.parametrize("fault", ["none", "init", "complete", "status", "storage", "other origin", "redirect"])
def test_nothing_secret_is_left_anywhere(
    watch: Any, serve: Callable[..., Service], caplog: pytest.LogCaptureFixture, fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    service = serve()
    origins = [] if fault == "other origin" else [service.s3.url]
    uploader = service.uploader(upload_origins=origins, headers={"X-Api-Key": "canary-api-key"})
    raised: list[str] = []
    right = uploader.upload

    def upload(*arguments: Any) -> Any:
        try:
            return right(*arguments)
        except Exception as error:
            raised.append("".join(traceback.format_exception(error)) + repr(error))
            raise

    monkeypatch.setattr(uploader, "upload", upload)
    manager = watch.manager(uploader)
    if fault in STEPS:
        service.app.front.troubles.append(Trouble(fault, 500, {"X-Echo": TOKEN}))
    elif fault == "storage":
        service.s3.fail(S3Fault("PutObject", status=403, code="AccessDenied"))
    elif fault == "redirect":
        elsewhere = {"Location": "http://203.0.113.9/?X-Amz-Signature=canary-location"}
        service.s3.fail(S3Fault("PutObject", status=307, code="TemporaryRedirect", headers=elsewhere))
    watch.tree.put("clip.mp3", DATA)
    with caplog.at_level(logging.DEBUG):
        watch.run(manager)
        watch.clock.advance(timedelta(hours=2))
        manager.process()
    assert (fault == "none") == (raised == []), "the fault did not reach the uploader"
    ours = [record for record in caplog.records if record.name.startswith(("media_watch_tasks", "httpx", "httpcore"))]
    said = "".join(f"{record.getMessage()}{record.__dict__}" for record in ours)
    said += "".join(raised) + repr(uploader) + repr(watch.events) + repr(manager.tasks())
    signatures = [
        seen.query.split("X-Amz-Signature=")[1][:64] for seen in service.s3.requests if "X-Amz-Sig" in seen.query
    ]
    assert (fault in {"init", "other origin"}) or signatures, "there was nothing to be found"
    places = {path.name: path.read_bytes() for path in watch.folder.rglob("*") if path.is_file()}
    assert any(name.startswith("watch.db") for name in places)
    for secret in (TOKEN, "canary-api-key", "canary-location", "secret-canary-of-the-server", *signatures):
        assert secret not in said
        assert not [name for name, data in places.items() if secret.encode() in data]
