"""A real Samba server, a distance before it, and a tree of files, for the benchmarks of shares."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

__all__ = ["ENCRYPTED", "PASSWORD", "SIGNED", "USER", "Distance", "server", "tree"]

USER, PASSWORD = "mediatest", "Secr3t!"
SIGNED, ENCRYPTED = "server signing = mandatory", "smb encrypt = required"
CONFIG = """
[global]
  server role = standalone server
  interfaces = lo
  bind interfaces only = yes
  smb ports = {port}
  disable netbios = yes
  server min protocol = SMB2_10
  passdb backend = tdbsam:{root}/private/passdb.tdb
  private dir = {root}/private
  pid directory = {root}/pid
  lock directory = {root}/lock
  state directory = {root}/state
  cache directory = {root}/cache
  ncalrpc dir = {root}/ncalrpc
  log file = {root}/smbd.log
  log level = 0
  load printers = no
  disable spoolss = yes
  {line}
[media]
  path = {share}
  read only = no
  valid users = mediatest
  force user = root
"""


@contextlib.contextmanager
def server(share: Path, line: str) -> Iterator[int]:
    root = Path(tempfile.mkdtemp(prefix="bench-smbd-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("private", "pid", "lock", "state", "cache", "ncalrpc"):
        (root / name).mkdir()
    (root / "smb.conf").write_text(CONFIG.format(root=root, port=port, share=share, line=line))
    if subprocess.run(["id", USER], capture_output=True, check=False).returncode:
        subprocess.run(["useradd", "-M", "-N", "-s", "/usr/sbin/nologin", USER], check=True)
    subprocess.run(
        ["smbpasswd", "-c", root / "smb.conf", "-s", "-a", USER], input=f"{PASSWORD}\n{PASSWORD}\n", text=True,
        check=True, capture_output=True,
    )  # fmt: skip
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "smbd", "-F", "--no-process-group", "-s", root / "smb.conf", "-l", root],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield port
    finally:
        os.killpg(process.pid, 15)
        process.wait()
        shutil.rmtree(root, ignore_errors=True)


class Distance:
    """The proxy process; `frames` after it has ended."""

    def __init__(self, port: int, milliseconds: float) -> None:
        program = Path(__file__).with_name("bench_smb_proxy.py")
        self.process = subprocess.Popen(
            [sys.executable, program, str(port), str(milliseconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.frames = (0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        out, _ = self.process.communicate("")
        up, down = out.split()
        self.frames = (int(up), int(down))


def tree(root: Path, folders: int, files: int) -> None:
    for folder in range(folders):
        path = root / f"folder {folder:05d}"
        path.mkdir(parents=True)
        for number in range(files):
            descriptor = os.open(path / f"IMG_{folder:05d}_{number:04d}.jpg", os.O_CREAT | os.O_WRONLY, 0o644)
            os.ftruncate(descriptor, 1_000 + number)
            os.close(descriptor)
