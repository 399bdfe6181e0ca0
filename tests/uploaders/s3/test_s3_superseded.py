"""A multipart upload that was cut off is aborted when a newer version takes the place of its file."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.testing.s3 import S3Fault, StrictS3
from media_watch_tasks.uploaders import S3Uploader

MIB = 1 << 20


def test_a_newer_version_aborts_the_parts_of_the_older_one(
    s3: StrictS3, client_for: Callable[..., Any], watch: Any
) -> None:
    older, newer = (random.Random(seed).randbytes(12 * MIB) for seed in (1, 2))
    uploader = S3Uploader(
        "media", client=client_for(s3), clock=watch.clock, part_size=5 * MIB, multipart_threshold=8 * MIB, concurrency=1
    )
    manager = watch.manager(uploader)
    s3.fail(S3Fault("UploadPart", nth=2, status=503))
    watch.tree.put("clip.mov", older)
    assert watch.run(manager).state is TaskState.FAILED
    (left,) = s3.uploads
    watch.tree.change("clip.mov", newer)
    watch.scan(manager)
    assert left in s3.uploads, "a scan talks to no destination"
    manager.process()
    assert (list(s3.uploads), s3.count("AbortMultipartUpload")) == ([], 1)
    assert [found.data for found in s3.objects.values()] == [newer]
