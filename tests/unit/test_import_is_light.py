"""What works in a part is loaded when the part is made: a program that only names the classes does not pay for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import media_watch_tasks
assert {engine!r} not in sys.modules, "loaded at import"
{made}
assert {engine!r} in sys.modules, "the name of the module is wrong"
"""
LOCAL_MANAGER = """
from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager
with SqliteStores(sys.argv[1] + "/watch.db") as stores:
    TaskManager(
        media_scanner=LocalMediaScanner("/source"), media_resolver=LocalMediaResolver("/source"),
        media_state_store=stores.media_state, task_store=stores.tasks, uploader=DirectoryUploader(sys.argv[1]),
    ).close()
"""
BAD_CONNECTION = """
try:
    media_watch_tasks.PostgresStores("this is no connection string")
except (media_watch_tasks.ConfigurationError, media_watch_tasks.MissingDependencyError):
    pass
"""


@pytest.mark.parametrize(
    ("engine", "made"),
    [
        ("media_watch_tasks.manager.core", LOCAL_MANAGER),
        ("media_watch_tasks.model.reports", LOCAL_MANAGER),
        ("media_watch_tasks.model.events", LOCAL_MANAGER),
        ("media_watch_tasks.stores.sqlite.database", LOCAL_MANAGER),
        ("media_watch_tasks.stores.postgres.database", BAD_CONNECTION),
    ],
)
def test_an_engine_is_loaded_by_the_constructor(
    engine: str, made: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = PROGRAM.format(engine=engine, made=made)
    folder = str(tmp_path_factory.mktemp("place"))
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
