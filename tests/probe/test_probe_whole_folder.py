"""A whole folder is described by a manager with the real prober: it resumes, and one bad file costs itself alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.probe.media_files import encode

from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager
from media_watch_tasks.abc import UploadContext, Uploader
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.sources import AssetState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.probe import AvProber, ProbingResolver

HANG_GUARD = 60.0
FILMS = 12


class Nowhere(Uploader):
    @property
    def destination_id(self) -> str:
        return "nowhere"

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        raise AssertionError("describing uploads nothing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    (root / "deep" / "er").mkdir(parents=True)
    film = encode(root / "0.mp4", video="libx264").read_bytes()
    for number in range(1, FILMS):
        (root / ("deep" if number % 2 else "deep/er") / f"{number}.mp4").write_bytes(film)
    (root / "deep" / "er" / "z_broken.mkv").write_bytes(b"\x1aE\xdf\xa3 no film")
    (root / "notes.txt").write_text("not described", encoding="utf-8")
    (root / "0.nfo").write_text("<movie/>", encoding="utf-8")
    encode(root / "deep" / "song.mp3", video=None, audio="libmp3lame")
    return root


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[SqliteStores]:
    with SqliteStores(tmp_path / "watch.db") as opened:
        yield opened


def _manager(stores: SqliteStores, folder: Path, prober: AvProber) -> TaskManager:
    return TaskManager(
        media_scanner=LocalMediaScanner(folder),
        media_resolver=ProbingResolver(LocalMediaResolver(folder), prober),
        media_state_store=stores.media_state,
        task_store=stores.tasks,
        uploader=Nowhere(),
        options=TaskManagerOptions(settle_for=timedelta(0)),
    )


def _described(stores: SqliteStores, folder: Path) -> dict[bytes, AssetState]:
    states = stores.media_state.iterate_assets(LocalMediaScanner(folder).source_id)
    return {state.asset_id: state for state in states if state.current_metadata is not None}


def test_every_film_is_described_and_nothing_else(stores: SqliteStores, folder: Path, in_workers: AvProber) -> None:
    with _manager(stores, folder, in_workers) as manager:
        manager.initialize_baseline()
        assert manager.describe(limit=3, workers=1).described == 3
        rest = manager.describe(workers=2)
        assert (rest.described, rest.failed, rest.skipped, rest.left) == (FILMS + 1 - 3, 1, 0, False)
        again = manager.describe()
        assert (again.described, again.failed, again.left) == (0, 0, False)
    found = _described(stores, folder)
    assert len(found) == FILMS + 2
    broken = found[b"deep/er/z_broken.mkv"].metadata
    film = found[b"deep/er/2.mp4"].metadata
    assert broken is not None
    assert film is not None
    assert (broken.error is not None, broken.transient) == (True, False)
    assert film.video[0].codec == "h264"
    assert film.duration == pytest.approx(2.0, abs=0.1)


def test_no_time_left_is_no_probe(stores: SqliteStores, folder: Path, in_workers: AvProber) -> None:
    with _manager(stores, folder, in_workers) as manager:
        manager.initialize_baseline()
        report = manager.describe(time_budget=timedelta(0))
        assert (report.described, report.left, report.stopped_by) == (0, True, "time_budget")


def test_a_file_that_cannot_be_opened_is_asked_for_again(
    stores: SqliteStores, folder: Path, in_workers: AvProber, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _manager(stores, folder, in_workers) as manager, monkeypatch.context() as patch:
        manager.initialize_baseline()
        fake = folder.parent / "python"
        fake.write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
        fake.chmod(0o755)
        patch.setattr(sys, "executable", str(fake))
        with AvProber(workers=1) as lame, _manager(stores, folder, lame) as troubled:
            report = troubled.describe()
            assert (report.described, report.failed, report.skipped, report.left) == (0, 0, FILMS + 2, True)
        patch.undo()
        assert manager.describe().described == FILMS + 1


def test_describing_goes_on_where_a_killed_process_left_off(tmp_path: Path, folder: Path, in_workers: AvProber) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[3])
        from media_watch_tasks import SqliteStores
        from media_watch_tasks.probe import AvProber
        from tests.probe.test_probe_whole_folder import _manager

        class Deadly(AvProber):
            left = 5
            def probe(self, source, **named):
                found = super().probe(source, **named)
                self.left -= 1
                if self.left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return found

        with SqliteStores(sys.argv[1]) as stores, Deadly(workers=1) as prober:
            with _manager(stores, Path(sys.argv[2]), prober) as manager:
                manager.initialize_baseline()
                manager.describe(workers=1)
    """
    database = tmp_path / "crash.db"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(database), str(folder), str(Path(__file__).parents[2])],
        capture_output=True, text=True, check=False, timeout=HANG_GUARD,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    with SqliteStores(database) as stores:
        before = _described(stores, folder)
        assert len(before) == 4, "what was found before the fifth is kept"
        with _manager(stores, folder, in_workers) as manager:
            report = manager.describe()
            assert (report.described + report.failed, report.left) == (FILMS + 2 - 4, False)
        after = _described(stores, folder)
        assert all(after[asset_id].metadata == state.metadata for asset_id, state in before.items())
