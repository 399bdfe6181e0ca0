"""The server goes away and comes back, cuts connections, is locked, loses power: the work goes on, and is exact.

Two scanners and four workers, each a process, work on all the time while files change under them. After each fault
nothing is lost, nothing is called delivered that is not there, no file is made visible twice, and the counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.crash.company import Services, services
from tests.crash.crowd import WORKERS, wait_for
from tests.crash.databases import OnPostgres
from tests.crash.wreck import look
from tests.crash.zygote import Zygote
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.stores.postgres.gate import lock_class

_SHORT = 1.5
"""Seconds of a lease. A settlement that the server forgot is made up for when the lease of its task ends."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that can be stopped: nobody else has work on it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database(server: PostgresServer, tmp_path: Path) -> OnPostgres:
    made = OnPostgres(server.dsn, server.new_schema())
    made.tell(tmp_path)
    return made


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_is_waited_for(
    tmp_path: Path, zygote: Zygote, server: PostgresServer, database: OnPostgres, mode: str
) -> None:
    with services(tmp_path, zygote, database, lease=_SHORT) as serving:
        for _ in range(2):
            serving.busy(0.1)
            server.stop(mode)
            serving.busy(0.3)
            server.start()
            serving.wait_for_work()
    assert len(started(server)) >= 3, "the fault has struck"


def started(server: PostgresServer) -> list[str]:
    return [line for line in (server.folder / "log").read_text().splitlines() if "ready to accept" in line]


def test_a_server_that_loses_power_forgets_nothing_that_matters(
    tmp_path: Path, zygote: Zygote, server: PostgresServer, database: OnPostgres
) -> None:
    recoveries = (server.folder / "log").read_text().count("automatic recovery in progress")
    with services(tmp_path, zygote, database, lease=_SHORT) as serving:
        for _ in range(3):
            with server.power_cut():
                serving.busy(0.2)
            serving.wait_for_work()
    assert (server.folder / "log").read_text().count("automatic recovery in progress") == recoveries + 3


def test_connections_that_are_cut_are_made_anew(
    tmp_path: Path, zygote: Zygote, server: PostgresServer, database: OnPostgres
) -> None:
    with (
        services(tmp_path, zygote, database) as serving,
        psycopg.connect(server.dsn, autocommit=True) as connection,
    ):
        worker = lock_class("worker", database.schema) % 2**32

        def present() -> set[int]:
            """The connections by which workers are present."""
            holders = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s::bigint::oid"
            return {pid for (pid,) in connection.execute(holders, (worker,)).fetchall()}

        def cut() -> set[int]:
            """Cut all connections; those that were cut, and not closed by their process a moment before."""
            end = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
            ended: dict[int, bool] = dict(connection.execute(end, (f"{database.schema}-%",)).fetchall())
            left = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY (%s)"
            wait_for(lambda: not connection.execute(left, (list(ended),)).fetchall(), what="the connections to end")
            return {pid for pid, was_there in ended.items() if was_there}

        wait_for(lambda: len(present()) >= WORKERS, what="all workers to be present")
        held = present()
        assert held <= cut(), "nobody closes these as long as he lives"
        for _ in range(9):
            serving.wait_for_work()
            serving.busy(0.05)
            assert cut(), "the fault has struck"


@contextmanager
def locked(serving: Services, database: OnPostgres, *, seconds: float, sessions: int) -> Iterator[None]:
    """Hold the table of the tasks as a careless person may, for so long and until so many sessions wait for it."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute(f"LOCK TABLE {database.schema}.task IN ACCESS EXCLUSIVE MODE".encode())
        waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event_type = 'Lock'"

        def enough_wait() -> bool:
            return len(connection.execute(waiting, (f"{database.schema}-%",)).fetchall()) >= sessions

        serving.busy(seconds)
        wait_for(enough_wait, what=f"{sessions} sessions that wait for the lock")
        yield
        connection.rollback()


def test_a_lock_that_somebody_holds_is_waited_for(tmp_path: Path, zygote: Zygote, database: OnPostgres) -> None:
    # Longer than the leases: they end while nobody can extend them.
    with (
        services(tmp_path, zygote, database, lease=1.0) as serving,
        locked(serving, database, seconds=2.0, sessions=WORKERS),
    ):
        pass
    assert serving.marks("refused") == []


@pytest.mark.parametrize(
    ("seconds", "timeout"),
    [(1.0, "200ms"), pytest.param(75.0, None, marks=[pytest.mark.long, pytest.mark.timeout(300)])],
)
def test_a_lock_that_is_held_too_long_ends_the_run_and_the_next_one_completes(
    tmp_path: Path, zygote: Zygote, database: OnPostgres, seconds: float, timeout: str | None
) -> None:
    with (
        services(tmp_path, zygote, database, lease=2.0, lock_timeout=timeout) as serving,
        locked(serving, database, seconds=seconds, sessions=1),
    ):
        wait_for(lambda: bool(serving.marks("refused")), what="somebody to give up")
    refused = serving.marks("refused")
    assert all("is locked by another program: end the program that holds it" in mark.detail for mark in refused)


def test_a_host_whose_clock_jumps_by_a_day_loses_no_lease(tmp_path: Path, zygote: Zygote, database: OnPostgres) -> None:
    with services(tmp_path, zygote, database, lease=60.0, jumping=True) as serving:
        for _ in range(10):
            serving.wait_for_work()
    assert len(serving.marks("jumped")) >= 20, "the fault has struck"
    assert not any(look(tmp_path).crashes.values()), "nobody has died, and nobody was taken for dead"
