"""Several scanners and workers as processes of their own, on one database: nothing is missed, nothing sent in vain."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_scanner_that_died import DIES_IN_THE_MIDDLE_OF_A_SCAN
from tests.scale.member import manager_of, open_stores
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks import DirectoryUploader, LocalMediaResolver, LocalMediaScanner, TaskManager
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.stores.postgres.stores import PostgresStores

ROOT = Path(__file__).parents[2]
_HANGS_AFTER = 240
pytestmark = pytest.mark.timeout(2 * _HANGS_AFTER)


class Cluster:
    """The processes, the share that they watch and the archive that they fill."""

    def __init__(self, folder: Path, database: dict[str, Any]) -> None:
        self.folder = folder
        self.told = {**database, "folder": str(folder)}
        self.members: list[subprocess.Popen[str]] = []
        for name in ("nas/a", "nas/b", "archive/a", "archive/b", "inside"):
            (folder / name).mkdir(parents=True)

    def start(self, role: str, subtree: str, **more: Any) -> subprocess.Popen[str]:
        told = json.dumps({**self.told, "role": role, "subtree": subtree, **more})
        command = [sys.executable, "-m", "tests.scale.member", told]
        member = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.members.append(member)
        return member

    def all_ready(self) -> None:
        for member in self.members:
            assert member.stdout is not None
            assert member.stdout.readline() == "ready\n"

    def write(self, subtree: str, name: str, data: bytes) -> None:
        path = self.folder / "nas" / subtree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def wait_for(self, done: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + _HANGS_AFTER
        while not done():
            assert time.monotonic() < limit, f"{what} did not come about; sent: {len(self.sent())}"
            for member in self.members:
                assert member.poll() in {None, -9}, "a member ended by itself"
            time.sleep(0.05)

    def stop(self) -> None:
        (self.folder / "stop").touch()
        for member in self.members:
            assert member.wait(_HANGS_AFTER) in {0, -9}

    def close(self) -> None:
        for member in self.members:
            if member.poll() is None:
                member.kill()
            member.wait()
            assert member.stdout is not None
            member.stdout.close()

    def sent(self) -> list[str]:
        log = self.folder / "sent"
        return log.read_text().splitlines() if log.exists() else []

    def most_at_once(self) -> int:
        return max(int(line) for line in (self.folder / "most").read_text().splitlines())

    def files(self, top: str) -> dict[str, bytes]:
        found = {}
        for path in (self.folder / top).rglob("*"):
            # Hidden: what a worker is about to write, or has left behind when it was killed.
            if path.is_file() and path.name[0] != ".":
                with suppress(FileNotFoundError):
                    found[str(path.relative_to(self.folder / top))] = path.read_bytes()
        return found

    def is_delivered(self) -> bool:
        return self.files("archive") == self.files("nas") and not any(
            count for state, count in self.counts().items() if state.is_live
        )

    def counts(self) -> Counter[TaskState]:
        with open_stores(self.told) as stores:
            return Counter(stores.tasks.counts())


@pytest.fixture(params=["postgres", "sqlite"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    database: dict[str, Any] = {"database": str(tmp_path / "watch.db")}
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        database = {"dsn": server.dsn, "schema": server.new_schema()}
    made = Cluster(tmp_path, database)
    try:
        yield made
    finally:
        made.close()


def test_scanners_and_workers_that_are_killed_lose_nothing_and_send_little_twice(cluster: Cluster) -> None:
    draw = random.Random(1)
    files = 0

    def more(count: int) -> None:
        nonlocal files
        for _ in range(count):
            subtree = draw.choice("ab")
            cluster.write(subtree, f"day {files % 7}/clip {files:04}.mov", draw.randbytes(200 + files))
            files += 1

    def overwrite(count: int) -> int:
        known = sorted(cluster.files("nas"))
        for name in draw.sample(known, count):
            cluster.write(name[0], name[2:], draw.randbytes(5_000 + draw.randrange(1_000)))
        return count

    more(80)
    roles = [(role, subtree) for role in ("scan", "work", "work") for subtree in "ab"]
    for role, subtree in roles:
        cluster.start(role, subtree, lease=2)
    cluster.all_ready()
    killed = changed = 0
    for victim in (0, 2, 1, 5):
        more(40)
        changed += overwrite(20)
        sent = len(cluster.sent())
        cluster.wait_for(lambda sent=sent: len(cluster.sent()) >= sent + 8, "some uploads")  # type: ignore[misc]
        cluster.members[victim].kill()
        killed += 1
        cluster.start(*roles[victim], lease=2)
    cluster.wait_for(cluster.is_delivered, "delivery of all")
    cluster.stop()
    assert cluster.files("archive") == cluster.files("nas")
    counts = cluster.counts()
    assert files <= counts[TaskState.SUCCESS] <= files + changed
    assert counts[TaskState.DEAD] == counts[TaskState.PENDING] == counts[TaskState.FAILED] == 0
    again = sum(count - 1 for count in Counter(cluster.sent()).values())
    # Three hands of a worker, each with one upload; one that found its file changed is followed by another.
    assert again <= 3 * killed + 2 * changed
    with open_stores(cluster.told) as stores:
        for subtree in "ab":
            with manager_of(cluster.told, stores, subtree) as manager:
                report = manager.scan_and_enqueue_new()
                assert (report.complete, report.new, report.changed, report.enqueued) == (True, 0, 0, 0)
                verified = manager.verify()
                assert (verified.good, verified.bad) == (len(cluster.files(f"nas/{subtree}")), ())
                assert manager.check().ok
                assert manager.health(max_age=timedelta(hours=1)).ok


def test_one_of_two_scanners_of_a_source_scans(cluster: Cluster) -> None:
    for number in range(60):
        cluster.write("a", f"{number}/clip.mov", b"%d" % number)
    for _ in range(2):
        cluster.start("scan", "a")
    cluster.start("work", "a")
    cluster.wait_for(cluster.is_delivered, "delivery of all")
    cluster.stop()
    assert len(cluster.sent()) == 60


def test_a_limit_holds_over_processes(cluster: Cluster) -> None:
    for number in range(60):
        cluster.write("ab"[number % 2], f"clip {number:03}.mov", bytes(200_000))
    for subtree in "abab":
        cluster.start("work", subtree, at_once=2)
    for subtree in "ab":
        cluster.start("scan", subtree)
    cluster.wait_for(lambda: len(cluster.sent()) >= 15, "some uploads")
    for member in cluster.members[:2]:
        member.kill()
    cluster.wait_for(cluster.is_delivered, "delivery of all, in places that the dead had")
    cluster.stop()
    assert cluster.most_at_once() == 2


def test_equal_content_is_sent_once_from_all_hosts(cluster: Cluster) -> None:
    contents = [b"%d" % number * 1_000 for number in range(8)]
    for number in range(48):
        cluster.write("ab"[number % 2], f"clip {number:03}.mov", contents[number // 2 % 8])
    for subtree in "abab":
        cluster.start("work", subtree, dedup=True)
    for subtree in "ab":
        cluster.start("scan", subtree)
    cluster.wait_for(lambda: cluster.counts()[TaskState.SUCCESS] == 48, "success of all")
    cluster.stop()
    assert sorted(cluster.files("archive").values()) == sorted(contents)


def test_hosts_whose_clocks_differ_agree_by_the_clock_of_the_database(postgres: PostgresServer, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, {"dsn": postgres.dsn, "schema": postgres.new_schema()})
    try:
        for number in range(40):
            cluster.write("ab"[number % 2], f"clip {number:03}.mov", b"%d" % number)
        hour = 3600
        for role, subtree, wrong_by in (
            ("scan", "a", hour), ("scan", "b", -20 * hour), ("work", "a", -hour), ("work", "b", 20 * hour),
        ):  # fmt: skip
            cluster.start(role, subtree, clock_wrong_by=wrong_by)
        cluster.wait_for(cluster.is_delivered, "delivery of all")
        cluster.stop()
        assert len(cluster.sent()) == 40
    finally:
        cluster.close()


def test_the_successor_of_a_killed_scanner_scans_at_once(postgres: PostgresServer, tmp_path: Path) -> None:
    source, backup, schema = tmp_path / "source", tmp_path / "backup", postgres.new_schema()
    source.mkdir()
    backup.mkdir()
    opened = f"PostgresStores({postgres.dsn!r}, schema={schema!r})"
    program = DIES_IN_THE_MIDDLE_OF_A_SCAN.replace("SqliteStores(database)", opened)
    program = "from media_watch_tasks.stores.postgres.stores import PostgresStores\n" + program
    dead = subprocess.run([sys.executable, "-c", program, str(source), str(backup), ""], check=False, timeout=60)
    assert dead.returncode == -9
    (source / "clip.mp4").write_bytes(b"footage")
    with (
        PostgresStores(postgres.dsn, schema=schema) as stores,
        TaskManager(
            media_scanner=LocalMediaScanner(source),
            media_resolver=LocalMediaResolver(source),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=DirectoryUploader(backup),
            options=TaskManagerOptions(settle_for=timedelta(0)),
        ) as manager,
    ):
        report = manager.run_once()
    assert (report.scan.skipped, report.process.succeeded) == (None, 1)
