"""The example runs as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.probe.media_files import encode

EXAMPLE = Path(__file__).parents[2] / "examples" / "probe_folder.py"
HANG_GUARD = 100


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), *arguments],
        capture_output=True, text=True, check=False, timeout=HANG_GUARD, stdin=subprocess.DEVNULL,
        env={"COLUMNS": "160", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_describes_a_folder(tmp_path: Path) -> None:
    encode(tmp_path / "film.mp4", video="libx264")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_text("left out", encoding="utf-8")
    table = _run(str(tmp_path))
    assert "64 x 48" in table
    assert "it is damaged, or no media file" in table
    assert "notes" not in table
    found = [json.loads(line) for line in _run(str(tmp_path), "--json").splitlines()]
    assert [Path(each["path"]).name for each in found] == ["broken.mp4", "film.mp4"]
    assert found[1]["video"][0]["codec"] == "h264"


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 60
