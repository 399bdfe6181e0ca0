"""The network between a worker and the database is cut: its lease is lost, and what it sends late is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.crash.arrivals import Arrivals
from tests.crash.crowd import wait_for
from tests.crash.databases import OnPostgres
from tests.crash.deliveries import deliver_all
from tests.crash.footage import FOLDERS, Footage
from tests.crash.marks import read_marks
from tests.crash.partition import Partition
from tests.crash.programs import STOPS, stores_and_manager
from tests.crash.wreck import Judge, look
from tests.crash.zygote import Child, Zygote
from tests.scale.postgres_server import PostgresServer

LEASE = 0.5
PAGE = "in the middle of a page"


class CutOff:
    """A process whose only way to the database can be cut."""

    def __init__(self, folder: Path, zygote: Zygote, server: PostgresServer, partition: Partition) -> None:
        self.folder = folder
        self.partition = partition
        self._zygote = zygote
        self.direct = OnPostgres(server.dsn, server.new_schema())
        self.direct.tell(folder)
        self.footage = Footage(folder, seed=0)
        for name in FOLDERS:
            (folder / "backup" / name).mkdir(parents=True, exist_ok=True)

    def start(self, *, at: str, scan: bool) -> Child:
        """The process, once it waits at its place and the network is cut."""
        OnPostgres(f"host={self.partition.folder} dbname=postgres user=tester", self.direct.schema).tell(self.folder)
        child = self._zygote.start(
            "wait_and_go_on", log=self.folder / "log", folder=str(self.folder), at=at, lease=LEASE, scan=scan
        )
        wait_for(lambda: self.marked("waiting"), what="the process to come to its place")
        self.partition.cut()
        self.direct.tell(self.folder)
        return child

    def marked(self, phase: str) -> bool:
        return any(mark.phase == phase for mark in read_marks(self.folder / "trace"))

    def let_go(self) -> None:
        (self.folder / "go on").touch()
        wait_for(lambda: self.marked("resumed"), what="the process to go on")

    def wait_for_the_fault(self) -> None:
        """Until the process, let go, has come to where it needs the database."""
        wait_for(lambda: self.partition.held_back >= 1, what="the cut network to hold something back")

    def end_sessions(self, child: Child) -> int:
        """What the server does when the keepalives of a peer stay away."""
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
        with psycopg.connect(self.direct.dsn, autocommit=True) as connection:
            rows = connection.execute(end, (f"{self.direct.schema}-{child.pid}",)).fetchall()
        return int(rows[0][0])


@pytest.fixture
def cut_off(tmp_path: Path, zygote: Zygote, postgres: PostgresServer) -> Iterator[CutOff]:
    with Partition(postgres.folder) as partition:
        yield CutOff(tmp_path, zygote, postgres, partition)


@pytest.mark.parametrize("ended", [False, True], ids=["sessions live on", "sessions ended"])
@pytest.mark.parametrize("at", [at for at in STOPS if at != PAGE])
def test_worker_that_is_cut_off_overwrites_and_settles_nothing(cut_off: CutOff, at: str, ended: bool) -> None:
    footage, folder = cut_off.footage, cut_off.folder
    with Arrivals(folder / "backup") as arrivals:
        footage.write("clip.mov")
        with stores_and_manager(folder, "keep") as (_, manager):
            manager.scan_and_enqueue_new()
        worker = cut_off.start(at=at, scan=False)
        if ended:
            assert cut_off.end_sessions(worker) >= 2, "the one by which it is present among them"
        footage.write("clip.mov")
        deliver_all(folder, lease=LEASE)
        newest = footage.versions["clip.mov"][-1].content
        assert (folder / "backup" / "clip.mov").read_bytes() == newest
        cut_off.let_go()
        cut_off.wait_for_the_fault()
        time.sleep(0.1)  # it may do what it can without the database
        assert (folder / "backup" / "clip.mov").read_bytes() == newest
        cut_off.partition.heal()
        said = worker.finish()
    assert (folder / "backup" / "clip.mov").read_bytes() == newest
    assert "succeeded=0" in said
    assert "lease_lost=1" in said
    assert [m for m in read_marks(folder / "trace") if m.phase == "settled" and m.pid == worker.pid] == []
    assert arrivals.twice() == {}
    wreck = look(folder)
    assert not wreck.dead
    Judge(folder, footage, "keep").check_end(wreck)


def test_scanner_that_is_cut_off_sends_nothing_back_in_time(cut_off: CutOff) -> None:
    footage, folder = cut_off.footage, cut_off.folder
    with Arrivals(folder / "backup") as arrivals:
        footage.write("clip.mov")
        scanner = cut_off.start(at=PAGE, scan=True)
        footage.write("clip.mov")
        deliver_all(folder, lease=LEASE)
        cut_off.let_go()
        cut_off.wait_for_the_fault()
        cut_off.partition.heal()
        assert "the scan lease was lost to another scanner" in scanner.finish()
        assert len(look(folder).tasks) == 1, "a scanner that has lost its lease has queued what it saw before"
        deliver_all(folder, lease=LEASE)
    assert (folder / "backup" / "clip.mov").read_bytes() == footage.versions["clip.mov"][-1].content
    assert arrivals.events == 1, "the version that was replaced before it was sent was sent after it"
    Judge(folder, footage, "keep").check_end(look(folder))
