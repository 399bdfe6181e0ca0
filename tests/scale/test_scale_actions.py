"""After-upload actions where several hosts see one place: what a host that died owes is done by another, once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, TaskManager
from media_watch_tasks.actions import DeleteSource
from media_watch_tasks.errors import AssetNotFound
from media_watch_tasks.model.events import ActionDone, Event
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.stores.postgres.stores import PostgresStores

ROOT = Path(__file__).parents[2]
_HANGS_AFTER = 60
VICTIM = """
import json, os, signal, sys
from tests.scale.test_scale_actions import LocalMediaResolver, PostgresStores, manager_of

told = json.loads(sys.argv[1])
step = getattr(LocalMediaResolver, told["step"])

def dies(resolver, *arguments, **named):
    if told["after"]:
        step(resolver, *arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(LocalMediaResolver, told["step"], dies)
with PostgresStores(told["dsn"], schema=told["schema"]) as stores, manager_of(stores, told["folder"]) as manager:
    manager.process()
"""


def manager_of(stores: PostgresStores, folder: str) -> TaskManager:
    """A manager that deletes what it has delivered, on any host that sees the folder."""
    return TaskManager(
        media_scanner=LocalMediaScanner(Path(folder) / "nas", source_id="nas"),
        media_resolver=LocalMediaResolver(Path(folder) / "nas", source_id="nas"),
        media_state_store=stores.media_state,
        task_store=stores.tasks,
        uploader=DirectoryUploader(Path(folder) / "archive", destination_id="archive", fsync=False),
        options=TaskManagerOptions(
            settle_for=timedelta(0),
            first_scan="enqueue",
            after_upload=DeleteSource(),
            act_on_unverified=True,
            workers=2,
        ),
    )


class Hosts:
    """A folder that all hosts see, and the stores that they share."""

    def __init__(self, server: PostgresServer, folder: Path, stack: ExitStack) -> None:
        self.server, self.folder, self.stack = server, folder, stack
        self.schema = server.new_schema()
        self.events: list[Event] = []
        (folder / "nas").mkdir()
        (folder / "archive").mkdir()

    def open(self) -> tuple[PostgresStores, TaskManager]:
        """Another host."""
        stores = self.stack.enter_context(PostgresStores(self.server.dsn, schema=self.schema))
        manager = self.stack.enter_context(manager_of(stores, str(self.folder)))
        manager.subscribe(self.events.append)
        return stores, manager

    def die_at(self, step: str, *, after: bool) -> None:
        """A host that delivers, and dies at a step of its action."""
        told = {
            "dsn": self.server.dsn, "schema": self.schema, "folder": str(self.folder), "step": step, "after": after,
        }  # fmt: skip
        command = [sys.executable, "-c", VICTIM, json.dumps(told)]
        dead = subprocess.run(command, cwd=ROOT, check=False, timeout=_HANGS_AFTER)
        assert dead.returncode == -signal.SIGKILL, "the fault has struck"

    def files(self, top: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / top).iterdir() if path.is_file()}

    def done(self) -> list[tuple[bytes, str | None]]:
        return [(event.task.asset_id, event.error) for event in self.events if isinstance(event, ActionDone)]


@pytest.fixture
def hosts(postgres: PostgresServer, tmp_path: Path) -> Iterator[Hosts]:
    with ExitStack() as stack:
        yield Hosts(postgres, tmp_path, stack)


@pytest.mark.parametrize(
    ("step", "after"),
    [("set_aside", False), ("set_aside", True), ("remove", False), ("remove", True)],
    ids=["before the rename", "after the rename", "before the deletion", "after the deletion"],
)
def test_the_action_of_a_host_that_died_is_done_by_another(hosts: Hosts, step: str, *, after: bool) -> None:
    stores, survivor = hosts.open()
    (hosts.folder / "nas" / "clip.mov").write_bytes(b"footage")
    survivor.scan_and_enqueue_new()
    hosts.die_at(step, after=after)
    assert hosts.files("archive") == {"clip.mov": b"footage"}
    assert len(stores.tasks.pending_actions(survivor._core.destinations.routes)) == 1
    report = survivor.process()
    assert (report.taken, report.succeeded) == (0, 0), "it is delivered: nothing is sent again"
    assert hosts.files("nas") == {}, "the file is gone, under its own name and any other"
    gone = "the file was gone already"
    assert hosts.done() == [(b"clip.mov", gone if (step, after) == ("remove", True) else None)]
    assert not stores.tasks.pending_actions(survivor._core.destinations.routes)
    survivor.process()
    assert len(hosts.done()) == 1, "once"
    scan = survivor.scan_and_enqueue_new()
    assert (scan.missing, scan.enqueued, scan.quarantine) == (0, 0, None)


@pytest.mark.parametrize("renamed", [False, True], ids=["before the rename", "after the rename"])
def test_a_file_that_changed_since_is_kept_and_sent(hosts: Hosts, *, renamed: bool) -> None:
    _, survivor = hosts.open()
    clip = hosts.folder / "nas" / "clip.mov"
    clip.write_bytes(b"footage")
    survivor.scan_and_enqueue_new()
    hosts.die_at("set_aside", after=renamed)
    clip.write_bytes(b"a longer take")
    survivor.process()
    if renamed:
        assert hosts.files("nas") == {"clip.mov": b"a longer take"}, "what was delivered is deleted, what is new stays"
        survivor.scan_and_enqueue_new()
        survivor.process()
    else:
        assert hosts.done()[0] == (b"clip.mov", "the file is another version by now, which is queued")
    assert b"a longer take" in hosts.files("archive").values(), "sent before it was deleted"
    survivor.process()
    assert hosts.files("nas") == {}


def test_an_action_that_another_host_is_at_is_left_to_it(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    stores, one = hosts.open()
    _, two = hosts.open()
    (hosts.folder / "nas" / "clip.mov").write_bytes(b"footage")
    one.scan_and_enqueue_new()
    hosts.die_at("set_aside", after=False)
    set_aside, late = LocalMediaResolver.set_aside, []

    def another_was_quicker(resolver: LocalMediaResolver, *arguments: Any, **named: Any) -> None:
        set_aside(resolver, *arguments, **named)
        late.append(True)
        raise AssetNotFound("another host has renamed it since")

    with monkeypatch.context() as patch:
        patch.setattr(LocalMediaResolver, "set_aside", another_was_quicker)
        one.process()
    assert late, "the fault has struck"
    assert hosts.done() == []
    assert len(stores.tasks.pending_actions(one._core.destinations.routes)) == 1, "still owed: the other one may die"
    two.process()
    assert hosts.files("nas") == {}
    assert hosts.done() == [(b"clip.mov", None)]


def test_hosts_that_deliver_and_delete_at_once_lose_nothing(hosts: Hosts) -> None:
    names = {f"{number:02}.mov": b"%d" % number * 100 for number in range(40)}
    opened = [hosts.open() for _ in range(3)]
    for name, data in names.items():
        (hosts.folder / "nas" / name).write_bytes(data)
    opened[0][1].scan_and_enqueue_new()
    errors: list[BaseException] = []

    def work(manager: TaskManager) -> None:
        try:
            while any(manager.counts()[state] for state in TaskState if state.is_live) or hosts.files("nas"):
                manager.process(limit=3)
        except BaseException as error:  # noqa: BLE001 - shown below, by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(manager,)) for _, manager in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_HANGS_AFTER)
    assert errors == []
    assert hosts.files("archive") == names
    assert hosts.files("nas") == {}
    assert opened[0][1].counts()[TaskState.SUCCESS] == len(names)
    assert Counter(asset_id for asset_id, _ in hosts.done()) == dict.fromkeys(map(str.encode, names), 1), "each once"
    assert not opened[0][0].tasks.pending_actions(opened[0][1]._core.destinations.routes)
