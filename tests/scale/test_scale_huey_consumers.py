"""Consumers as processes on one Redis: one run at a time, and the turn of one that dies goes to another."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from tests.scale.consumers import marks

HANG_GUARD = 60
PROGRAM = Path(__file__).parent / "consumers.py"
Start = Callable[[float], "subprocess.Popen[bytes]"]


@pytest.fixture
def queue() -> str:
    return secrets.token_hex(4)


@pytest.fixture
def start(tmp_path: Path, redis_port: int, queue: str) -> Iterator[Start]:
    """Starts a consumer whose runs last so many seconds."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(seconds: float) -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("ab") as log:
            command = [sys.executable, str(PROGRAM), str(redis_port), queue, str(tmp_path), str(seconds)]
            environment = os.environ | {"PYTHONPATH": str(PROGRAM.parents[2])}
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], folder: Path) -> None:
    until = time.monotonic() + HANG_GUARD
    while not condition():
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.02)


def overlaps(folder: Path) -> list[tuple[int, int, str]]:
    """Marks of a run that began while another one lasted."""
    running: int | None = None
    found = []
    for mark in marks(folder):
        _, pid, word = mark
        if word == "begin":
            if running is not None:
                found.append(mark)
            running = pid
        else:
            running = None
    return found


def test_of_three_consumers_one_runs_the_job_at_a_time(tmp_path: Path, start: Start) -> None:
    for _ in range(3):
        start(0.05)
    wait_for(lambda: len(marks(tmp_path)) >= 60, tmp_path)
    assert overlaps(tmp_path) == []
    assert len({pid for _, pid, _ in marks(tmp_path)}) == 3


def test_a_run_that_lasts_longer_than_its_lease_keeps_it(tmp_path: Path, start: Start) -> None:
    start(4.5)
    start(4.5)
    wait_for(lambda: [word for _, _, word in marks(tmp_path)][:4] == ["begin", "end", "begin", "end"], tmp_path)
    assert overlaps(tmp_path) == []


def test_the_turn_of_a_killed_consumer_goes_to_another(tmp_path: Path, start: Start) -> None:
    doomed = start(1_000)
    wait_for(lambda: bool(marks(tmp_path)), tmp_path)
    start(0)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    wait_for(lambda: len({pid for _, pid, _ in marks(tmp_path)}) == 2, tmp_path)


def test_lost_tasks_cost_nothing(tmp_path: Path, start: Start, redis_port: int, queue: str) -> None:
    start(0)
    wait_for(lambda: bool(marks(tmp_path)), tmp_path)
    client = redis.Redis("127.0.0.1", redis_port)
    client.flushall()
    before = len(marks(tmp_path))
    wait_for(lambda: len(marks(tmp_path)) > before + 5, tmp_path)
    client.close()
