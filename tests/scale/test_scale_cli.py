"""The command `mwt` on a PostgreSQL database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

HANG_GUARD = 100


def _mwt(dsn: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "media_watch_tasks.cli", *map(str, arguments)],
        env={**os.environ, "MWT_DATABASE": dsn, "COLUMNS": "200"},
        capture_output=True, text=True, check=False, timeout=HANG_GUARD,
    )  # fmt: skip


def test_a_route_runs_on_a_postgresql_database(postgres: Any, tmp_path: Path) -> None:
    source, inbox = tmp_path / "source", tmp_path / "inbox"
    for folder in (source, inbox):
        folder.mkdir()
    (source / "clip.mp4").write_bytes(b"clip")
    parts = conninfo_to_dict(postgres.dsn)
    dsn = f"postgresql://{parts.pop('user')}@/{parts.pop('dbname')}?{urlencode(parts)}"
    try:
        done = _mwt(dsn, "run", source, inbox, "--all", "--settle", 0)
        assert (done.returncode, done.stderr) == (0, "")
        assert (inbox / "clip.mp4").read_bytes() == b"clip"
        assert "tasks: 1 success" in _mwt(dsn, "status").stdout
        refused = _mwt(dsn, "backup", tmp_path / "copy.db")
        assert refused.returncode == 2
        assert "pg_dump" in refused.stderr
    finally:
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS media_watch_tasks CASCADE")
