"""A source on a real mount, which a test takes away, replaces or renumbers while files are queued or being sent."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.abc import UploadContext
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.events import AssetMissing, Event
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.uploaders import DirectoryUploader


class Mounts:
    """File systems of the test, unmounted at its end, whatever happened."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []

    def mount(self, where: Path, *arguments: str) -> None:
        where.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", *arguments, os.fspath(where)], check=True, capture_output=True, timeout=60)
        self._mounted.append(where)

    def new_disk(self, where: Path, size: str = "32m") -> None:
        self.mount(where, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def unmount(self, where: Path) -> None:
        subprocess.run(["umount", "--lazy", os.fspath(where)], check=True, capture_output=True, timeout=60)
        self._mounted.remove(where)

    def close(self) -> None:
        while self._mounted:
            self.unmount(self._mounted[-1])


class Interrupted(DirectoryUploader):
    """Does something once, when the first file has been opened and before anything of it is delivered."""

    meanwhile: Callable[[], None] | None = None

    @property
    def destination_id(self) -> str:
        return "archive"

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            with media.open() as body:
                body.read(1)
                act()
        return super().upload(media, context)


class LooksAway(LocalMediaScanner):
    """Does something once, between two pages of a scan."""

    meanwhile: Callable[[], None] | None = None

    def scan_assets(self, **arguments: Any) -> Iterator[ScanPage]:
        for number, page in enumerate(super().scan_assets(**arguments)):
            act = self.meanwhile
            if number == 3 and act is not None:
                self.meanwhile = None
                act()
            yield page


class Nas:
    """A share that is mounted at `root`, and an archive for its files. `disk` is what stands behind the share."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.mounts = Mounts()
        stack.callback(self.mounts.close)
        self.stack = stack
        self.clock = FakeClock()
        self.disk, self.root, self.archive = folder / "disk", folder / "nas", folder / "archive"
        self.archive.mkdir()
        self.mounts.new_disk(self.disk)
        self.plug_in()
        self.events: list[Event] = []
        self.stores = stack.enter_context(SqliteStores(folder / "watch.db", clock=self.clock))
        self.uploader = Interrupted(self.archive)
        self.scanner = LooksAway(self.root)
        self.manager = self.start()

    def plug_in(self) -> None:
        self.mounts.mount(self.root, "--bind", os.fspath(self.disk))

    def unplug(self) -> None:
        self.mounts.unmount(self.root)

    def start(self) -> TaskManager:
        """As a process that starts: nothing is remembered but what stands in the database."""
        manager = TaskManager(
            media_scanner=self.scanner,
            media_resolver=LocalMediaResolver(self.root),
            media_state_store=self.stores.media_state,
            task_store=self.stores.tasks,
            uploader=self.uploader,
            options=TaskManagerOptions(settle_for=timedelta(0), workers=1),
            clock=self.clock,
        )
        manager.subscribe(self.events.append)
        self.stack.enter_context(manager)
        manager.initialize_baseline()
        return manager

    def write(self, *names: str) -> None:
        for name in names:
            path = self.disk / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode() * 1_000)

    def work(self, *, hours: float = 0) -> Any:
        """Scan and deliver, after so many hours; the report of the scan."""
        self.clock.advance(timedelta(hours=hours, seconds=30))
        report = self.manager.scan_and_enqueue_new()
        self.manager.process()
        return report

    def delivered(self) -> set[str]:
        paths = (path for path in self.archive.rglob("*.mov") if path.is_file())
        names = {path.relative_to(self.archive).as_posix(): path for path in paths}
        for name, path in names.items():
            assert path.read_bytes() == name.encode() * 1_000, f"{name} arrived damaged"
        return set(names)

    def false_deletions(self) -> list[str]:
        """What was called missing, and tasks that were ended for it; but for the file of somebody else."""
        missing = [event.asset_id.decode() for event in self.events if isinstance(event, AssetMissing)]
        ended = self.manager.tasks(states={TaskState.CANCELLED, TaskState.DEAD}, limit=1_000)
        return [name for name in [*missing, *(task.display for task in ended)] if "somebody else" not in name]


@pytest.fixture
def nas(tmp_path: Path) -> Iterator[Nas]:
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("file systems can be mounted by root alone: run as root")
    with ExitStack() as stack:
        yield Nas(tmp_path, stack)
