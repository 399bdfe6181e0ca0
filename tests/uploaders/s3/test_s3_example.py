"""The examples run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"
HANG_GUARD = 100


def run(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        capture_output=True, text=True, check=False, timeout=HANG_GUARD, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_delivers_to_its_own_server() -> None:
    said = run("s3_upload.py")
    assert "delivered: 2" in said
    assert re.search(r"camera/2026/clip\.mp4 \d+ verified", said)
    assert f"camera/long.mov {24 << 20} verified" in said, "in parts"


def test_the_service_of_the_presigned_example_takes_a_clip() -> None:
    said = run("presigned_server.py")
    assert "delivered: 1" in said
    assert re.search(r"receipts: \['tracks/[0-9a-f]{32}'\]", said)
