"""An author of a plug-in tests it with the suites of the installed package, outside of this project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TEST_MODULE = """
import pytest
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.scheduler import SchedulerContract
from media_watch_tasks.testing.fakes import FakeUploader
from media_watch_tasks.schedulers import IntervalScheduler
from datetime import timedelta

class Mine(FakeUploader):
    def _deliver(self, media, context):
        receipt = super()._deliver(media, context)
        BROKEN
        return receipt

class TestMine(UploaderContract):
    @pytest.fixture
    def uploader(self): return Mine()
    def contents(self, uploader): return uploader.objects.values()

class TestMyScheduler(SchedulerContract):
    def make_scheduler(self): return IntervalScheduler(timedelta(milliseconds=1))
"""


def _run(tmp_path: Path, *, broken: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_mine.py").write_text(TEST_MODULE.replace("BROKEN", broken), encoding="utf-8")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",
            "error",
            "--rootdir",
            str(tmp_path),
            ".",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_good_plug_in_passes_without_any_set_up(tmp_path: Path) -> None:
    done = _run(tmp_path, broken="")
    assert done.returncode == 0, done.stdout[-2_000:]
    assert re.search(r"\d{2} passed", done.stdout)


def test_a_broken_one_fails_and_shows_the_values_that_differ(tmp_path: Path) -> None:
    done = _run(tmp_path, broken="self.objects[context.key] = b'twelve bytes'")
    assert done.returncode == 1
    assert "test_exactly_the_bytes_arrive" in done.stdout
    # The assertion stands in the installed package, and its values are shown all the same.
    assert "assert Counter({(12," in done.stdout, done.stdout[-3_000:]


@pytest.mark.parametrize("module", ["fakes", "faults", "clock"])
def test_everything_but_the_suites_works_without_pytest(module: str) -> None:
    program = f"""
import sys
import media_watch_tasks.testing.{module}
assert "pytest" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
