"""The example of a catalog runs as it stands, against an emulator that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from media_watch_tasks.firestore.names import folder_to_id

EXAMPLE = Path(__file__).parents[2] / "examples" / "archive_catalog.py"


@pytest.mark.usefixtures("emulator_port")
def test_the_archive_catalog_runs_with_one_command(tmp_path: Path) -> None:
    series = tmp_path / "archive" / "WSOP" / "WSOP 2024"
    series.mkdir(parents=True)
    (series / "day 1.mp4").write_bytes(b"no video at all")
    (tmp_path / "archive" / "notes.txt").write_text("beside the catalogs", encoding="utf-8")
    command = [sys.executable, str(EXAMPLE), str(tmp_path / "archive"), str(tmp_path / "catalog.db"), "--emulator"]
    environment = {name: value for name, value in os.environ.items() if name != "FIRESTORE_EMULATOR_HOST"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    assert "scanned: 2 files" in done.stdout
    assert "synced: 2 written, 0 deleted, 0 refused" in done.stdout
    assert "catalog == database: True" in done.stdout
    assert folder_to_id(b"WSOP 2024") == "WSOP 2024"
