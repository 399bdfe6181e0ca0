"""A private PostgreSQL server in a folder of its own, run by a user without rights."""

from __future__ import annotations

import glob
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import psycopg

from media_watch_tasks.stores.postgres.gate import lock_class

__all__ = ["SESSIONS", "PostgresServer", "missing_program"]

# Debian keeps the programs of each version apart, and off the search path.
_DEBIAN = "/usr/lib/postgresql/*/bin"
_FAST = ("fsync=off", "full_page_writes=off")
_names = itertools.count(1)
_NAMES_OF_WRITERS = ("walwriter", "background writer", "checkpointer")
_WRITERS = f"SELECT pid FROM pg_stat_activity WHERE backend_type IN {_NAMES_OF_WRITERS}"
_SESSION = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
_HANG_GUARD = 60
SESSIONS = "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s::bigint::oid"


def _program(name: str) -> str | None:
    folders = sorted(glob.glob(_DEBIAN), key=lambda folder: int(folder.split("/")[-2]), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))


def missing_program() -> str | None:
    """The program that is missing, if any."""
    return next((name for name in ("initdb", "pg_ctl") if _program(name) is None), None)


class PostgresServer:
    """The server; its folder goes with it. `durable`: with fsync, as a power cut would need it."""

    of_this_process: ClassVar[PostgresServer | None] = None
    """The one that the fixture `postgres` has started."""

    def __init__(self, *, durable: bool = False, settings: tuple[str, ...] = ()) -> None:
        # The path of a socket is at most 107 bytes long: no folder of pytest's.
        self.folder = Path(tempfile.mkdtemp(prefix="mwt-pg-"))
        self.data = self.folder / "data"
        self._settings = (*(() if durable else _FAST), "max_connections=200", *settings)
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "postgres" if _is_user("postgres") else "nobody"
            shutil.chown(self.folder, self._user)
        self._as_user("initdb", "-D", str(self.data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.start()

    @property
    def dsn(self) -> str:
        """Through a socket in the folder."""
        return f"host={self.folder} dbname=postgres user=tester"

    def new_schema(self) -> str:
        """A name that was not used before."""
        return f"t{os.getpid()}_{next(_names)}"

    def sessions(self, schema: str) -> int:
        """How many connections of the stores in this schema the server has: those that hold a worker's lock."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return _sessions(connection, schema)

    def wait_for_sessions(self, schema: str, count: int) -> None:
        """Wait until no more workers than these are present: a moment after the connections of others have ended."""
        until = time.monotonic() + _HANG_GUARD
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while _sessions(connection, schema) > count:
                assert time.monotonic() < until, f"more than {count} workers are present"
                time.sleep(0.002)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = " ".join(f"-c {setting}" for setting in self._settings)
        options = f"-c listen_addresses= -k {self.folder} {settings}"
        self._as_user("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate`: as a crash does."""
        self._as_user("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def kill(self) -> None:
        """SIGKILL to the server and all of its processes, as the loss of its machine."""
        postmaster = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        pids = [postmaster, *map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split())]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + _HANG_GUARD
        while any(map(_is_alive, pids)):
            assert time.monotonic() < until, "the server does not die"
            time.sleep(0.005)
        # Where nobody collects the exit code of an orphan, its number stays taken, and the next start would believe it.
        for lock in (self.data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*.lock")):
            lock.unlink()

    def crash(self) -> None:
        """SIGKILL to one of its sessions, as a lack of memory does: it ends all others, recovers, and is back."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            until = time.monotonic() + _HANG_GUARD
            while True:
                with suppress(psycopg.Error), psycopg.connect(self.dsn, autocommit=True) as again:
                    # Until it has noticed, it would still take new sessions.
                    if again.execute(_SESSION, (connection.info.backend_pid,)).fetchall() == []:
                        return
                assert time.monotonic() < until, "the server does not come back"
                time.sleep(0.01)

    @contextmanager
    def power_cut(self) -> Iterator[None]:
        """The power fails at the end of the block; what was not synced in it is forgotten. Then the server is back."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            rows = connection.execute(_WRITERS).fetchall()
        assert len(rows) == len(_NAMES_OF_WRITERS)
        for (pid,) in rows:
            # They write what nobody waits for, at some time: not before the end.
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            self.kill()
            self.start()

    def close(self) -> None:
        """Stop it and remove the folder."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _as_user(self, name: str, *arguments: str) -> None:
        program = _program(name)
        assert program is not None, f"{name} is not installed"
        done = subprocess.run(
            [program, *arguments],
            user=self._user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            # Files, for the server would keep a pipe open.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{name} {' '.join(arguments)} ended with {done.returncode}"


def _sessions(connection: psycopg.Connection[Any], schema: str) -> int:
    rows = connection.execute(SESSIONS, (lock_class("worker", schema) % 2**32,)).fetchall()
    return int(rows[0][0])


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
