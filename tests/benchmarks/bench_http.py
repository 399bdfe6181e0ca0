"""Delivering over HTTP: 1,000 small files, and one of 1 GiB, beside rclone, curl and tuspy.

    python tests/benchmarks/bench_http.py [--rounds 2] [--files 1000] [--large 1024] [--only webdav,tus,far]

WebDAV: `rclone serve webdav` is the server for all; the peers are `rclone copy` with its defaults and with more
transfers, and `curl -T`. The uploaders go through the local resolver with 4 threads. tus: the reference server for
Node; the peer is tuspy in 4 threads, with chunks of two sizes. The uploaders take the SHA-256 of what they send, which
the peers do not: what that costs is shown by rows in which they do not either, which is no setting of theirs. The
methods take turns, and each round begins with another one; medians are compared. Beside the time stands the processor
time of the client, its child processes included.

far: small files to the WebDAV server over a line with a round trip of 10 ms (`bench_smb_proxy.py`), where it matters
how many requests a file takes, and how many are under way at once.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import queue
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.bench_smb_server import Distance
from tests.uploaders.tus.real_server import running

from media_watch_tasks.abc import Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.http import bodies
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.testing.fakes import FakeContext
from media_watch_tasks.uploaders import HttpUploader, TusUploader, WebdavUploader
from media_watch_tasks.uploaders.tus import portions

THREADS = 4
SMALL = 64 << 10
CHUNKS = (8 << 20, 64 << 20)
READY_SECONDS = 20.0
NO_HASH = "uploader, no hash"


def make_files(folder: Path, count: int, size: int) -> None:
    """Flat, as a WebDAV server makes no folders by itself; bytes that do not compress."""
    folder.mkdir()
    block = random.Random(1).randbytes(16 << 20)
    for number in range(count):
        with open(folder / f"{number:04d}.mov", "wb") as file:
            left = size
            while left > 0:
                left -= file.write(block[number : number + min(left, 15 << 20)])


def deliver(source: Path, uploader: Uploader, *, threads: int = THREADS) -> None:
    """Upload every file; every receipt is there at the end."""
    resolver, scanner = LocalMediaResolver(source), LocalMediaScanner(source)
    assets = [asset for page in scanner.scan_assets(cancel=CancelToken()) for asset in page.assets]
    receipts: list[object] = []

    def one(asset: Any) -> None:
        media = resolver.resolve_for_upload(asset, cancel=CancelToken())
        receipts.append(uploader.upload(media, FakeContext.for_media(asset)))

    with uploader:
        in_threads(assets, one, threads)
    if len(receipts) != len(assets):
        raise SystemExit(f"{len(receipts)} receipts for {len(assets)} files")


def in_threads(items: list[Any], one: Callable[[Any], object], threads: int) -> None:
    """Call it for every item."""
    pending: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for item in items:
        pending.put(item)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                one(pending.get_nowait())

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def tuspy(source: Path, url: str, chunk: int) -> None:
    """The client for Python that there is, with a client object for each thread."""
    from tusclient.client import TusClient  # noqa: PLC0415 - a peer, installed for benchmarks alone

    clients = threading.local()

    def one(path: Path) -> None:
        if not hasattr(clients, "client"):
            clients.client = TusClient(url)
        clients.client.uploader(str(path), chunk_size=chunk, metadata={"filename": path.name}).upload()

    in_threads(sorted(source.iterdir()), one, THREADS)


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is missing")
    return found


@contextlib.contextmanager
def webdav(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Without its cache, which would still show the files of the round before.
    options = ["--config", os.devnull, "--dir-cache-time", "1ms", "--addr", f"127.0.0.1:{port}"]
    command = [program("rclone"), "serve", "webdav", *options, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + READY_SECONDS
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if time.monotonic() > deadline:
                    raise SystemExit("rclone serve webdav does not start")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextlib.contextmanager
def no_hash() -> Iterator[None]:
    """Uploaders hash nothing that passes."""

    class Nothing:
        def update(self, _: object) -> None: ...

        def hexdigest(self) -> str:
            return "0" * 64

        def close(self) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "PassingHash", Nothing)
        patch.setattr(portions, "PassingHash", Nothing)
        yield


def processor_seconds() -> float:
    """User and system, of this process and of those that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def table(title: str, methods: dict[str, Callable[[], None]], target: Path, expected: int, rounds: int) -> None:
    """Time the methods in turn; every one has to leave all the bytes at the target."""
    times: dict[str, list[float]] = {}
    busy: dict[str, list[float]] = {}
    turns = list(methods.items())
    for number in range(rounds):
        first = number % len(turns)
        for name, call in turns[first:] + turns[:first]:
            for path in target.iterdir():
                path.unlink()
            os.sync()  # what the one before has written is not for this one to wait for
            begin, before = time.perf_counter(), processor_seconds()
            call()
            times.setdefault(name, []).append(time.perf_counter() - begin)
            busy.setdefault(name, []).append(processor_seconds() - before)
            found = sum(path.stat().st_size for path in target.iterdir() if path.suffix != ".json")
            if found != expected:
                raise SystemExit(f"{name}: {found} bytes of {expected} arrived")
    ours = statistics.median(times["uploader"])
    print(
        f"\n### {title}, median of {rounds} rounds\n\n| | s | MB/s | times ours | processor, s |\n|---|---|---|---|---|"
    )
    for name in methods:
        middle = statistics.median(times[name])
        print(f"| {name} | {middle:.2f} | {expected / middle / 1e6:.0f} | {middle / ours:.2f} |"
              f" {statistics.median(busy[name]):.2f} |", flush=True)  # fmt: skip


def measure_webdav(work: Path, sources: dict[str, Path], rounds: int) -> None:
    target = work / "webdav"
    target.mkdir()
    with webdav(target) as url:
        for title, source in sources.items():
            expected = sum(path.stat().st_size for path in source.iterdir())
            rclone = (
                program("rclone"), "copy", "--config", os.devnull, "--webdav-url", url, "--webdav-vendor", "other",
                str(source), ":webdav:",
            )  # fmt: skip

            def ours(source: Path = source) -> None:
                deliver(source, HttpUploader(url + "/{path}"))

            def without_hash(source: Path = source) -> None:
                with no_hash():
                    deliver(source, HttpUploader(url + "/{path}", digest="never"))

            methods: dict[str, Callable[[], None]] = {
                "uploader": ours,
                **({} if len(list(source.iterdir())) > 1 else {NO_HASH: without_hash}),
                "WebdavUploader": lambda source=source: deliver(source, WebdavUploader(url + "/{path}")),  # type: ignore[misc]  # bound now
                "rclone copy": lambda rclone=rclone: run(*rclone),  # type: ignore[misc]  # bound now
                "rclone copy --transfers 16": lambda rclone=rclone: run(*rclone, "--transfers", "16"),  # type: ignore[misc]  # as above
                "curl -T": lambda source=source: run(  # type: ignore[misc]  # as above
                    program("curl"), "-sf", "-T", "{" + ",".join(map(str, sorted(source.iterdir()))) + "}", url + "/"
                ),
            }
            table(f"WebDAV: {title}", methods, target, expected, rounds)


def measure_far(work: Path, source: Path, round_trip_ms: float) -> None:
    target = work / "far"
    target.mkdir()
    files = sorted(source.iterdir())
    expected = sum(path.stat().st_size for path in files)
    print(f"\n### WebDAV, far away: {len(files)} files of {SMALL >> 10} KiB, round trip {round_trip_ms:g} ms\n")
    print("| at once | HttpUploader, s | WebdavUploader, s | curl --parallel, s | rclone, s | rclone, times ours |")
    print("|---|---|---|---|---|---|")
    with webdav(target) as near, Distance(int(near.rpartition(":")[2]), round_trip_ms) as line:
        url = f"http://127.0.0.1:{line.port}"
        for number in (THREADS, 16, 32):
            rclone = (
                program("rclone"), "copy", "--config", os.devnull, "--webdav-url", url, "--webdav-vendor", "other",
                "--transfers", str(number), str(source), ":webdav:",
            )  # fmt: skip
            curl = (
                program("curl"), "-sf", "--parallel", "--parallel-max", str(number),
                "-T", "{" + ",".join(map(str, files)) + "}", url + "/",
            )  # fmt: skip
            took: list[float] = []
            for call in (
                functools.partial(deliver, source, HttpUploader(url + "/{path}"), threads=number),
                functools.partial(deliver, source, WebdavUploader(url + "/{path}"), threads=number),
                functools.partial(run, *curl),
                functools.partial(run, *rclone),
            ):
                for path in target.iterdir():
                    path.unlink()
                begin = time.perf_counter()
                call()
                took.append(time.perf_counter() - begin)
                found = sum(path.stat().st_size for path in target.iterdir())
                if found != expected:
                    raise SystemExit(f"{found} bytes of {expected} arrived")
            seconds = " | ".join(f"{value:.2f}" for value in took)
            print(f"| {number} | {seconds} | {took[-1] / took[0]:.1f}, {took[-1] / took[1]:.1f} |", flush=True)


def measure_tus(work: Path, sources: dict[str, Path], rounds: int) -> None:
    target = work / "tus"
    target.mkdir()
    with running(target) as server:
        for title, source in sources.items():
            expected = sum(path.stat().st_size for path in source.iterdir())

            def ours(source: Path = source) -> None:
                deliver(source, TusUploader(server.url))

            def without_hash(source: Path = source) -> None:
                with no_hash():
                    deliver(source, TusUploader(server.url))

            methods: dict[str, Callable[[], None]] = {"uploader": ours}
            if len(list(source.iterdir())) == 1:
                methods[NO_HASH] = without_hash
            for chunk in CHUNKS:
                name = f"tuspy, chunks of {chunk >> 20} MiB"
                methods[name] = lambda source=source, chunk=chunk: tuspy(source, server.url, chunk)  # type: ignore[misc]  # as above
            table(f"tus: {title}", methods, target, expected, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=1_024, help="MiB of the large file")
    parser.add_argument("--only", default="webdav,tus", help="of webdav, tus and far; far by itself takes two minutes")
    parser.add_argument("--far-ms", type=float, default=10)
    options = parser.parse_args()
    only = options.only.split(",")
    with tempfile.TemporaryDirectory(prefix="bench-http-") as name:
        work = Path(name)
        make_files(work / "many", options.files, SMALL)
        make_files(work / "one", 1, options.large << 20)
        sources = {
            f"{options.files} files of {SMALL >> 10} KiB": work / "many",
            f"1 file of {options.large} MiB": work / "one",
        }
        if "webdav" in only:
            measure_webdav(work, sources, options.rounds)
        if "tus" in only:
            measure_tus(work, sources, options.rounds)
        if "far" in only:
            measure_far(work, work / "many", options.far_ms)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
