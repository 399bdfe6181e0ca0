"""A process that is killed in the middle of an upload in parts: the next one goes on where it was."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.testing.s3 import S3Fault, StrictS3

PART = 5 << 20
VICTIM = Path(__file__).with_name("s3_victim.py")


@pytest.fixture
def start(s3: StrictS3, tmp_path: Path) -> Any:
    (tmp_path / "footage").mkdir()
    arguments = [str(tmp_path / "footage"), str(tmp_path / "watch.db"), s3.url, s3.credentials.access_key]
    environment = {**os.environ, "VICTIM_SECRET": s3.credentials.secret_key}

    def run() -> subprocess.Popen[str]:
        command = [sys.executable, str(VICTIM), *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    return run


@pytest.mark.parametrize(
    ("operation", "nth"),
    [("UploadPart", 1), ("UploadPart", 3), ("CompleteMultipartUpload", 1), ("CreateMultipartUpload", 1)],
)
def test_at_most_one_part_is_sent_again(s3: StrictS3, start: Any, tmp_path: Path, operation: str, nth: int) -> None:
    data = random.Random(nth).randbytes(4 * PART + 17)
    (tmp_path / "footage" / "clip.mov").write_bytes(data)
    victim = start()
    s3.fail(S3Fault(operation, nth=nth, calls=victim.kill))
    victim.communicate(timeout=60)
    assert victim.returncode == -9
    survivor = start()
    said, _ = survivor.communicate(timeout=60)
    assert survivor.returncode == 0
    assert "'success': 1" in said
    assert [found.data for found in s3.objects.values()] == [data]
    assert s3.received("UploadPart") - len(data) <= PART
    assert s3.count("CompleteMultipartUpload") <= 2


@pytest.mark.parametrize("size", [200_000, PART + 17], ids=["in memory", "streamed"])
def test_one_request_that_was_cut_off_by_a_kill_is_sent_again_as_a_whole(
    s3: StrictS3, start: Any, tmp_path: Path, size: int
) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "footage" / "clip.mov").write_bytes(data)
    victim = start()
    s3.fail(S3Fault("PutObject", calls=victim.kill))
    victim.communicate(timeout=60)
    assert victim.returncode == -9
    survivor = start()
    said, _ = survivor.communicate(timeout=60)
    assert "'success': 1" in said
    assert [found.data for found in s3.objects.values()] == [data]
    assert s3.count("PutObject") <= 2
