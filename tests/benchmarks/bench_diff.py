"""A scan of a million known files against the database: 1,000 new, 500 changed, 300 missing, anywhere.

    python tests/benchmarks/bench_diff.py [--files 1000000] [--rounds 5]

Two layouts: folders of 100 files, and all files in one folder (pages of 1,000). Each method walks the same pages, made
as it goes, as a scanner makes them; what making them takes is measured apart and taken off. Seconds are those of the
CPU: everything comes from the system's cache, nothing waits, and other programs disturb less. Peak memory is what the
resident set of a fresh process grows by, SQLite's own memory included. The methods take turns, so that a busy moment
hits all of them.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from media_watch_tasks.model.identity import join
from media_watch_tasks.model.scans import AssetRow, ScanPage
from media_watch_tasks.model.sources import PageRecord
from media_watch_tasks.stores.sqlite.stores import SqliteStores

GOAL_SECONDS = 0.6
GOAL_MB = 10.0
SOURCE = "benchmark"
MTIME = 1_790_000_000_000_000_000
PAGE = 1_000
IN_A_FOLDER = 100
NEW, CHANGED, MISSING = 1_000, 500, 300
FLOOR = "reading all rows (floor)"
LAYOUTS = ("folders of 100", "one folder")

Outcome = tuple[int, int, int]
"""Numbers of (new, changed, missing) assets that a method found."""


def edits(files: int, *, before: bool) -> dict[int, int | None]:
    """Files that differ between the two scans: what is added to the size, None for a file that is not there."""
    step = files // NEW
    new = {step * turn + 1: None for turn in range(NEW)}
    missing = {3 * step * turn + 3: None for turn in range(MISSING)}
    changed = {2 * step * turn + 7: 1 for turn in range(CHANGED)}
    return {**new} if before else {**missing, **changed}


def pages(layout: str, files: int, *, before: bool = False) -> Iterator[ScanPage]:
    """The pages of a scan."""
    length = IN_A_FOLDER if layout == LAYOUTS[0] else PAGE
    edited: dict[int, list[tuple[int, int | None]]] = {}
    for number, growth in edits(files, before=before).items():
        edited.setdefault(number // length, []).append((number % length, growth))
    for turn in range(files // length):
        start = turn * length
        rows: list[AssetRow | None] = [
            (b"clip %07d.mp4" % number, number, MTIME + number) for number in range(start, start + length)
        ]
        for place, growth in edited.get(turn, ()):
            name, size, mtime_ns = rows[place] or (b"", 0, 0)
            rows[place] = None if growth is None else (name, size + growth, mtime_ns)
        listed = tuple(filter(None, rows))
        if layout == LAYOUTS[0]:
            yield ScanPage(SOURCE, b"2026/%05d" % turn, listed)
        else:
            yield ScanPage(SOURCE, b"flat", listed, complete=start + length == files)


def fill(path: Path, layout: str, files: int) -> None:
    """The database after the scan before."""
    with SqliteStores(path) as stores:
        lease = stores.media_state.acquire_scan(SOURCE, owner="benchmark", lease_ns=10**15)
        assert lease is not None
        for page in pages(layout, files, before=True):
            record = PageRecord(directory=page.directory, seen=tuple(page.assets), complete=page.complete)
            stores.media_state.record_page(lease, record)
        stores.media_state.release_scan(lease)


def store_diff(path: Path, layout: str, files: int) -> Outcome:
    """`MediaStateStore.diff_page`, page by page."""
    new = changed = missing = 0
    with SqliteStores(path) as stores:
        after: bytes | None = None
        for page in pages(layout, files):
            diff = stores.media_state.diff_page(page, after=after)
            new, changed, missing = new + len(diff.new), changed + len(diff.changed), missing + len(diff.missing)
            after = None if page.complete else page.rows[-1][0]
    return new, changed, missing


def read_all(path: Path, layout: str, files: int) -> Outcome:
    """The floor: every known row is read once, and nothing is compared."""
    connection = sqlite3.connect(path)
    for _ in connection.execute("SELECT name, size, mtime_ns FROM asset ORDER BY directory, name"):
        pass
    connection.close()
    for _ in pages(layout, files):
        pass
    return NEW, CHANGED, MISSING


def dict_of_all(path: Path, layout: str, files: int) -> Outcome:
    """All known rows in a dict by path."""
    connection = sqlite3.connect(path)
    statement = "SELECT d.path, a.name, a.size, a.mtime_ns FROM directory d JOIN asset a ON a.directory = d.id"
    known = {
        join(folder.replace(b"\0", b"/"), name): (size, mtime_ns)
        for folder, name, size, mtime_ns in connection.execute(statement)
    }
    connection.close()
    new = changed = 0
    for page in pages(layout, files):
        for name, size, mtime_ns in page.rows:
            found = known.pop(join(page.directory, name), None)
            new += found is None
            changed += found is not None and found != (size, mtime_ns)
    return new, changed, len(known)


def pages_alone(_path: Path, layout: str, files: int) -> Outcome:
    """Nothing but making the pages."""
    for _ in pages(layout, files):
        pass
    return NEW, CHANGED, MISSING


Method = Callable[[Path, str, int], Outcome]
METHODS: dict[str, Method] = {
    "making the pages": pages_alone,
    "diff_page": store_diff,
    FLOOR: read_all,
    "dict of all keys": dict_of_all,
}


def timed(method: Method, path: Path, layout: str, files: int) -> float:
    """CPU seconds of a method; it must find what is there to find."""
    began = time.process_time()
    found = method(path, layout, files)
    seconds = time.process_time() - began
    assert found == (NEW, CHANGED, MISSING), found
    return seconds


def peak_mb(name: str, path: Path, layout: str, files: int) -> float:
    """What the resident set of a fresh process grows by while the method runs."""
    command = [sys.executable, __file__, "--peak", name, str(path), layout, "--files", str(files)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def resident_peak_mb() -> float:
    """The largest resident set of this process so far (getrusage would tell of its parent's too)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def print_peak(name: str, path: str, layout: str, files: int) -> None:
    """For `peak_mb`: the pages and an opened store are there before it looks for the first time."""
    with SqliteStores(path):
        pages_alone(Path(path), layout, files)
    before = resident_peak_mb()
    METHODS[name](Path(path), layout, files)
    print(resident_peak_mb() - before)


def commit(path: Path, layout: str, files: int) -> tuple[float, int, int]:
    """Diff, record and mark: seconds, rows written, and rows that a second scan writes."""
    written: list[int] = []
    seconds: list[float] = []
    with SqliteStores(path) as stores:
        store = stores.media_state
        for _scan in range(2):
            lease = store.acquire_scan(SOURCE, owner="benchmark", lease_ns=10**15)
            assert lease is not None
            before = stores.database.execute("SELECT total_changes()")[0][0]
            began = time.process_time()
            missing: list[bytes] = []
            after: bytes | None = None
            for page in pages(layout, files):
                diff = store.diff_page(page, after=after)
                seen = (*diff.new, *diff.changed)
                store.record_page(lease, PageRecord(directory=page.directory, seen=seen, complete=page.complete))
                missing += diff.missing
                after = None if page.complete else page.rows[-1][0]
            store.mark_missing(SOURCE, missing)
            seconds.append(time.process_time() - began)
            written.append(stores.database.execute("SELECT total_changes()")[0][0] - before)
            store.release_scan(lease)
    return seconds[0], written[0], written[1]


def main() -> int:
    """Print the table; 1 if a goal was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", nargs=3)
    options = parser.parse_args()
    files: int = options.files
    if options.peak:
        name, path, layout = options.peak
        print_peak(name, path, layout, files)
        return 0
    missed = 0
    print(f"{files} known files, {NEW} new, {CHANGED} changed, {MISSING} missing; median of {options.rounds} rounds")
    print("\n| layout | method | CPU s beyond making the pages | (fastest, slowest) | x floor | peak MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for layout in LAYOUTS:
            database = Path(folder) / f"{layout}.db"
            fill(database, layout, files)
            samples: dict[str, list[float]] = {name: [] for name in METHODS}
            for _ in range(options.rounds):
                for name, method in METHODS.items():
                    samples[name].append(timed(method, database, layout, files))
            made = samples.pop("making the pages")
            beyond = {
                name: [value - pages_made for value, pages_made in zip(values, made, strict=True)]
                for name, values in samples.items()
            }
            floor = statistics.median(beyond[FLOOR])
            for name, values in beyond.items():
                middle, peak = statistics.median(values), peak_mb(name, database, layout, files)
                spread = f"{min(values):.2f}, {max(values):.2f}"
                print(f"| {layout} | {name} | {middle:.2f} | {spread} | {middle / floor:.2f} | {peak:.1f} |")
                if name == "diff_page":
                    missed += middle > GOAL_SECONDS or peak > GOAL_MB
            seconds, written, again = commit(database, layout, files)
            missed += again != 0
            rows = f"{written} rows written, {again} by a second scan"
            print(f"| {layout} | diff, record and mark | {seconds - statistics.median(made):.2f} | {rows} | | |")
    print(
        f"\ngoals: {GOAL_SECONDS} s, {GOAL_MB:.0f} MB, no write for an unchanged row: {'MISSED' if missed else 'met'}"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
