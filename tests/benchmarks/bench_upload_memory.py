"""The memory that one file of 5 GB takes on its way, for each uploader over HTTP; it is to stay below 100 MB.

    python tests/benchmarks/bench_upload_memory.py [--gb 5] [--only "TusUploader;S3Uploader, parts"]

Each uploader delivers a sparse file in a process of its own, to a server that takes everything and keeps nothing. What
is shown is the most memory that process ever had, everything that Python and the libraries take included.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from media_watch_tasks.abc import Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.testing.fakes import FakeContext
from media_watch_tasks.uploaders import HttpUploader, PresignedUploader, S3Uploader, TusUploader, WebdavUploader

GOAL_MB = 100
S3_SERVER = Path(__file__).with_name("bench_s3_server.py")


def _s3(url: str, **settings: Any) -> Uploader:
    import boto3  # noqa: PLC0415 - the processes of the others do not load it

    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    return S3Uploader("bench", client=client, **settings)


UPLOADERS: dict[str, Callable[[str], Uploader]] = {
    "HttpUploader": lambda url: HttpUploader(url + "/{path}"),
    "HttpUploader, form": lambda url: HttpUploader(url + "/upload", method="POST", field_name="file"),
    "WebdavUploader": lambda url: WebdavUploader(url + "/{path}", if_exists="replace"),
    "TusUploader": lambda url: TusUploader(url + "/files"),
    "PresignedUploader": lambda url: PresignedUploader(url + "/uploads"),
    "S3Uploader, parts": _s3,
    "S3Uploader, one request": lambda url: _s3(url, multipart_threshold=5 << 30),
}


def serve(connection: socket.socket, url: str, size: int) -> None:
    """One connection: what a PUT target, a tus server and a service with presigned URLs say when all is well."""
    buffer, stream = bytearray(1 << 20), connection.makefile("rb")
    while line := stream.readline():
        method, target, _ = line.decode().split(" ", 2)
        headers = {}
        while (header := stream.readline()) != b"\r\n":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        left = length = int(headers.get("content-length", "0"))
        while left:
            left -= _read(stream, memoryview(buffer)[: min(left, len(buffer))])
        status, more, body = answer(method, target, headers, length, url)
        announced = size if method == "HEAD" else len(body)
        connection.sendall(f"HTTP/1.1 {status} Done\r\n{more}Content-Length: {announced}\r\n\r\n".encode() + body)


def _read(stream: BinaryIO, view: memoryview) -> int:
    count = stream.readinto(view)  # type: ignore[attr-defined]  # a socket's file
    if not count:
        raise ConnectionError
    return int(count)


def answer(method: str, target: str, headers: dict[str, str], length: int, url: str) -> tuple[int, str, bytes]:
    """(status, headers, body)."""
    if method == "OPTIONS":
        return 204, "Tus-Version: 1.0.0\r\nTus-Extension: creation,termination\r\n", b""
    if method == "PATCH":
        return 204, f"Upload-Offset: {int(headers['upload-offset']) + length}\r\n", b""
    if method == "HEAD":
        return 200, "", b""
    if target.endswith("/init"):
        return 200, "", json.dumps({"id": "1", "upload_url": f"{url}/put"}).encode()
    if method == "GET":
        return 200, "", b'{"status": "completed"}'
    return 201, f"Location: {url}/files/1\r\n", b""


def child(name: str, url: str, source: Path) -> None:
    """Deliver, and print the peak."""
    scanner, resolver = LocalMediaScanner(source), LocalMediaResolver(source)
    (asset,) = [asset for page in scanner.scan_assets(cancel=CancelToken()) for asset in page.assets]
    with UPLOADERS[name](url) as uploader:
        media = resolver.resolve_for_upload(asset, cancel=CancelToken())
        uploader.upload(media, FakeContext.for_media(asset))
    # Not ru_maxrss, which begins with the memory of the process that started this one.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    print(int(found[1]))


def measure(name: str, source: Path, size: int) -> float:
    """MB."""
    program = [str(S3_SERVER)] if name.startswith("S3") else [__file__, "--serve", str(size)]
    command = [sys.executable, *program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            begin = time.perf_counter()
            arguments = [sys.executable, __file__, "--child", name, url, str(source)]
            done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
            seconds = time.perf_counter() - begin
        finally:
            server.terminate()
    used = int(done.stdout) * 1024 / 1e6
    print(f"| {name} | {used:.0f} | {seconds:.1f} |", flush=True)
    return used


def main() -> int:
    """1 if an uploader took more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gb", type=float, default=5)
    parser.add_argument("--only", default=";".join(UPLOADERS), help="names, with ; between them")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], Path(options.child[2]))
        return 0
    if options.serve is not None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            print(port, flush=True)
            while True:
                arguments = (listening.accept()[0], f"http://127.0.0.1:{port}", options.serve)
                threading.Thread(target=serve, args=arguments, daemon=True).start()
    size = int(options.gb * 1e9)
    with tempfile.TemporaryDirectory(prefix="bench-upload-memory-") as folder:
        source = Path(folder)
        with open(source / "sparse.mov", "wb") as file:
            file.truncate(size)
        print(f"One sparse file of {options.gb:g} GB\n\n| | peak memory, MB | s |\n|---|---|---|")
        peaks = [measure(name, source, size) for name in options.only.split(";")]
    return 0 if max(peaks) < GOAL_MB else 1


if __name__ == "__main__":
    raise SystemExit(main())
