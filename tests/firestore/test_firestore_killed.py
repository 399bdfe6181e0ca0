"""A sync that is killed at any moment: the next one ends with a catalog equal to the database."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import firestore

from media_watch_tasks import SqliteStores
from media_watch_tasks.firestore import CatalogMapping, FirestoreCatalogSync

Place = Any
GrpcProxy = Any
HANG_GUARD = 60.0
PROGRAM = Path(__file__).with_name("synced_until_killed.py")
FILES = 2_000


def killing(process: subprocess.Popen[str], *, at: int, after: float) -> Callable[[bytes], None]:
    """Kills it so many seconds after its n-th commit has come, which is still on its way then."""
    numbers = itertools.count(1)

    def look(_request: bytes) -> None:
        if next(numbers) == at:
            time.sleep(after)
            process.kill()

    return look


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.long)])
def test_after_a_kill_the_next_sync_ends_with_an_equal_catalog(
    *,
    client: firestore.Client,
    project: str,
    grpc_proxy: GrpcProxy,
    stores: SqliteStores,
    place: Place,
    tmp_path: Path,
    kills: int,
) -> None:
    draw = random.Random(kills)
    environment = {**os.environ, "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{grpc_proxy.port}"}
    sync = FirestoreCatalogSync(client, stores, mapping=CatalogMapping("{catalog}/{series}"), ramp=None)
    for number in range(kills):
        place.put(*(f"WSOP/WSOP {at % 7}/{at}.mp4" for at in range(FILES)), version=number + 1)
        place.move(f"WSOP/WSOP {number % 7}/{number}.mp4", f"EPT/{number}/moved.mp4")
        place.lose(f"WSOP/WSOP {(number + 500) % 7}/{number + 500}.mp4")
        with subprocess.Popen(
            [sys.executable, str(PROGRAM), str(tmp_path / "watch.db"), project],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            grpc_proxy.on_commit = killing(process, at=draw.randrange(1, 4), after=draw.uniform(0, 0.05))
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
            assert process.wait(HANG_GUARD) == -9, "it was killed in the middle of its work"
        grpc_proxy.on_commit = None
        report = sync.sync_incremental()
        assert report.refused == ()
        found = sync.verify()
        assert found.equal, found
        assert client.document("catalogs/EPT").get().get("series") == number + 1
