"""The locks of after-upload actions on SQLite: a killed process holds none, and a folder that takes none is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks import SqliteStores
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore
from media_watch_tasks.testing.contracts.acting import ActingContract


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[SqliteTaskStore]:
    with SqliteStores(tmp_path / "watch.db") as stores:
        yield stores.tasks


@pytest.fixture
def owed(tasks: SqliteTaskStore) -> int:
    """A delivered task that owes its action."""
    (task_id,) = ActingContract.delivered(tasks)
    return task_id


def test_the_action_of_a_killed_process_is_free_at_once(tasks: SqliteTaskStore, owed: int, tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom media_watch_tasks import SqliteStores\n"
        "with SqliteStores(sys.argv[1]) as stores, stores.tasks.acting(int(sys.argv[2])) as mine:\n"
        "    print(mine, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "watch.db"), str(owed)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with tasks.acting(owed) as mine:
            assert not mine
        process.kill()
        process.wait()
    with tasks.acting(owed) as mine:
        assert mine


def test_a_folder_that_takes_no_lock_is_named(tasks: SqliteTaskStore, owed: int, tmp_path: Path) -> None:
    (tmp_path / "watch.db.actions").write_bytes(b"a file in its place")
    with pytest.raises(StoreError, match=r"watch\.db\.actions"), tasks.acting(owed):
        pytest.fail("it was allowed")
