"""A process that is killed in the middle of an upload: the next one goes on, and sends at most one chunk again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.uploaders.fault_server import Trouble
from tests.uploaders.killed import HANG_GUARD, finish, start
from tests.uploaders.tus.fault_server import TusFaultServer
from tests.uploaders.tus.real_server import TusServer, running

pytestmark = pytest.mark.xdist_group("tus")

CHUNK = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "clip.mov").write_bytes(random.Random(5).randbytes(24 * CHUNK))
    return folder


def test_at_most_one_chunk_is_sent_again_after_a_kill(source: Path) -> None:
    process: list[subprocess.Popen[str]] = []

    def kill() -> None:
        process[0].send_signal(signal.SIGKILL)
        process[0].wait(HANG_GUARD)

    fine = [Trouble("PATCH", calls=lambda: None) for _ in range(9)]
    # Half of the tenth chunk has come, and is kept, as tus servers do.
    cut = Trouble("PATCH", after=CHUNK // 2, calls=kill, reset=True, stores=True)
    with TusFaultServer([*fine, cut]) as server:
        process.append(start(source, server.files, kind="tus"))
        with process[0]:
            assert process[0].wait(HANG_GUARD) == -signal.SIGKILL
        said = finish(source, server.files, kind="tus")
        assert said.split()[0] == "success", said
        data = (source / "clip.mov").read_bytes()
        assert [bytes(upload.data) == data for upload in server.uploads.values()] == [True]
        assert len(server.requests("POST")) == 1
        assert server.received <= len(data) + CHUNK


@pytest.fixture
def real(tmp_path: Path) -> Iterator[TusServer]:
    folder = tmp_path / "tus"
    folder.mkdir()
    with running(folder) as server:
        yield server


def test_a_kill_at_any_moment_ends_in_one_whole_upload_at_the_reference_server(source: Path, real: TusServer) -> None:
    data = (source / "clip.mov").read_bytes()
    with start(source, real.url, kind="tus") as process:
        deadline = time.monotonic() + HANG_GUARD
        while not any(3 * CHUNK < len(body) < len(data) for _, body in real.uploads().values()):
            assert process.poll() is None, "the upload was over before it could be killed"
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
    assert real.complete() == []
    before = max(len(body) for _, body in real.uploads().values())
    said = finish(source, real.url, kind="tus")
    assert said.split()[0] == "success", said
    assert [body == data for body in real.complete()] == [True]
    assert len(real.uploads()) == 1, "the same upload went on"
    assert before > 3 * CHUNK
