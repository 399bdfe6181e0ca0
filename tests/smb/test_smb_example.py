"""The example for NAS shares runs as it stands, against a real Samba."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Server = Any
"""What the fixtures of conftest.py give."""

EXAMPLE = Path(__file__).parents[2] / "examples" / "nas_periodic_run.py"
HANG_GUARD_SECONDS = 60


def test_what_appears_on_the_share_is_delivered_and_the_old_is_not(server: Server, tmp_path: Path) -> None:
    (server.share / "films").mkdir()
    (server.share / "films" / "old.mp4").write_bytes(b"was there before")
    environment = os.environ | {
        "NAS_HOST": "127.0.0.1", "NAS_SHARE": "media", "NAS_PORT": str(server.port), "NAS_USER": "mediatest",
        "NAS_PASSWORD": "Secr3t!-do-not-show", "NAS_FOLDER": "films", "NAS_SETTLE_SECONDS": "0.2",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, EXAMPLE, tmp_path, "0.3"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = time.monotonic() + HANG_GUARD_SECONDS
    try:
        assert process.stdout is not None
        assert "1 files were there already" in process.stdout.readline()
        content = os.urandom(3_000_000)
        # In one step, so that no scan sees a part of it and supersedes a task.
        (server.share / "arriving.mp4").write_bytes(content)
        (server.share / "arriving.mp4").rename(server.share / "films" / "new.mp4")
        delivered = tmp_path / "files" / "new.mp4"
        while not delivered.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=HANG_GUARD_SECONDS)[0]
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert "ended in order: {'success': 1}" in output
    assert delivered.read_bytes() == content
    assert not (tmp_path / "files" / "old.mp4").exists()
    secrets = b"Secr3t!-do-not-show"
    assert secrets.decode() not in output
    assert all(secrets not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
