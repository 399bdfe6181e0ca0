"""A pooler that hands out connections for each transaction is refused; one in session mode is none of our business."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.stores.postgres import PostgresStores

SETTINGS = """
[databases]
postgres = host={server} dbname=postgres user=tester
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = 6432
auth_type = any
pool_mode = {mode}
logfile = {folder}/log
default_pool_size = 10
"""


@contextmanager
def pooler(server: PostgresServer, mode: str) -> Iterator[str]:
    """A pgbouncer before the server; its connection string."""
    folder = Path(tempfile.mkdtemp(prefix="mwt-pool-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    settings = folder / "pgbouncer.ini"
    settings.write_text(SETTINGS.format(server=server.folder, folder=folder, mode=mode), encoding="utf-8")
    process = subprocess.Popen(["pgbouncer", "-q", settings], user=user, stdin=subprocess.DEVNULL, cwd="/")
    try:
        wait_until_it_listens(folder / ".s.PGSQL.6432", process)
        yield f"host={folder} port=6432 dbname=postgres user=tester"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def wait_until_it_listens(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1_000):
        assert process.poll() is None, "pgbouncer has ended"
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("pgbouncer does not listen")


@pytest.fixture(autouse=True)
def _installed() -> None:
    if shutil.which("pgbouncer") is None:
        pytest.skip("pgbouncer is not installed (Debian package pgbouncer)")


def test_a_transaction_pooler_is_refused(postgres: PostgresServer) -> None:
    with pooler(postgres, "transaction") as dsn, pytest.raises(ConfigurationError, match="transaction pooler"):
        PostgresStores(dsn, schema=postgres.new_schema())


def test_a_pooler_in_session_mode_will_do(postgres: PostgresServer) -> None:
    with pooler(postgres, "session") as dsn, PostgresStores(dsn, schema=postgres.new_schema()) as stores:
        assert stores.tasks.register_worker()
