"""A whole manager over a real Samba: from the baseline to the after-upload action, and through what a NAS does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import smbclient

from media_watch_tasks import SqliteStores
from media_watch_tasks.abc import UploadContext
from media_watch_tasks.actions import DeleteSource, MoveSource
from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.events import ActionDone, AssetMissing
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.probe import AvProber, ProbingResolver
from media_watch_tasks.smb import SmbMediaResolver, SmbMediaScanner
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.uploaders import DirectoryUploader

Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

MIB = 1 << 20


class Destination(DirectoryUploader):
    """A folder; `during` is called once, when the first MiB of a file has been read."""

    during: Any = None

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        during, self.during = self.during, None
        if during is not None:
            with media.open() as stream:
                stream.read(MIB)
                during()
                stream.read()
        return super().upload(media, context)


class Rig:
    """A share with a manager that delivers it to a folder; time stands still until it is moved."""

    def __init__(self, server: Any, folder: Path, stack: ExitStack) -> None:
        self.server, self.stack, self.clock = server, stack, FakeClock()
        self.root = server.share / "films"
        self.root.mkdir()
        self.delivered = folder / "delivered"
        self.delivered.mkdir()
        self.connection = stack.enter_context(server.connect(clock=FakeClock(), timeout=20))
        self.stores = stack.enter_context(SqliteStores(folder / "watch.db", clock=self.clock))
        self.destination = Destination(self.delivered)
        self.events: list[Any] = []

    def watching(self, *, resolver: Any = None, **options: Any) -> TaskManager:
        manager = TaskManager(
            media_scanner=SmbMediaScanner(self.connection, "films"),
            media_resolver=resolver or SmbMediaResolver(self.connection, "films"),
            media_state_store=self.stores.media_state,
            task_store=self.stores.tasks,
            uploader=self.destination,
            options=TaskManagerOptions(**options),
            clock=self.clock,
        )
        manager.subscribe(self.events.append)
        self.stack.enter_context(manager)
        manager.initialize_baseline()
        return manager

    def put(self, path: str, content: bytes = b"footage") -> Path:
        target: Path = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def settle(self, seconds: float = 60) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def deliver(self, manager: TaskManager) -> None:
        report = manager.scan_and_enqueue_new()
        assert (report.complete, report.error) == (True, None)
        self.settle()
        manager.process()

    def there(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.delivered)): path.read_bytes()
            for path in self.delivered.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }

    def heard(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def rig(server: Server, tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(server, tmp_path, stack)


class Writer:
    """Another SMB client that has a file open for writing."""

    def __init__(self, server: Any, path: str) -> None:
        self._cache: dict[str, Any] = {}
        self._options = {"username": "mediatest", "password": "Secr3t!-do-not-show", "port": server.port}
        self._path = rf"\\127.0.0.1\media\{path}"

    def __enter__(self) -> Self:
        self.file = smbclient.open_file(
            self._path, mode="ab", share_access="rwd", connection_cache=self._cache, **self._options
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        self.file.close()
        smbclient.reset_connection_cache(connection_cache=self._cache)


def test_the_old_is_known_and_the_new_is_delivered_once(rig: Rig) -> None:
    rig.put("old/a.mp4")
    manager = rig.watching()
    rig.put("2026/한국어.mp4", b"one" * MIB)
    rig.put("2026/b.mov", b"two")
    rig.deliver(manager)
    assert rig.there() == {"2026/한국어.mp4": b"one" * MIB, "2026/b.mov": b"two"}
    rig.deliver(manager)
    assert manager.counts()[TaskState.SUCCESS] == 2
    # As programs save: beside it, and then in its place. The folder's time changes with that.
    rig.put("2026/new", b"another version").rename(rig.root / "2026" / "b.mov")
    rig.deliver(manager)
    assert b"another version" in rig.there().values()
    assert manager.counts()[TaskState.SUCCESS] == 3


def test_a_file_that_grows_waits_without_an_attempt_and_is_delivered_whole(rig: Rig) -> None:
    manager = rig.watching()
    path = rig.put("f.mp4", b"1" * 1_000)
    manager.scan_and_enqueue_new()
    for _ in range(3):
        with path.open("ab") as growing:
            growing.write(b"+" * 1_000)
        rig.settle()
        manager.process()
        [task] = manager.tasks(states=[TaskState.PENDING])
        assert task.attempts == 0
    assert rig.there() == {}
    rig.settle()
    manager.process()
    assert rig.there() == {"f.mp4": b"1" * 1_000 + b"+" * 3_000}


def test_a_file_that_a_client_has_open_is_snoozed_although_it_stands_still(rig: Rig) -> None:
    manager = rig.watching()
    rig.put("f.mp4", b"preallocated, and nobody knows how much of it is there")
    with Writer(rig.server, r"films\f.mp4"):
        manager.scan_and_enqueue_new()
        for _ in range(3):
            rig.settle()
            manager.process()
            [task] = manager.tasks()
            assert (task.state, task.attempts) == (TaskState.PENDING, 0)
        assert rig.there() == {}
    rig.settle()
    manager.process()
    assert set(rig.there()) == {"f.mp4"}


def test_a_server_stopped_in_mid_upload_pauses_the_source_and_costs_no_attempt(rig: Rig) -> None:
    manager = rig.watching()
    content = bytes(range(256)) * 400_000
    rig.put("large.mp4", content)
    rig.put("other.mp4")
    rig.destination.during = rig.server.kill
    rig.deliver(manager)
    tasks = {task.asset_id: task for task in manager.tasks()}
    assert {(task.state, task.attempts) for task in tasks.values()} == {(TaskState.PENDING, 0)}
    [source] = manager.sources()
    assert source.pauses
    # Offline is not empty: the scan ends early, and nothing is missing.
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.missing) == (False, 0)
    assert report.error is not None
    assert rig.there() == {}
    rig.server.start()
    rig.settle(3_600)
    manager.process()
    assert rig.there() == {"large.mp4": content, "other.mp4": b"footage"}
    assert {task.attempts for task in manager.tasks()} == {1}
    assert rig.heard(AssetMissing) == []


def test_a_share_that_was_emptied_is_quarantined_and_nothing_is_missing(rig: Rig) -> None:
    manager = rig.watching()
    for number in range(30):
        rig.put(f"{number % 3}/{number:02d}.mp4", b"%d" % number)
    rig.deliver(manager)
    aside = rig.server.root / "kept"
    shutil.copytree(rig.root, aside, copy_function=shutil.copy2)
    for folder in rig.root.iterdir():
        shutil.rmtree(folder)
    for _ in range(3):
        report = manager.scan_and_enqueue_new()
        assert report.missing == 0
        assert report.quarantine is not None
    assert (manager.sources()[0].held_absences, manager.sources()[0].missing) == (30, 0)
    rig.put("new.mp4", b"new files still go")
    rig.deliver(manager)
    assert "new.mp4" in rig.there()
    shutil.copytree(aside, rig.root, dirs_exist_ok=True, copy_function=shutil.copy2)
    report = manager.scan_and_enqueue_new()
    assert (report.quarantine, report.enqueued, report.missing) == (None, 0, 0)
    assert rig.heard(AssetMissing) == []
    shutil.rmtree(aside)


def test_an_empty_folder_in_the_place_of_the_disk_is_another_root(rig: Rig) -> None:
    manager = rig.watching()
    for number in range(5):
        rig.put(f"{number:02d}.mp4", b"%d" % number)
    rig.deliver(manager)
    aside = rig.server.root / "unmounted"
    rig.root.rename(aside)
    rig.root.mkdir()
    report = manager.scan_and_enqueue_new()
    assert report.missing == 0
    assert report.quarantine is not None
    rig.root.rmdir()
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.missing) == (False, 0), "no folder at all is offline"
    aside.rename(rig.root)
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.missing, report.enqueued, report.quarantine) == (True, 0, 0, None)
    assert rig.heard(AssetMissing) == []


def test_a_delivered_file_is_deleted_from_the_share(rig: Rig) -> None:
    manager = rig.watching(after_upload=DeleteSource())
    rig.put("card/clip.mp4", b"footage")
    rig.deliver(manager)
    assert rig.there() == {"card/clip.mp4": b"footage"}
    assert [path.name for path in rig.root.rglob("*")] == ["card"]
    assert [(event.action, event.error) for event in rig.heard(ActionDone)] == [("delete", None)]
    report = manager.scan_and_enqueue_new()
    assert (report.missing, report.quarantine, rig.heard(AssetMissing)) == (0, None, [])


def test_a_delivered_file_is_moved_within_the_share(rig: Rig) -> None:
    manager = rig.watching(after_upload=MoveSource(".delivered"))
    for version in (b"one", b"two"):
        rig.put("card/clip.mp4", version)
        rig.deliver(manager)
    found = {str(path.relative_to(rig.root)): path.read_bytes() for path in rig.root.rglob("*.mp4")}
    assert found == {".delivered/card/clip.mp4": b"one", ".delivered/card/clip (1).mp4": b"two"}
    assert manager.scan_and_enqueue_new().new == 0


def test_a_file_that_somebody_opened_again_is_kept_until_it_is_closed(rig: Rig) -> None:
    manager = rig.watching(after_upload=DeleteSource())
    path = rig.put("clip.mp4", b"footage")
    manager.scan_and_enqueue_new()
    rig.settle()
    take = rig.destination.upload
    writers: list[Writer] = []

    def upload(media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        receipt = take(media, context)
        writers.append(Writer(rig.server, r"films\clip.mp4").__enter__())
        return receipt

    rig.destination.upload = upload  # type: ignore[method-assign] # for the next delivery
    manager.process()
    assert path.exists()
    assert rig.heard(ActionDone) == []
    writers[0].__exit__()
    manager.process()
    assert not path.exists()
    assert [event.error for event in rig.heard(ActionDone)] == [None]


def test_what_is_found_on_the_share_is_described_on_its_way(rig: Rig) -> None:
    with AvProber(workers=1) as prober:
        manager = rig.watching(resolver=ProbingResolver(SmbMediaResolver(rig.connection, "films"), prober))
        rig.put("f.mp4", b"no film")
        rig.deliver(manager)
    assert set(rig.there()) == {"f.mp4"}
    [state] = rig.stores.media_state.assets(manager.tasks()[0].source_id, [b"f.mp4"])
    assert state is not None
    assert state.metadata is not None
    assert state.metadata.error is not None
