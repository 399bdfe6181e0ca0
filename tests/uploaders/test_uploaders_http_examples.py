"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
HANG_GUARD = 100


@pytest.mark.parametrize(("name", "path"), [("http_upload.py", "'/clip 0.mp4': "), ("tus_upload.py", "'/files/1': ")])
def test_an_example_delivers_to_its_own_server(name: str, path: str) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=HANG_GUARD, stdin=subprocess.DEVNULL
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" success http://127.0.0.1:") == 3
    assert "the server has {" in done.stdout
    assert path in done.stdout


@pytest.mark.parametrize("name", ["http_upload.py", "tus_upload.py"])
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 60
