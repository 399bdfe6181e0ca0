"""The example application runs as it stands, and as a consumer's command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
HANG_GUARD = 60


def test_it_delivers_what_has_appeared() -> None:
    run = subprocess.run(
        [sys.executable, EXAMPLES / "huey_app.py"], capture_output=True, text=True, timeout=HANG_GUARD, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "1 delivered, 0 to be tried again" in run.stdout
    assert run.stdout.endswith("delivered: ['new.mp4']\n")


def test_the_consumers_command_runs_it_on_redis(tmp_path: Path, redis_port: int) -> None:
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    home.mkdir()
    environment = os.environ | {
        "MEDIA_SOURCE": str(source), "MEDIA_DEST": str(home), "MEDIA_DATABASE": str(tmp_path / "watch.db"),
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}", "PYTHONPATH": str(EXAMPLES),
    }  # fmt: skip
    command = [str(Path(sys.executable).parent / "huey_consumer"), "huey_app.huey", "--worker-type", "process"]
    with (tmp_path / "log").open("wb") as log:
        consumer = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=EXAMPLES)
    try:
        until = time.monotonic() + HANG_GUARD
        while "0 delivered" not in (said := (tmp_path / "log").read_text()):
            assert time.monotonic() < until, said
            assert consumer.poll() is None, said
            time.sleep(0.05)
    finally:
        consumer.send_signal(signal.SIGTERM)
        consumer.wait(HANG_GUARD)
