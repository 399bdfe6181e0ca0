"""The same work done by this library, rclone, smbclient and plain smbprotocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import smbclient

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.smb import SmbConnection, SmbMediaScanner

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from tests.benchmarks.bench_smb_server import PASSWORD, USER  # noqa: E402 - the path is set above

__all__ = [
    "connect", "ours_heads", "ours_list", "ours_read", "plain_list", "plain_read", "rclone_cat", "rclone_heads",
    "rclone_list", "smbclient_get", "smbclient_list",
]  # fmt: skip


BESIDE = os.path.dirname(sys.executable)
RCLONE = shutil.which("rclone", path=BESIDE) or "rclone"
"""The one that is installed beside the interpreter, whether or not that is on PATH."""


def connect(port: int) -> SmbConnection:
    return SmbConnection("127.0.0.1", "media", username=USER, password=PASSWORD, port=port)


def ours_list(port: int, folder: str, *, file_ids: bool = False) -> int:
    with connect(port) as connection:
        scanner = SmbMediaScanner(connection, folder, file_ids=file_ids)
        return sum(len(page.rows) for page in scanner.scan_assets(cancel=CancelToken()))


def ours_heads(port: int, paths: list[str], length: int) -> int:
    with connect(port) as connection:
        return sum(isinstance(data, bytes) and len(data) == length for data in connection.read_heads(paths, length))


def ours_read(port: int, path: str) -> int:
    with connect(port) as connection, connection.open(path) as stream:
        buffer, total = bytearray(1 << 20), 0
        while count := stream.readinto(buffer):
            total += count
    return total


def rclone(port: int, *arguments: str, checkers: int, count_lines: bool = False) -> int:
    obscured = subprocess.run([RCLONE, "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
    *options, path = arguments
    command = [
        RCLONE, "--config", "/dev/null", *options, "--checkers", str(checkers),
        f":smb,host=127.0.0.1,port={port},user={USER},pass={obscured}:media/{path}",
    ]  # fmt: skip
    if not count_lines:
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=True).returncode
    return subprocess.run(command, capture_output=True, check=True).stdout.count(b"\n")


def rclone_list(port: int, folder: str, checkers: int) -> int:
    return rclone(port, "lsf", "-R", "--files-only", "--format", "pst", folder, checkers=checkers, count_lines=True)


def smbclient_run(port: int, command: str, mode: str) -> bytes:
    protect = "encrypt" if mode == "encrypted" else "sign"
    run = subprocess.run(
        ["smbclient", "//127.0.0.1/media", "-p", str(port), "-U", f"{USER}%{PASSWORD}",
         f"--client-protection={protect}", "-c", command],
        capture_output=True, check=True,
    )  # fmt: skip
    return run.stdout


def smbclient_list(port: int, folder: str, mode: str) -> int:
    return smbclient_run(port, f'cd "{folder}"; recurse; ls', mode).count(b".jpg")


def plain_list(port: int, folder: str) -> int:
    cache: dict[str, object] = {}
    options = {"username": USER, "password": PASSWORD, "port": port, "connection_cache": cache}

    def walk(path: str) -> int:
        found = 0
        for entry in smbclient.scandir(path, **options):
            info = entry.smb_info
            if entry.is_dir():
                found += walk(rf"{path}\{entry.name}")
            elif info.last_write_time and info.end_of_file:
                found += 1
        return found

    try:
        return walk(rf"\\127.0.0.1\media\{folder}")
    finally:
        smbclient.reset_connection_cache(connection_cache=cache)


def plain_read(port: int, path: str) -> int:
    cache: dict[str, object] = {}
    options = {"username": USER, "password": PASSWORD, "port": port, "connection_cache": cache}
    total = 0
    with smbclient.open_file(
        rf"\\127.0.0.1\media\{path}", mode="rb", buffering=0, share_access="rwd", **options
    ) as stream:
        while data := stream.read(1 << 20):
            total += len(data)
    smbclient.reset_connection_cache(connection_cache=cache)
    return total


def rclone_heads(port: int, folder: str, length: int, checkers: int) -> int:
    return rclone(port, "cat", "--head", str(length), folder, checkers=checkers)


def rclone_cat(port: int, path: str) -> int:
    return rclone(port, "cat", path, checkers=8)


def smbclient_get(port: int, path: str, mode: str) -> int:
    smbclient_run(port, f"get {path} /dev/null", mode)
    return 0
