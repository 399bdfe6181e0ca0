"""A process that is killed in the middle of an upload: the next one goes on, and sends at most one chunk again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.uploaders.fault_server import Trouble
from tests.uploaders.tus.fault_server import TusFaultServer
from tests.uploaders.tus.real_server import TusServer, running

pytestmark = pytest.mark.xdist_group("tus")

HANG_GUARD = 60.0
CHUNK = 1 << 20
PROGRAM = """
import sys
from datetime import timedelta
from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.uploaders import TusUploader

source, database, url = sys.argv[1:]
with SqliteStores(database) as stores, TaskManager(
    media_scanner=LocalMediaScanner(source),
    media_resolver=LocalMediaResolver(source),
    media_state_store=stores.media_state,
    task_store=stores.tasks,
    uploader=TusUploader(url, chunk_size=1 << 20),
    options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue"),
) as manager:
    manager.scan_and_enqueue_new()
    manager.process(force=True)
    print(*[f"{task.state} {task.attempts} {task.crashes}" for task in manager.tasks()])
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "clip.mov").write_bytes(random.Random(5).randbytes(24 * CHUNK))
    return folder


def _start(source: Path, url: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", PROGRAM, str(source), str(source.parent / "watch.db"), url]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def _finish(source: Path, url: str) -> str:
    """Run it until the task has ended: a killed worker's lease is taken over, and its back-off waited for."""
    deadline = time.monotonic() + HANG_GUARD
    while True:
        with _start(source, url) as process:
            said = process.communicate(timeout=HANG_GUARD)[0].strip()
        if said.startswith("success") or time.monotonic() > deadline:
            return said


def test_at_most_one_chunk_is_sent_again_after_a_kill(source: Path) -> None:
    process: list[subprocess.Popen[str]] = []

    def kill() -> None:
        process[0].send_signal(signal.SIGKILL)
        process[0].wait(HANG_GUARD)

    fine = [Trouble("PATCH", calls=lambda: None) for _ in range(9)]
    # Half of the tenth chunk has come, and is kept, as tus servers do.
    cut = Trouble("PATCH", after=CHUNK // 2, calls=kill, reset=True, stores=True)
    with TusFaultServer([*fine, cut]) as server:
        process.append(_start(source, server.files))
        with process[0]:
            assert process[0].wait(HANG_GUARD) == -signal.SIGKILL
        said = _finish(source, server.files)
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
    with _start(source, real.url) as process:
        deadline = time.monotonic() + HANG_GUARD
        while not any(3 * CHUNK < len(body) < len(data) for _, body in real.uploads().values()):
            assert process.poll() is None, "the upload was over before it could be killed"
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
    assert real.complete() == []
    before = max(len(body) for _, body in real.uploads().values())
    said = _finish(source, real.url)
    assert said.split()[0] == "success", said
    assert [body == data for body in real.complete()] == [True]
    assert len(real.uploads()) == 1, "the same upload went on"
    assert before > 3 * CHUNK
