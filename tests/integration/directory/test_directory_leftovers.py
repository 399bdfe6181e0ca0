"""Unfinished copies: hidden, removed on every failure, and swept after a run that was killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import LeaseLost, OperationCancelled, TransientError
from media_watch_tasks.testing.faults import Fault, FaultPlan
from media_watch_tasks.uploaders import DirectoryUploader
from media_watch_tasks.uploaders.directory.temporary import TemporaryFiles, is_temporary

DAY_NS = 24 * 3_600 * NANOSECONDS
KEY, OTHER_KEY = "a" * 64, "b" * 64
LEFTOVER = ".mwt-{prefix}-0123456789ab.part"
Look = Callable[[], dict[str, bytes]]


@pytest.fixture
def uploader(target: Path) -> DirectoryUploader:
    return DirectoryUploader(target)


def _sweep(folder: Path, *, key: str = KEY, age_ns: int = 0, again: bool = False, files: TemporaryFiles) -> int:
    fd = os.open(folder, os.O_RDONLY)
    try:
        return files.sweep(fd, b"folder", key=key, now_ns=time.time_ns() + age_ns, again=again)
    finally:
        os.close(fd)


def test_a_copy_in_progress_is_hidden_and_named_after_its_key(
    uploader: DirectoryUploader, source: Any, target: Path
) -> None:
    media = source.new("folder/clip.mov", b"data")
    seen: list[list[Path]] = []
    context = source.context(uploader, media, on_confirm=lambda: seen.append(list((target / "folder").iterdir())))
    uploader.upload(media, context)
    ((temporary,),) = seen
    assert temporary.name.startswith(f".mwt-{context.key[:16]}-")
    # Hidden, and with an ending that scans leave out by default.
    assert temporary.name.endswith(".part")
    assert is_temporary(os.fsencode(temporary.name))


@pytest.mark.parametrize("how", ["lost lease", "cancelled", "source", "at the first byte", "interrupted"])
def test_every_failure_removes_the_copy(
    uploader: DirectoryUploader, source: Any, target: Path, everything: Look, how: str
) -> None:
    media = source.new("clip.mov", b"d" * 3_000_000)
    match how:
        case "lost lease":
            with pytest.raises(LeaseLost):
                source.upload(uploader, media, lose_lease=True)
        case "cancelled":
            with pytest.raises(OperationCancelled):
                source.upload(uploader, media, cancel_at=1_500_000)
        case "interrupted":

            def interrupt() -> None:
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                source.upload(uploader, media, on_confirm=interrupt)
        case _:
            at = 0 if how == "at the first byte" else 2_000_000
            with FaultPlan([Fault("read", at_byte=at, raises=TransientError("gone"))]) as plan:
                faulty = plan.media(media)
                with pytest.raises(TransientError, match="gone"):
                    source.upload(uploader, faulty)
    assert everything() == {}
    source.upload(uploader, media, attempt=2)
    assert list(everything()) == ["clip.mov"]


class TestSweep:
    def test_only_ours_and_only_old_ones_or_those_of_this_key_are_removed(self, tmp_path: Path) -> None:
        mine, others = LEFTOVER.format(prefix=KEY[:16]), LEFTOVER.format(prefix=OTHER_KEY[:16])
        foreign = ["clip.mov", ".mwt-x.part", ".mwt-" + "a" * 16 + "-0123456789ab.part.mov", ".mwt-marker", "x.part"]
        for name in [mine, others, *foreign]:
            (tmp_path / name).write_bytes(b"left")
        assert _sweep(tmp_path, files=TemporaryFiles()) == 1
        assert sorted(os.listdir(tmp_path)) == sorted([others, *foreign])
        assert _sweep(tmp_path, age_ns=DAY_NS - 60 * NANOSECONDS, files=TemporaryFiles()) == 0
        assert _sweep(tmp_path, age_ns=DAY_NS + 60 * NANOSECONDS, files=TemporaryFiles()) == 1
        assert sorted(os.listdir(tmp_path)) == sorted(foreign)

    def test_age_is_not_that_of_the_footage(self, tmp_path: Path) -> None:
        name = LEFTOVER.format(prefix=OTHER_KEY[:16])
        (tmp_path / name).write_bytes(b"finished but for its name")
        os.utime(tmp_path / name, ns=(0, 0))
        assert _sweep(tmp_path, files=TemporaryFiles()) == 0

    def test_what_this_process_is_writing_stays(self, tmp_path: Path) -> None:
        files = TemporaryFiles()
        folder = os.open(tmp_path, os.O_RDONLY)
        fd, name = files.create(folder, KEY)
        assert _sweep(tmp_path, age_ns=9 * DAY_NS, again=True, files=files) == 0
        os.close(fd)
        files.forget(name)
        assert _sweep(tmp_path, again=True, files=files) == 1
        os.close(folder)

    def test_a_folder_is_listed_once_unless_work_on_the_key_has_begun_before(self, tmp_path: Path) -> None:
        files = TemporaryFiles()
        assert _sweep(tmp_path, files=files) == 0
        (tmp_path / LEFTOVER.format(prefix=KEY[:16])).write_bytes(b"left")
        assert _sweep(tmp_path, files=files) == 0
        assert _sweep(tmp_path, again=True, files=files) == 1

    def test_what_is_no_file_stays(self, tmp_path: Path) -> None:
        (tmp_path / LEFTOVER.format(prefix=KEY[:16])).mkdir()
        assert _sweep(tmp_path, age_ns=9 * DAY_NS, files=TemporaryFiles()) == 0

    def test_a_key_of_another_form_has_a_name_too(self, tmp_path: Path) -> None:
        files = TemporaryFiles()
        folder = os.open(tmp_path, os.O_RDONLY)
        fd, name = files.create(folder, "not/hex")
        assert is_temporary(name)
        os.close(fd)
        os.close(folder)

    @pytest.mark.parametrize("way", ["upload", "find_existing"])
    def test_the_next_attempt_removes_the_leftover_of_its_key(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look, way: str
    ) -> None:
        media = source.new("folder/clip.mov", b"data")
        source.upload(uploader, source.new("folder/first.mov", b"first"))
        leftover = LEFTOVER.format(prefix=source.context(uploader, media).key[:16])
        (target / "folder" / leftover).write_bytes(b"half")
        if way == "upload":
            source.upload(uploader, media, attempt=2)
        else:
            assert source.find(uploader, media) is None
        assert f"folder/{leftover}" not in everything()


KILLED = """
import os, sys
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.uploaders import DirectoryUploader

tree, uploader = FakeTree(), DirectoryUploader(sys.argv[1])
for number in range(1_000_000):
    media = FakeResolver(tree).resolve_for_upload(
        tree.put(f"{number % 3}/{number}.mov", os.urandom(8) * 50_000), cancel=CancelToken()
    )
    receipt = uploader.upload(media, FakeContext.for_media(media))
    print(receipt.remote_id, receipt.sha256, flush=True)
"""


def _run_and_kill(target: Path, receipts: int) -> dict[str, str]:
    """Let a program deliver, kill it at a moment that nobody chose; path -> hash of what it had receipts for."""
    told: dict[str, str] = {}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(receipts):
            path, digest = process.stdout.readline().split()
            told[path] = digest
        process.send_signal(signal.SIGKILL)
        rest = [line.split() for line in process.stdout.read().splitlines()]
    assert process.returncode == -signal.SIGKILL
    return told | {line[0]: line[1] for line in rest if len(line) == 2 and len(line[1]) == 64}


def test_runs_killed_at_any_moment_leave_complete_files_and_at_most_one_copy_each(
    target: Path, sha256: Callable[[bytes], str]
) -> None:
    for number in range(12):
        folder = target / str(number)
        folder.mkdir()
        told = _run_and_kill(folder, 1 + number)
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("*/*")}
        hidden = [path for path in found if is_temporary(os.fsencode(os.path.basename(path)))]
        complete = {path: sha256(data) for path, data in found.items() if path not in hidden}
        assert told.items() <= complete.items()
        assert all(found[path] == found[path][:8] * 50_000 for path in complete)
        assert len(hidden) <= 1


def test_the_mode_of_a_copy_in_progress_is_that_of_the_file(
    uploader: DirectoryUploader, source: Any, target: Path
) -> None:
    modes: list[int] = []

    def look() -> None:
        (temporary,) = target.glob(".mwt-*")
        modes.append(stat.S_IMODE(temporary.stat().st_mode))

    source.upload(uploader, source.new("clip.mov", b"data"), on_confirm=look)
    assert modes == [stat.S_IMODE((target / "clip.mov").stat().st_mode)]
