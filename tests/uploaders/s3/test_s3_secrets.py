"""No secret in the database, a log, an event, an exception or a traceback, whatever goes wrong."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.spool import PendingStore
from media_watch_tasks.testing.s3 import S3Fault, StrictS3
from media_watch_tasks.testing.s3.signatures import Credentials
from media_watch_tasks.uploaders import S3Uploader

MIB = 1 << 20
CANARIES = ("canary-secret", "canary-token")
FAULTS: dict[str, list[S3Fault]] = {
    "none": [],
    "server error": [S3Fault("UploadPart", nth=2, status=500)],
    "refused": [S3Fault("UploadPart", nth=2, status=403, code="SignatureDoesNotMatch")],
    "permanent": [S3Fault("CompleteMultipartUpload", status=400, code="InvalidRequest")],
    "redirect": [S3Fault("CreateMultipartUpload", times=2, status=307, headers={"Location": "http://203.0.113.9/"})],
    "reset": [S3Fault("UploadPart", nth=2, reset_at=1_000)],
    "lost answer": [S3Fault("CompleteMultipartUpload", lose_answer=True)],
    "one request": [],
    "one request: server error": [S3Fault("PutObject", status=500)],
    "one request: refused": [S3Fault("PutObject", status=403, code="SignatureDoesNotMatch")],
    "one request: lost answer": [S3Fault("PutObject", lose_answer=True)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_secret_is_left_anywhere(
    watch: Any, s3: StrictS3, caplog: pytest.LogCaptureFixture, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.credentials = Credentials("AKIACANARY", *CANARIES)
    session = boto3.session.Session()
    client = session.client(
        "s3", endpoint_url=s3.url, region_name=s3.region, aws_access_key_id="AKIACANARY",
        aws_secret_access_key=CANARIES[0], aws_session_token=CANARIES[1],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )  # fmt: skip
    raised: list[str] = []
    uploader = S3Uploader("media", client=client, part_size=5 * MIB, multipart_threshold=6 * MIB, concurrency=1)
    right: Callable[..., Any] = uploader.upload

    def upload(*arguments: Any) -> Any:
        try:
            return right(*arguments)
        except Exception as error:
            raised.append("".join(traceback.format_exception(error)) + repr(error))
            raise

    monkeypatch.setattr(uploader, "upload", upload)
    manager = watch.manager(uploader, parts={"pending": PendingStore(watch.folder / "spool", clock=watch.clock)})
    in_one = fault.startswith("one request")
    watch.tree.put("clip.mov", random.Random(1).randbytes(MIB if in_one else 11 * MIB))
    s3.fail(*FAULTS[fault])
    with caplog.at_level(logging.DEBUG):
        watch.run(manager)
        watch.clock.advance(timedelta(hours=2))
        manager.process()
    assert manager.tasks()[0].state in {TaskState.SUCCESS, TaskState.DEAD}
    assert (fault in {"none", "one request"}) == (raised == []), "the fault did not reach the uploader"
    # What was seen of the requests themselves holds them, so that the look for them is one that can find something.
    assert any(CANARIES[1] in str(request.headers) for request in s3.requests)
    said = caplog.text + "".join(raised) + repr(uploader) + repr(watch.events) + repr(manager.tasks())
    assert s3.count("PutObject" if in_one else "CreateMultipartUpload") > 0
    assert "UploadPart" in said or in_one or fault in {"none", "redirect", "lost answer", "permanent"}
    places = {path.name: path.read_bytes() for path in watch.folder.rglob("*") if path.is_file()}
    assert any(name.startswith("watch.db") for name in places)
    signatures = [
        header.split("Signature=")[1] for request in s3.requests if (header := request.headers.get("authorization", ""))
    ]
    for secret in (*CANARIES, *signatures):
        assert secret not in said
        assert not [name for name, data in places.items() if secret.encode() in data]
