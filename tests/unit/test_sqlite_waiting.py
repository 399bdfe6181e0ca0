"""Waiting for other programs: short random pauses, for a limited time, and nobody is starved or skipped."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.migrations import migrate
from media_watch_tasks.testing.clock import FakeClock


class WatchedClock(FakeClock):
    """A clock that calls somebody at the n-th pause, and keeps the lengths of all."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.at: dict[int, Callable[[], object]] = {}

    def wait(self, event: threading.Event, timeout: float) -> bool:
        self.pauses.append(timeout)
        self.at.get(len(self.pauses), lambda: None)()
        return super().wait(event, timeout)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "watch.db"
    with Database(path) as database:
        migrate(database)
        database.execute("CREATE TABLE t (x)")
    return path


@pytest.fixture
def other_program(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
    yield connection
    connection.close()


def test_a_writer_waits_until_the_other_program_is_done(path: Path, other_program: sqlite3.Connection) -> None:
    clock = WatchedClock()
    clock.at[7] = lambda: other_program.execute("COMMIT")
    with Database(path, clock=clock, draw=iter([0.0, 1.0, 0.5] * 3).__next__) as database:
        other_program.execute("BEGIN IMMEDIATE")
        with database.transaction():
            database.execute("INSERT INTO t VALUES (1)")
        assert database.execute("SELECT x FROM t") == [(1,)]
    assert clock.pauses == pytest.approx([0.0002, 0.002, 0.0011] * 2 + [0.0002])


@pytest.mark.parametrize("durable", [False, True])
def test_a_lock_that_stays_is_an_error_after_the_limit(
    path: Path, other_program: sqlite3.Connection, *, durable: bool
) -> None:
    clock = WatchedClock()
    with Database(path, clock=clock, draw=lambda: 0.5, locked_after=3.0) as database:
        other_program.execute("BEGIN IMMEDIATE")
        began = clock.monotonic_ns()
        with (
            pytest.raises(StoreError, match=r"watch\.db is locked by another program for 3 s: end the program"),
            database.transaction(durable=durable),
        ):
            raise AssertionError("the block does not begin")
        assert 3 * NANOSECONDS <= clock.monotonic_ns() - began < 3.01 * NANOSECONDS
        assert len(clock.pauses) > 2_000
        # Nothing is left behind: the next one gets its turn.
        other_program.execute("COMMIT")
        with database.transaction(durable=durable):
            database.execute("INSERT INTO t VALUES (1)")


@pytest.mark.parametrize("durable", [False, True])
def test_a_transaction_has_the_right_to_write_from_its_start(
    path: Path, other_program: sqlite3.Connection, *, durable: bool
) -> None:
    with Database(path) as database:
        with database.transaction(durable=durable):
            assert database.execute("SELECT x FROM t") == []
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other_program.execute("INSERT INTO t VALUES (1)")
            database.execute("INSERT INTO t VALUES (2)")
        assert database.execute("SELECT x FROM t") == [(2,)]


def test_a_single_writing_statement_waits_too(path: Path, other_program: sqlite3.Connection) -> None:
    clock = WatchedClock()
    clock.at[3] = lambda: other_program.execute("COMMIT")
    with Database(path, clock=clock) as database:
        other_program.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO t VALUES (1)")
    assert len(clock.pauses) == 3


def test_readers_do_not_wait_for_a_writer_of_another_program(path: Path, other_program: sqlite3.Connection) -> None:
    clock = WatchedClock()
    with Database(path, clock=clock) as database:
        other_program.execute("BEGIN IMMEDIATE")
        other_program.execute("INSERT INTO t VALUES (1)")
        assert database.execute("SELECT x FROM t") == []
        assert database.data_version() == database.data_version()
    assert clock.pauses == []


def test_a_thread_that_waits_does_not_keep_readers_of_its_process_out(
    path: Path, other_program: sqlite3.Connection
) -> None:
    clock = WatchedClock()
    read: list[object] = []
    with Database(path, clock=clock) as database:

        def read_and_let_go() -> None:
            reader = threading.Thread(target=lambda: read.append(database.execute("SELECT x FROM t")))
            reader.start()
            reader.join()
            other_program.execute("COMMIT")

        clock.at[2] = read_and_let_go
        other_program.execute("BEGIN IMMEDIATE")
        with database.transaction():
            pass
    assert read == [[]]
    assert len(clock.pauses) == 2


def test_opening_waits_for_a_program_that_has_the_file_for_itself(
    path: Path, other_program: sqlite3.Connection
) -> None:
    clock = WatchedClock()
    other_program.execute("PRAGMA locking_mode = EXCLUSIVE")
    other_program.execute("BEGIN IMMEDIATE")
    other_program.execute("INSERT INTO t VALUES (1)")
    other_program.execute("COMMIT")
    clock.at[5] = other_program.close
    with Database(path, clock=clock) as database:
        assert database.execute("SELECT x FROM t") == [(1,)]
    assert len(clock.pauses) == 5


_COUNT_UP = """
import sys
from media_watch_tasks.stores.sqlite.database import Database
with Database(sys.argv[1]) as database:
    for number in range(150):
        with database.transaction(durable=number % 50 == 0):
            ((latest,),) = database.execute("SELECT coalesce(max(x), 0) FROM t")
            database.execute("INSERT INTO t VALUES (?)", (latest + 1,))
"""


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", _COUNT_UP, str(path)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with Database(path) as database:
        assert database.execute("SELECT x FROM t ORDER BY x") == [(number,) for number in range(1, 451)]
