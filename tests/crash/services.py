"""What processes run that nobody kills: the database is taken from them, and they go on when it is back."""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.crash.databases import Stores, database_of
from tests.crash.programs import Afterwards, hold_at, options, set_up, stores_and_manager

from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, TaskManager
from media_watch_tasks.abc.uploader import UploadContext, Uploader
from media_watch_tasks.errors import StoreError, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import connection
from media_watch_tasks.uploaders.wrappers import Wrapper

__all__ = ["serve", "soak", "wait_and_go_on"]

DAY_NS = 86_400 * 1_000_000_000


def serve(
    *,
    folder: str,
    role: str,
    afterwards: Afterwards = "keep",
    lease: float = 600.0,
    lock_timeout: str | None = None,
    jumping: bool = False,
) -> None:
    """Scan or deliver until the file `stop` is there. A run that ends by an error of the store is followed by another.

    Args:
        folder: where everything stands.
        role: `scan` or `process`.
        afterwards: what becomes of delivered files.
        lease: seconds for which tasks and the source are held.
        lock_timeout: how long the server lets a statement wait for a lock; None: as the stores have it.
        jumping: the wall clock of this machine is set a day ahead and back again, all the time.
    """
    marks = set_up(folder)
    if lock_timeout is not None:
        ours = connection._SETTINGS.replace("lock_timeout TO '60s'", f"lock_timeout TO '{lock_timeout}'")
        assert ours != connection._SETTINGS
        connection._SETTINGS = ours
    real = time.time_ns
    jumps = 0
    if jumping:
        time.time_ns = lambda: real() + (0, DAY_NS, 0, -DAY_NS)[jumps % 4]
    stop = Path(folder) / "stop"
    with stores_and_manager(folder, afterwards, lease=timedelta(seconds=lease)) as (_, manager):
        while not stop.exists():
            try:
                manager.scan_and_enqueue_new() if role == "scan" else manager.process()
            except StoreError as error:
                marks.write("=", "refused", str(error).replace("\n", " "))
            jumps += 1
            if jumping:
                marks.write("=", "jumped")
            time.sleep(0.005)


def wait_and_go_on(*, folder: str, at: str, lease: float, scan: bool) -> None:
    """Scan, or deliver what is eligible; at one of `STOPS` wait until the file `go on` is there."""
    marks = set_up(folder)
    go_on = Path(folder) / "go on"

    def wait() -> None:
        marks.write("=", "waiting")
        while not go_on.exists():
            time.sleep(0.005)
        marks.write("=", "resumed")

    never = hold_at(at, wait)
    with stores_and_manager(folder, "keep", lease=timedelta(seconds=lease), workers=1) as (_, manager):
        report: Any = manager.scan_and_enqueue_new() if scan else manager.process()
    sys.stderr.write(f"{report}\n")
    assert not never(), "it never waited"


class Flaky(Wrapper):
    """Fails now and then, before the file is delivered or after it; each failure adds a byte to a file."""

    def __init__(self, inner: Uploader, failed: Path, seed: int) -> None:
        super().__init__(inner)
        self._failed = os.open(failed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._draw = random.Random(seed)

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        drawn = self._draw.random()
        if drawn < 0.01:
            self._fail("the destination did not take it")
        receipt = self.inner.upload(media, context)
        if drawn < 0.02:
            self._fail("the answer was lost")
        return receipt

    def _fail(self, why: str) -> None:
        os.write(self._failed, b"!")
        raise TransientError(why)


def soak(*, folder: str, role: str, seed: int) -> None:
    """Scan or deliver until the file `stop` is there, without a trace and without fsync at the destination."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(process)d %(name)s %(message)s")
    place = Path(folder)
    inner = DirectoryUploader(place / "backup", fsync=False)
    with (
        _opened(place) as stores,
        TaskManager(
            media_scanner=LocalMediaScanner(place / "source"),
            media_resolver=LocalMediaResolver(place / "source"),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=Flaky(inner, place / "failed", seed),
            options=options("keep", lease=timedelta(seconds=5)),
        ) as manager,
    ):
        while not (place / "stop").exists():
            try:
                manager.scan_and_enqueue_new() if role == "scan" else manager.process()
            except StoreError:
                logging.getLogger(__name__).exception("the run has ended, another one follows")
            time.sleep(0.05)


def _opened(place: Path) -> Stores:
    """The stores. Where a connection is cut while they are opened, whoever has started the program tries again."""
    while True:
        try:
            return database_of(place).open()
        except StoreError:
            logging.getLogger(__name__).exception("not opened, tried again")
            time.sleep(0.1)
