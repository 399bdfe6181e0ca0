"""The command `mwt` on a PostgreSQL database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from tests.crash.crowd import wait_for
from tests.scale.postgres_server import PostgresServer

HANG_GUARD = 100


def _mwt(dsn: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "media_watch_tasks.cli", *map(str, arguments)],
        env={**os.environ, "MWT_DATABASE": dsn, "COLUMNS": "200", **environment},
        capture_output=True, text=True, check=False, timeout=HANG_GUARD,
    )  # fmt: skip


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """With nothing left of the tables that the command makes."""
    yield postgres
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS media_watch_tasks CASCADE")


def _url(server: PostgresServer, user: str) -> str:
    return f"postgresql://{user}@/postgres?{urlencode({'host': server.folder})}"


def test_a_route_runs_on_a_postgresql_database(server: PostgresServer, tmp_path: Path) -> None:
    source, inbox = tmp_path / "source", tmp_path / "inbox"
    for folder in (source, inbox):
        folder.mkdir()
    (source / "clip.mp4").write_bytes(b"clip")
    dsn = _url(server, "tester")
    done = _mwt(dsn, "run", source, inbox, "--all", "--settle", 0)
    assert (done.returncode, done.stderr) == (0, "")
    assert (inbox / "clip.mp4").read_bytes() == b"clip"
    assert "tasks: 1 success" in _mwt(dsn, "status").stdout
    refused = _mwt(dsn, "backup", tmp_path / "copy.db")
    assert refused.returncode == 2
    assert "pg_dump" in refused.stderr


@pytest.fixture
def guarded(server: PostgresServer) -> Iterator[str]:
    """The URL of a user whom the server asks for a password: `canary-word`."""
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'canary-word'")
        rules.write_text("local all guarded scram-sha-256\n" + before)
        connection.execute("SELECT pg_reload_conf()")
        yield _url(server, "guarded")
        rules.write_text(before)
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("REASSIGN OWNED BY guarded TO tester")
        connection.execute("DROP ROLE guarded")


def test_the_password_of_the_database_comes_from_the_environment_or_a_file(guarded: str, tmp_path: Path) -> None:
    known = tmp_path / "pgpass"
    known.write_text("*:*:*:guarded:canary-word\n")
    known.chmod(0o600)
    wait_for(lambda: _mwt(guarded, "status", PGPASSFILE=os.devnull).returncode == 2, what="the server to ask for it")
    for way in ({"PGPASSWORD": "canary-word"}, {"PGPASSFILE": str(known)}):
        done = _mwt(guarded, "status", **way)
        assert (done.returncode, done.stderr) == (0, "")
        assert "tasks: none" in done.stdout
