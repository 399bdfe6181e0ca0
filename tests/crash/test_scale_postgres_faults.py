"""The server goes away and comes back, cuts connections, is locked, loses power: the work goes on, and is exact.

Two scanners and four workers, each a process, work on all the time while files change under them. After each fault
nothing is lost, nothing is called delivered that is not there, no file is made visible twice, and the counts are exact.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.crash.arrivals import Arrivals
from tests.crash.crowd import SCANNERS, WORKERS, assert_counts_are_exact, is_done, wait_for
from tests.crash.databases import OnPostgres
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import Mark, read_marks
from tests.crash.wreck import Judge, look
from tests.crash.zygote import Child, Zygote
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.stores.postgres.gate import lock_class

_SHORT = 1.5
"""Seconds of a lease. A settlement that the server forgot is made up for when the lease of its task ends."""


class Services:
    """The processes, and the files that they work on."""

    def __init__(self, folder: Path, zygote: Zygote, server: PostgresServer, **arguments: Any) -> None:
        self.folder = folder
        self.server = server
        self.database = OnPostgres(server.dsn, server.new_schema())
        self.database.tell(folder)
        self.footage = Footage(folder, seed=2)
        for name in FOLDERS:
            (folder / "backup" / name).mkdir(parents=True, exist_ok=True)
        with self.database.open():
            pass  # the tables are there before anybody comes
        log = folder / "log"
        self.children: list[Child] = [
            zygote.start("serve", log=log, folder=str(folder), role=role, **arguments)
            for role in ["scan"] * SCANNERS + ["process"] * WORKERS
        ]

    def busy(self, seconds: float) -> None:
        """Somebody changes files, and they are worked on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.footage.change()
            time.sleep(0.01)

    def wait_for_work(self) -> None:
        """Until the processes have claimed something that they had not before."""
        claimed = len(self.marks("claimed"))
        files = len(self.footage.versions)

        def worked() -> bool:
            self.busy(0.02)
            return len(self.marks("claimed")) > claimed

        wait_for(worked, what=f"work, after {files} files: {self.said()[-2_000:]}")

    def marks(self, phase: str) -> list[Mark]:
        return [mark for mark in read_marks(self.folder / "trace") if mark.phase == phase]

    def said(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """All is done, then the processes end in order, and everything is where it belongs."""
        with self.database.open() as stores:
            wait_for(lambda: is_done(self.footage, stores), what=f"all to be done: {self.said()[-3_000:]}")
            (self.folder / "stop").touch()
            for child in self.children:
                child.finish()
            assert_counts_are_exact(stores)
            assert stores.tasks.counts()[TaskState.DEAD] == 0
        Judge(self.folder, self.footage, "keep").check_end(look(self.folder))
        with self.database.as_left() as query:
            assert query is not None
            # Every version that was written differs, so none is delivered again for good reasons.
            assert query("SELECT key FROM task WHERE state = 3 GROUP BY key HAVING count(*) > 1") == []


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that can be stopped: nobody else has work on it."""
    with PostgresServer() as server:
        yield server


@contextmanager
def services(folder: Path, zygote: Zygote, server: PostgresServer, **arguments: Any) -> Iterator[Services]:
    """Processes that are at work when the block begins, and have done all of it when it has ended."""
    serving = Services(folder, zygote, server, **arguments)
    try:
        with Arrivals(folder / "backup") as arrivals:
            serving.wait_for_work()
            yield serving
            serving.wait_for_work()
            serving.end()
        assert arrivals.events >= len(serving.footage.versions)
        assert arrivals.twice() == {}
    finally:
        for child in serving.children:
            child.kill()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_is_waited_for(
    tmp_path: Path, zygote: Zygote, server: PostgresServer, mode: str
) -> None:
    with services(tmp_path, zygote, server, lease=_SHORT) as serving:
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
    tmp_path: Path, zygote: Zygote, server: PostgresServer
) -> None:
    recoveries = (server.folder / "log").read_text().count("automatic recovery in progress")
    with services(tmp_path, zygote, server, lease=_SHORT) as serving:
        for _ in range(3):
            with server.power_cut():
                serving.busy(0.2)
            serving.wait_for_work()
    assert (server.folder / "log").read_text().count("automatic recovery in progress") == recoveries + 3


def test_connections_that_are_cut_are_made_anew(tmp_path: Path, zygote: Zygote, server: PostgresServer) -> None:
    with (
        services(tmp_path, zygote, server) as serving,
        psycopg.connect(server.dsn, autocommit=True) as connection,
    ):
        presences = 0
        worker = lock_class("worker", serving.database.schema) % 2**32
        present = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s::bigint::oid"
        end = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
        for _ in range(10):
            serving.busy(0.05)
            held = {pid for (pid,) in connection.execute(present, (worker,)).fetchall()}
            ended = dict(connection.execute(end, (f"{serving.database.schema}-%",)).fetchall())
            assert all(ended.values())
            presences += len(held & ended.keys())
            serving.wait_for_work()
        assert presences >= WORKERS, "too few of the connections were those by which workers are present"


def lock_and_look(serving: Services, *, seconds: float) -> int:
    """Hold the table of the tasks as a careless person may; how many sessions waited for it at the end."""
    with psycopg.connect(serving.server.dsn) as connection:
        connection.execute(f"LOCK TABLE {serving.database.schema}.task IN ACCESS EXCLUSIVE MODE".encode())
        serving.busy(seconds)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event_type = 'Lock'"
        rows = connection.execute(waiting, (f"{serving.database.schema}-%",)).fetchall()
        connection.rollback()
    return int(rows[0][0])


def test_a_lock_that_somebody_holds_is_waited_for(tmp_path: Path, zygote: Zygote, server: PostgresServer) -> None:
    # Longer than the leases: they end while nobody can extend them.
    with services(tmp_path, zygote, server, lease=1.0) as serving:
        assert lock_and_look(serving, seconds=2.0) >= WORKERS
    assert serving.marks("refused") == []


@pytest.mark.parametrize(
    ("seconds", "timeout"),
    [(1.0, "200ms"), pytest.param(75.0, None, marks=[pytest.mark.long, pytest.mark.timeout(300)])],
)
def test_a_lock_that_is_held_too_long_ends_the_run_and_the_next_one_completes(
    tmp_path: Path, zygote: Zygote, server: PostgresServer, seconds: float, timeout: str | None
) -> None:
    with services(tmp_path, zygote, server, lease=2.0, lock_timeout=timeout) as serving:
        assert lock_and_look(serving, seconds=seconds) >= 1
    refused = serving.marks("refused")
    assert refused, "the fault has struck"
    assert all("is locked by another program: end the program that holds it" in mark.detail for mark in refused)


def test_a_host_whose_clock_jumps_by_a_day_loses_no_lease(
    tmp_path: Path, zygote: Zygote, server: PostgresServer
) -> None:
    with services(tmp_path, zygote, server, lease=60.0, jumping=True) as serving:
        for _ in range(10):
            serving.wait_for_work()
    assert len(serving.marks("jumped")) >= 20, "the fault has struck"
    assert not any(look(tmp_path).crashes.values()), "nobody has died, and nobody was taken for dead"
