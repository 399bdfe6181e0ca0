"""In which order the system is asked: bytes are synced before they get a name, and names before there is a receipt."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

CALLS = "mkdirat,write,fsync,fdatasync,linkat,renameat,renameat2,unlinkat"
PROGRAM = """
uploader = DirectoryUploader(target, **SETTINGS)

def deliver(path, data, previous=None):
    media = new(path, data)
    say("confirm follows", path)
    context = FakeContext.for_media(media, previous=previous, on_confirm=lambda: say("confirm", path))
    receipt = uploader.upload(media, context)
    say("receipt", path)
    return receipt

first = deliver("a/b/clip.mov", b"c" * 2_500_000)
second = deliver("a/b/clip.mov", b"d" * 100, previous=first)
deliver("a/b/other.mov", b"e" * 100)
"""


def _steps(trace: str, target: Path) -> list[str]:
    """The calls that matter, in order, in a short form with paths below the target."""
    steps = []
    for line in trace.splitlines():
        call = re.match(r"\d+ +(\w+)\((.*)", line)
        if call is None or " = -1 " in line:
            continue
        name, arguments = call.groups()
        text = arguments.replace(str(target), "T")
        text = re.sub(r"\.mwt-[0-9a-f]{16}-[0-9a-f]{12}\.part", "COPY", text)
        said = re.match(r'1<.*?>, "\[\\"([a-z ]+)\\"', text)
        if name == "write" and said is not None:
            steps.append(said[1])
            continue
        paths = re.findall(r"\d+<(T[^>]*)>", text) + re.findall(r'"([^"]*)"', text) if name != "write" else []
        if name == "write":
            opened = re.match(r"\d+<(T[^>]*)>", text)
            paths = [opened[1]] if opened else []
        if paths:
            step = f"{name} {' '.join(paths)}"
            if not (steps and steps[-1] == step and name == "write"):
                steps.append(step)
    return steps


def _trace(run_program: Any, tmp_path: Path, target: Path, settings: str, *, wrong: str = "") -> list[str]:
    trace = tmp_path / "trace"
    under = ["strace", "-f", "-qq", "-y", "-s", "60", "-o", str(trace), "-e", f"trace={CALLS}"]
    run_program(textwrap.dedent(wrong) + PROGRAM.replace("SETTINGS", settings), under=under)
    return _steps(trace.read_text(), target)


EXPECTED = [
    "confirm follows",
    "mkdirat T a",
    "fsync T",
    "mkdirat T/a b",
    "fsync T/a",
    "write T/a/b/COPY",
    "fsync T/a/b/COPY",
    "confirm",
    "linkat T/a/b T/a/b COPY clip.mov",
    "unlinkat T/a/b COPY",
    "fsync T/a/b",
    "receipt",
    # The earlier version is replaced in one step.
    "confirm follows",
    "write T/a/b/COPY",
    "fsync T/a/b/COPY",
    "confirm",
    "renameat T/a/b T/a/b COPY clip.mov",
    "fsync T/a/b",
    "receipt",
    # The folders are known to be durable by now.
    "confirm follows",
    "write T/a/b/COPY",
    "fsync T/a/b/COPY",
    "confirm",
    "linkat T/a/b T/a/b COPY other.mov",
    "unlinkat T/a/b COPY",
    "fsync T/a/b",
    "receipt",
]
# Wrong uploaders that the trace has to find out.
WRONG_ORDERS = {
    "a receipt before the folder is synced": """
        from media_watch_tasks.uploaders.directory import writing
        writing.sync_folder = lambda fd: None
    """,
    "a name before the bytes are synced": """
        from media_watch_tasks.uploaders.directory import writing
        real_fsync, real_place, waiting = os.fsync, writing.place_new, []

        def place_new(folder_fd, temporary, name):
            fd = os.open(temporary, os.O_RDONLY, dir_fd=folder_fd)
            real_place(folder_fd, temporary, name)
            real_fsync(fd)
            os.close(fd)

        os.fsync = lambda fd: None if stat.S_ISREG(os.fstat(fd).st_mode) else real_fsync(fd)
        writing.place_new = place_new
    """,
    "new folders that are not synced": """
        from media_watch_tasks.uploaders.directory.root import DestinationRoot
        DestinationRoot._sync_entry = lambda *_: None
    """,
    "bytes that are written after the sync": """
        from media_watch_tasks.uploaders.directory import writing
        real_name = writing.FileWriter._make_visible

        def make_visible(self, decision, place, context, folder_fd, temporary):
            fd = os.open(temporary, os.O_RDWR, dir_fd=folder_fd)
            os.write(fd, os.pread(fd, 1, 0))
            os.close(fd)
            return real_name(self, decision, place, context, folder_fd, temporary)

        writing.FileWriter._make_visible = make_visible
    """,
}


@pytest.mark.parametrize("verify", ["hash", "none"])
def test_everything_is_durable_before_the_receipt(run_program: Any, tmp_path: Path, target: Path, verify: str) -> None:
    assert _trace(run_program, tmp_path, target, f"{{'verify': {verify!r}}}") == EXPECTED


@pytest.mark.parametrize("wrong", WRONG_ORDERS)
def test_a_wrong_order_shows_in_the_trace(run_program: Any, tmp_path: Path, target: Path, wrong: str) -> None:
    steps = _trace(run_program, tmp_path, target, "{'verify': 'none'}", wrong=WRONG_ORDERS[wrong])
    assert steps.count("receipt") == 3, "the wrong uploader delivers, and only its order is wrong"
    assert steps != EXPECTED


def test_folders_that_were_there_are_made_durable_too(run_program: Any, tmp_path: Path, target: Path) -> None:
    # A run that was killed may have created them and not come to that.
    (target / "a/b").mkdir(parents=True)
    steps = _trace(run_program, tmp_path, target, "{}")
    assert steps[1:4] == ["fsync T", "fsync T/a", "write T/a/b/COPY"]


def test_nothing_is_synced_where_that_is_not_wanted(run_program: Any, tmp_path: Path, target: Path) -> None:
    steps = _trace(run_program, tmp_path, target, "{'fsync': False}")
    assert not [step for step in steps if "sync" in step]
    assert [step for step in steps if step.startswith("linkat")]


def test_a_long_copy_is_synced_on_the_way(run_program: Any, tmp_path: Path, target: Path) -> None:
    trace = tmp_path / "trace"
    run_program(
        """
        from media_watch_tasks.uploaders.directory import copying
        copying._SYNC_EVERY = 4 << 20
        say(*attempt(DirectoryUploader(target), new("clip.mov", b"c" * (9 << 20))))
        """,
        under=["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fdatasync"],
    )
    assert trace.read_text().count("fdatasync(") == 2
