"""A scan of a million known files against PostgreSQL: 1,000 new, 500 changed, 300 missing, anywhere.

    python tests/benchmarks/bench_postgres_diff.py [--files 1000000] [--rounds 3]

Beside it, in the same run: every known row read once with raw psycopg, by one statement (binary), which is the least
that a comparison outside the server can cost. Two layouts: folders of 100 files, and all files in one folder (pages of
1,000). Seconds are those of the wall, for the server works too; making the pages is measured apart and taken off. The
methods take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.bench_diff import CHANGED, LAYOUTS, MISSING, NEW, SOURCE, Outcome, pages, pages_alone
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.sources import PageRecord
from media_watch_tasks.stores.postgres.stores import PostgresStores

GOAL = 1.5
_ROWS = "SELECT name, size, mtime_ns FROM {schema}.asset ORDER BY directory, name"


def fill(dsn: str, schema: str, layout: str, files: int) -> float:
    """The database after the scan before; files/s of a baseline."""
    began = time.perf_counter()
    with PostgresStores(dsn, schema=schema) as stores:
        store = stores.media_state
        lease = store.acquire_scan(SOURCE, owner="benchmark", lease_ns=10**15)
        assert lease is not None
        for page in pages(layout, files, before=True):
            assert store.record_page(
                lease, PageRecord(directory=page.directory, seen=tuple(page.assets), complete=page.complete)
            )
        store.release_scan(lease)
    return files / (time.perf_counter() - began)


def store_diff(dsn: str, schema: str, layout: str, files: int) -> Outcome:
    """`MediaStateStore.diff_page`, page by page."""
    new = changed = missing = 0
    with PostgresStores(dsn, schema=schema) as stores:
        after: bytes | None = None
        for page in pages(layout, files):
            diff = stores.media_state.diff_page(page, after=after)
            new, changed, missing = new + len(diff.new), changed + len(diff.changed), missing + len(diff.missing)
            after = None if page.complete else page.rows[-1][0]
    return new, changed, missing


def read_all(dsn: str, schema: str, layout: str, files: int) -> Outcome:
    """The floor: every known row is read once, in portions as large as a page, and nothing is compared."""
    with psycopg.connect(dsn) as connection, connection.cursor("floor", binary=True) as cursor:
        cursor.itersize = 10_000
        for _ in cursor.execute(_ROWS.format(schema=schema)):
            pass
    pages_alone(Path(), layout, files)
    return NEW, CHANGED, MISSING


def made(_dsn: str, _schema: str, layout: str, files: int) -> Outcome:
    """Nothing but making the pages."""
    return pages_alone(Path(), layout, files)


METHODS = {"making the pages": made, "reading all rows (raw psycopg)": read_all, "diff_page": store_diff}


def main() -> int:
    """Print the table; 1 if the goal was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files: int = options.files
    missed = False
    print(f"{files} known files, {NEW} new, {CHANGED} changed, {MISSING} missing; median of {options.rounds} rounds")
    print("\n| layout | method | s beyond making the pages | (fastest, slowest) | x reading all rows |")
    print("|---|---|---|---|---|")
    with PostgresServer() as server:
        for number, layout in enumerate(LAYOUTS):
            schema = f"layout{number}"
            recorded = fill(server.dsn, schema, layout, files)
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                # As after the night: what autovacuum does in its time.
                connection.execute(f"VACUUM ANALYZE {schema}.asset")
                room = sum(
                    connection.execute("SELECT pg_total_relation_size(%s)", (f"{schema}.{table}",)).fetchall()[0][0]
                    for table in ("asset", "directory")
                )
            samples: dict[str, list[float]] = {name: [] for name in METHODS}
            for _ in range(options.rounds):
                for name, method in METHODS.items():
                    began = time.perf_counter()
                    found = method(server.dsn, schema, layout, files)
                    samples[name].append(time.perf_counter() - began)
                    assert found == (NEW, CHANGED, MISSING), (name, found)
            pages_made = samples.pop("making the pages")
            beyond = {
                name: [value - base for value, base in zip(values, pages_made, strict=True)]
                for name, values in samples.items()
            }
            floor = statistics.median(beyond["reading all rows (raw psycopg)"])
            for name, values in beyond.items():
                ratio = statistics.median(values) / floor
                spread = f"{min(values):.2f}, {max(values):.2f}"
                print(f"| {layout} | {name} | {statistics.median(values):.2f} | {spread} | {ratio:.2f} |")
                missed |= name == "diff_page" and ratio > GOAL
            print(f"| {layout} | recording all as a baseline, page by page | {recorded:.0f} files/s | | |")
            print(f"| {layout} | room of a known file, with its indices | {room / files:.0f} bytes | | |")
    print(f"\ngoal: {GOAL} x reading all rows: {'MISSED' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
