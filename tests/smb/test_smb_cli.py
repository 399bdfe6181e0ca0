"""The command `mwt` on a share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

USER, PASSWORD = "mediatest", "Secr3t!-do-not-show"
HANG_GUARD = 100


def test_a_share_is_delivered_with_the_password_from_the_environment(server: Any, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (server.empty() / "cards").mkdir()
    (server.share / "cards" / "clip.mp4").write_bytes(b"clip")
    done = subprocess.run(
        [
            sys.executable, "-m", "media_watch_tasks.cli", "run", f"smb://{USER}@127.0.0.1:{server.port}/media/cards",
            str(inbox), "--database", str(tmp_path / "watch.db"), "--all", "--settle", "0",
        ],
        env={**os.environ, "MWT_SMB_PASSWORD": PASSWORD},
        capture_output=True, text=True, check=False, timeout=HANG_GUARD,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert (inbox / "clip.mp4").read_bytes() == b"clip"
