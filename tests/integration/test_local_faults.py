"""The local scanner and resolver under real errors of the kernel, which strace makes it give."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Prints one JSON object for each page of a scan, and then the class of the exception that ended it, if one did.
SCAN = """
import json, sys
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local import LocalMediaScanner
try:
    for page in LocalMediaScanner(sys.argv[1]).scan_assets(cancel=CancelToken()):
        print(json.dumps({
            "directory": page.directory.decode(), "names": [name.decode() for name, _, _ in page.rows],
            "complete": page.complete, "stamp": page.stamp is not None, "checkpoint": page.checkpoint,
            "directories": None if page.directories is None else [name.decode() for name in page.directories],
            "problems": [[problem.path.decode(), problem.kind, problem.message] for problem in page.problems],
        }))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""
READ = """
import json, os, sys
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local import LocalMediaResolver
from media_watch_tasks.model.assets import MediaAsset
root, name = sys.argv[1:]
found = os.stat(os.path.join(root, name))
asset = MediaAsset("s", name.encode(), found.st_size, found.st_mtime_ns)
resolver = LocalMediaResolver(root)
try:
    if os.environ.get("WORK") == "stat":
        print(json.dumps({"looks": [look is not None for look in resolver.stat([asset], cancel=CancelToken())]}))
    else:
        with resolver.resolve_for_upload(asset, cancel=CancelToken()).open() as stream:
            print(json.dumps({"read": len(stream.read())}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("a/below", "b"):
        (root / name).mkdir(parents=True)
    for number in range(2_500):
        (root / "a" / f"{number:04}.mov").write_bytes(b"x")
    for name in ("a/below/1.mov", "b/2.mov", "top.mov"):
        (root / name).write_bytes(b"footage" * 100_000)
    return root


def run(script: str, *arguments: str, under: list[str], trace: Path, environment: dict[str, str] | None = None) -> Any:
    """Run a script with system calls that fail; strace must have made at least one of them fail."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    command = ["strace", "-f", "-qq", "-o", os.fspath(trace), *under, sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=os.environ | (environment or {})
    )
    assert done.returncode == 0, done.stderr
    assert "(INJECTED)" in trace.read_text(errors="replace"), "the fault did not happen"
    return [json.loads(line) for line in done.stdout.splitlines()]


def fail(path: Path, call: str, error: str, when: str) -> list[str]:
    # Files are opened by their name in an open folder: that is the path that strace sees.
    shown = path.name if call == "openat" and path.name != "root" else os.fspath(path)
    return ["-P", shown, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]


def scan(root: Path, under: list[str]) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = run(SCAN, os.fspath(root), under=under, trace=root.parent / "trace")
    return pages


def test_a_folder_that_breaks_off_in_the_middle_is_not_complete(root: Path) -> None:
    pages = scan(root, fail(root / "a", "getdents64", "EIO", "2"))
    part = [page for page in pages if page["directory"] == "a"]
    names = [name for page in part for name in page["names"]]
    assert 0 < len(names) < 2_500, "what was read before the error is shown"
    assert names == sorted(names)
    assert [page["complete"] for page in part] == [False] * len(part)
    end = part[-1]
    assert end["problems"] == [["a", "unreadable", "the folder cannot be listed: Input/output error"]]
    assert (end["stamp"], end["directories"], end["checkpoint"]) == (False, None, "after:/a")
    assert [page["names"] for page in pages if page["directory"] == "b"] == [["2.mov"]]


def test_a_folder_that_cannot_be_read_from_its_start_is_not_complete(root: Path) -> None:
    pages = scan(root, fail(root / "a", "getdents64", "EIO", "1+"))
    (page,) = [page for page in pages if page["directory"] == "a"]
    assert (page["names"], page["complete"]) == ([], False)
    assert page["problems"][0][1] == "unreadable"
    assert [page["directory"] for page in pages] == ["", "a", "b"]


def test_a_folder_that_cannot_be_opened_is_not_complete(root: Path) -> None:
    pages = scan(root, fail(root / "a", "openat", "EMFILE", "1+"))
    (page,) = [page for page in pages if page["directory"] == "a"]
    assert page["problems"] == [["a", "unreadable", "the folder cannot be listed: Too many open files"]]
    assert [page["directory"] for page in pages] == ["", "a", "b"]


@pytest.mark.parametrize("error", ["ENOENT", "ENOTDIR", "ESTALE"])
def test_a_folder_that_seems_gone_and_is_listed_by_its_parent_is_a_problem(root: Path, error: str) -> None:
    pages = scan(root, fail(root / "a", "openat", error, "1+"))
    (page,) = [page for page in pages if page["directory"] == "a"]
    assert not page["complete"]
    assert [problem[:2] for problem in page["problems"]] == [["a", "vanished"]]


def test_a_folder_that_was_made_again_in_that_moment_is_listed(root: Path) -> None:
    pages = scan(root, fail(root / "a", "openat", "ENOENT", "1"))
    assert sum(len(page["names"]) for page in pages if page["directory"] == "a") == 2_500
    assert not [page for page in pages if page["problems"]]


def test_entries_that_cannot_be_looked_at_are_problems_and_the_others_are_shown(root: Path) -> None:
    under = ["-P", os.fspath(root / "a"), "-e", "trace=newfstatat", "-e", "inject=newfstatat:error=EIO:when=10"]
    pages = scan(root, under)
    part = [page for page in pages if page["directory"] == "a"]
    # The portion in which the error came is looked at once more, entry by entry: then it is whole.
    assert sum(len(page["names"]) for page in part) == 2_500
    assert part[-1]["complete"]


def test_entries_that_never_can_be_looked_at_make_the_folder_incomplete(root: Path) -> None:
    under = ["-P", os.fspath(root / "a"), "-e", "trace=newfstatat", "-e", "inject=newfstatat:error=EIO:when=10+100"]
    pages = scan(root, under)
    part = [page for page in pages if page["directory"] == "a"]
    names = {name for page in part for name in page["names"]}
    end = part[-1]
    assert 2_450 < len(names) < 2_500
    assert (end["complete"], end["stamp"], end["directories"]) == (False, False, None)
    named = {problem[0] for problem in end["problems"]} - {"a"}
    assert len(named) == 20
    assert not {path.removeprefix("a/") for path in named} & names
    assert end["problems"][-1][2].endswith("more entries cannot be looked at")
    assert [page["directory"] for page in pages][-2:] == ["a/below", "b"]


def test_errors_of_the_root_end_the_scan(root: Path) -> None:
    # The first opening succeeds; from the first error on everything below fails, and then the root does.
    under = ["-P", os.fspath(root / "a"), "-P", os.fspath(root), "-e", "trace=openat,getdents64"]
    under += ["-e", "inject=getdents64,openat:error=ENOTCONN:when=4+"]
    *_, last = scan(root, under)
    assert last["error"] == "SourceOfflineError"
    assert "mount" in last["message"]


def read(root: Path, under: list[str], work: str = "read") -> dict[str, Any]:
    trace = root.parent / "trace"
    (answer,) = run(READ, os.fspath(root), "b/2.mov", under=under, trace=trace, environment={"WORK": work})
    assert isinstance(answer, dict)
    return answer


def test_a_stream_whose_disk_fails_ends_with_an_error_that_can_be_retried(root: Path) -> None:
    answer = read(root, fail(root / "b/2.mov", "preadv,preadv2", "EIO", "1"))
    assert answer["error"] == "TransientError"
    assert "b/2.mov" in answer["message"]
    assert "Input/output error" in answer["message"]


def test_a_file_that_cannot_be_opened_is_not_taken_for_gone(root: Path) -> None:
    answer = read(root, fail(root / "b/2.mov", "openat", "EIO", "1+"))
    assert answer["error"] == "TransientError"


@pytest.mark.parametrize("work", ["read", "stat"])
def test_a_folder_that_cannot_be_opened_is_no_proof_of_absence(root: Path, work: str) -> None:
    answer = read(root, fail(root / "b", "openat", "EIO", "1+"), work)
    assert answer["error"] == "TransientError"


@pytest.mark.parametrize("work", ["read", "stat"])
def test_a_root_that_cannot_be_opened_is_offline(root: Path, work: str) -> None:
    answer = read(root, fail(root, "openat", "EIO", "1+"), work)
    assert answer["error"] == "SourceOfflineError"


def test_absence_is_not_believed_while_the_root_cannot_be_listed(root: Path) -> None:
    under = ["-P", os.fspath(root / "b"), "-P", os.fspath(root), "-e", "trace=openat,getdents64"]
    under += ["-e", "inject=openat:error=ENOENT:when=2", "-e", "inject=getdents64:error=EIO:when=1+"]
    answer = read(root, under, "stat")
    assert answer["error"] == "SourceOfflineError"
