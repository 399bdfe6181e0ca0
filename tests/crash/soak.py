"""The soak: many files in several rounds, with faults at random all the time; memory, descriptors and logs stay flat.

    python -m tests.crash.soak --files 100000 --database sqlite --plot docs/explanation/soak.svg

Four processes work on one database: a scanner and a worker that live through all of it and are measured, and two
workers that are killed again and again. Uploads fail now and then, before or after the file was delivered; files are
changed while they wait; on PostgreSQL all connections are cut every few seconds. In the end every file is at the
destination as it was last, once, with a receipt, and the counts are exact.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs
import psycopg
from tests.crash.crowd import assert_counts_are_exact
from tests.crash.databases import CrashDatabase, OnPostgres, OnSqlite, Stores
from tests.crash.soak_plot import drawing
from tests.crash.zygote import Child, Zygote
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.tasks import TaskState

__all__ = ["Sample", "Soak", "soaking"]

ROUNDS = 5
_IN_A_FOLDER = 200
_CHANGED = 0.02
_SAMPLE_EVERY, _KILL_EVERY, _CUT_EVERY = 0.5, 1.5, 3.0
_HANGS_AFTER = 600.0
_MB = 1_000_000
_LIVE = (TaskState.PENDING, TaskState.FAILED, TaskState.UPLOADING)


@attrs.frozen
class Sample:
    """What was seen at one moment of the two processes that live through all of it, and of the database."""

    at: float
    """Seconds since the begin."""
    rss: int
    """Bytes of memory that are resident, of both."""
    descriptors: int
    """Open files, of both."""
    log: int
    """Bytes: of the write-ahead log on SQLite, of all tables and indices on PostgreSQL."""
    done: int
    """Tasks that were delivered."""


@attrs.define
class Soak:
    """One run, and what was seen of it."""

    folder: Path
    database: CrashDatabase
    zygote: Zygote
    files: int
    samples: list[Sample] = attrs.field(factory=list)
    kills: int = 0
    cuts: int = 0
    changes: int = 0
    failures: int = 0
    seconds: float = 0.0
    _versions: dict[str, int] = attrs.field(factory=dict)
    _draw: random.Random = attrs.field(factory=lambda: random.Random(1))
    _due: dict[str, float] = attrs.field(factory=dict)
    _began: float = 0.0

    def run(self) -> None:
        """All rounds, then a look at what has come of it."""
        (self.folder / "backup").mkdir()
        self._began = time.monotonic()
        with self.database.open() as stores:
            lasting = [self._start("scan"), self._start("process")]
            doomed = [self._start("process") for _ in range(2)]
            for number in range(ROUNDS):
                self._write_new(self.files * number // ROUNDS, self.files * (number + 1) // ROUNDS)
                changed = self._draw.sample(sorted(self._versions), round(len(self._versions) * _CHANGED))
                until = time.monotonic() + _HANGS_AFTER
                while changed or not self._is_done(stores):
                    assert time.monotonic() < until, f"round {number} does not end: {stores.tasks.counts()}"
                    for _ in range(min(len(changed), 20)):
                        self._write(changed.pop())
                    self._strike(doomed)
                    self._sample(lasting, stores)
                    time.sleep(0.02)
            self.seconds = time.monotonic() - self._began
            (self.folder / "stop").touch()
            for child in (*lasting, *doomed):
                child.finish()
            self._look(stores)

    def table(self) -> str:
        """What was seen, as a table: a row for each tenth of the time."""
        rows = ["| s | delivered | memory, MB | descriptors | log, MB |", "|--:|--:|--:|--:|--:|"]
        shown = [self.samples[len(self.samples) * part // 10] for part in range(10)] + [self.samples[-1]]
        rows += [
            f"| {each.at:.0f} | {each.done:,} | {each.rss / _MB:.1f} | {each.descriptors} | {each.log / _MB:.1f} |"
            for each in shown
        ]
        rate = self.samples[-1].done / self.seconds
        faults = f"{self.kills} workers killed, {self.cuts} times all connections cut, {self.failures:,} uploads failed"
        return "\n".join(
            [*rows, "", f"{self.seconds:.0f} s, {rate:,.0f} deliveries/s; {faults}, {self.changes:,} files changed."]
        )

    def _start(self, role: str) -> Child:
        return self.zygote.start(
            "soak", log=self.folder / "log", folder=str(self.folder), role=role, seed=self._draw.randrange(2**32)
        )

    def _write_new(self, first: int, end: int) -> None:
        for number in range(first, end):
            name = f"{number // _IN_A_FOLDER:04}/{number}.mov"
            if number % _IN_A_FOLDER == 0 or number == first:
                (self.folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            self._write(name)

    def _write(self, name: str) -> None:
        version = self._versions[name] = self._versions.get(name, 0) + 1
        self.changes += version > 1
        made = self.folder / "being written"
        made.write_bytes(_content(name, version))
        made.replace(self.folder / "source" / name)

    def _is_done(self, stores: Stores) -> bool:
        if not self._is_due("looked", _SAMPLE_EVERY / 2):
            return False
        counts = stores.tasks.counts()
        if any(counts[state] for state in _LIVE):
            return False
        return all(
            (self.folder / "backup" / name).exists()
            and (self.folder / "backup" / name).read_bytes() == _content(name, version)
            for name, version in self._versions.items()
        )

    def _strike(self, doomed: list[Child]) -> None:
        if self._is_due("killed", _KILL_EVERY):
            victim = self._draw.randrange(len(doomed))
            doomed[victim].kill()
            assert doomed[victim].wait() == -9, (self.folder / "log").read_text()[-3_000:]
            doomed[victim] = self._start("process")
            self.kills += 1
        if isinstance(self.database, OnPostgres) and self._is_due("cut", _CUT_EVERY):
            end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE %s"
            with psycopg.connect(self.database.dsn, autocommit=True) as connection:
                rows = connection.execute(end, (f"{self.database.schema}-%",)).fetchall()
            self.cuts += rows[0][0] > 0

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._due.setdefault(what, now + every):
            return False
        self._due[what] = now + every
        return True

    def _sample(self, lasting: list[Child], stores: Stores) -> None:
        if not self._is_due("sampled", _SAMPLE_EVERY):
            return
        assert not any(child.ended_within(0) for child in lasting), (self.folder / "log").read_text()[-3_000:]
        pages = sum(int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) for child in lasting)
        self.samples.append(
            Sample(
                at=time.monotonic() - self._began,
                rss=pages * os.sysconf("SC_PAGE_SIZE"),
                descriptors=sum(len(os.listdir(f"/proc/{child.pid}/fd")) for child in lasting),
                log=self._size(stores),
                done=stores.tasks.counts()[TaskState.SUCCESS],
            )
        )

    def _size(self, stores: Stores) -> int:
        if isinstance(self.database, OnSqlite):
            log = self.folder / "watch.db-wal"
            return log.stat().st_size if log.exists() else 0
        tables = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
        return int(stores.database.execute(f"{tables} current_schema()::regnamespace")[0][0])

    def _look(self, stores: Stores) -> None:
        counts = stores.tasks.counts()
        assert counts[TaskState.DEAD] == 0
        assert counts[TaskState.SUCCESS] >= self.files
        assert_counts_are_exact(stores)
        left = {str(path.relative_to(self.folder / "backup")) for path in (self.folder / "backup").rglob("*.mov")}
        assert {name for name in left if not Path(name).name.startswith(".mwt-")} == set(self._versions)
        with self.database.as_left() as query:
            assert query is not None
            assert query("SELECT key FROM task WHERE state = 3 GROUP BY key HAVING count(*) > 1") == []
        self.failures = (self.folder / "failed").stat().st_size if (self.folder / "failed").exists() else 0
        assert self.kills > 0
        assert self.failures > 0
        assert self.changes > 0
        assert self.cuts > 0 or isinstance(self.database, OnSqlite)


def _content(name: str, version: int) -> bytes:
    return f"{name} {version}\n".encode() * 8 + b"." * version


@contextmanager
def soaking(
    folder: Path, zygote: Zygote, *, files: int, server: PostgresServer | None = None
) -> Iterator[Soak]:  # fmt: skip
    """A soak that was run in this folder, on SQLite or on a server."""
    database: CrashDatabase = OnSqlite(folder)
    if server is not None:
        database = OnPostgres(server.dsn, server.new_schema())
        database.tell(folder)
    soak = Soak(folder, database, zygote, files)
    soak.run()
    yield soak


def main() -> None:
    """Run it as the command line says; print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--plot", type=Path, help="where the drawing goes (SVG)")
    arguments = parser.parse_args()
    server: Any = PostgresServer() if arguments.database == "postgres" else nullcontext()
    with (
        tempfile.TemporaryDirectory(prefix="mwt-soak-") as folder,
        server as running,
        Zygote() as zygote,
        soaking(Path(folder), zygote, files=arguments.files, server=running) as soak,
    ):
        sys.stdout.write(f"{arguments.files:,} files on {arguments.database}\n\n{soak.table()}\n")
        if arguments.plot is not None:
            title = f"{arguments.files:,} files on {arguments.database}, {soak.kills} workers killed"
            arguments.plot.write_text(drawing(soak.samples, title), encoding="utf-8")


if __name__ == "__main__":
    main()
