"""The example runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "s3_upload.py"
HANG_GUARD = 100


def test_the_example_delivers_to_its_own_server() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)],
        capture_output=True, text=True, check=False, timeout=HANG_GUARD, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "delivered: 2" in done.stdout
    assert re.search(r"camera/2026/clip\.mp4 \d+ verified", done.stdout)
    assert f"camera/long.mov {24 << 20} verified" in done.stdout, "in parts"
