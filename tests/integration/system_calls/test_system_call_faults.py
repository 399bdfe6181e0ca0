"""Any system call of the main job may fail: it ends with a clear error or goes on, and a later run completes it.

Faults are put into the calls of a whole run (open the database, scan, enqueue, deliver to a folder, settle) by strace,
one at a time: the n-th call of a kind, in each thread. Counting begins when the modules are loaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

FILES = {"a.mov": b"a" * 70_000, "in/b.mov": b"b" * 10, "in/c.mov": b"c" * 300_000}
CALLS = {
    "openat": ("EIO", "EMFILE", "EINTR"),
    "read": ("EIO", "EINTR"),
    "pread64": ("EIO", "EINTR"),
    "preadv2": ("EIO",),
    "getdents64": ("EIO",),
    "newfstatat": ("EIO",),
    "statx": ("EIO",),
    "write": ("ENOSPC", "EIO", "EINTR"),
    "pwrite64": ("ENOSPC", "EIO", "EINTR"),
    "ftruncate": ("ENOSPC", "EIO"),
    "fallocate": ("ENOSPC",),
    "fsync": ("EIO", "EINTR"),
    "fdatasync": ("EIO", "ENOSPC"),
    "rename": ("ENOSPC", "EIO"),
    "renameat": ("ENOSPC", "EIO"),
    "linkat": ("ENOSPC", "EIO"),
    "mkdir": ("ENOSPC",),
    "mkdirat": ("ENOSPC",),
    "unlink": ("EIO",),
    "unlinkat": ("EIO",),
    "flock": ("ENOLCK",),
    "fcntl": ("ENOLCK",),
}


@attrs.frozen
class Case:
    call: str
    error: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} number {self.number}: {self.error}"


class Jobs:
    """The server of the job, and the folders of its runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0
        self._server = subprocess.Popen(
            [sys.executable, os.fspath(Path(__file__).with_name("job_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._server.communicate()

    def new_folder(self) -> Path:
        self._runs += 1
        folder = self._folder / f"run {self._runs}"
        for name, content in FILES.items():
            path = folder / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "target").mkdir()
        return folder

    def run(self, folder: Path, *strace: str, later: int = 0) -> dict[str, Any]:
        """The result of one run of the job, with strace attached to it."""
        (folder / "result.json").unlink(missing_ok=True)
        pid = int(self._ask({"folder": os.fspath(folder), "later": later}))
        tracer = self._attach(pid, folder, strace) if strace else None
        status = json.loads(self._ask({}))["status"]
        if tracer is not None:
            tracer.communicate(timeout=60)
        assert status == 0, f"the process died: {status}"
        result: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return result

    def _ask(self, question: dict[str, Any]) -> str:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()

    @staticmethod
    def _attach(pid: int, folder: Path, options: tuple[str, ...]) -> subprocess.Popen[str]:
        command = ["strace", "-f", "-o", os.fspath(folder / "trace"), *options, "-p", str(pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert "attached" in said, said + tracer.communicate()[1]
        return tracer


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    jobs = Jobs(tmp_path_factory.mktemp("jobs"))
    yield jobs
    jobs.close()


@pytest.fixture(scope="module")
def calls_of_a_run(jobs: Jobs) -> dict[str, int]:
    """How many calls of each kind the thread makes that makes most of them."""
    folder = jobs.new_folder()
    result = jobs.run(folder, "-e", "trace=" + ",".join(f"?{call}" for call in CALLS))
    assert result == {"complete": True, "counts": _counts(len(FILES))}
    lines = re.findall(r"^(\d+) +(\w+)\(", (folder / "trace").read_text(errors="replace"), re.MULTILINE)
    found: dict[str, int] = {}
    for (_, call), number in Counter(lines).items():
        found[call] = max(found.get(call, 0), number)
    return found


def _counts(success: int) -> dict[str, int]:
    states = ("pending", "uploading", "success", "failed", "dead", "cancelled")
    return {state: success if state == "success" else 0 for state in states}


def _cases(calls: dict[str, int], *, most: int | None) -> list[Case]:
    """All, or as many of each kind, spread over the run."""
    cases = []
    for call, errors in CALLS.items():
        number = calls.get(call, 0)
        for place, error in enumerate(errors):
            some = list(range(1, number + 1))
            if most is not None and number > most:
                some_of = {1 + (step * number + place * 7) // most for step in range(most)}
                some = sorted(n for n in some_of if n <= number)
            cases += [Case(call, error, n) for n in some]
    return cases


def _check(jobs: Jobs, case: Case) -> dict[str, Any] | None:
    """Run the job with this fault, and again without; None if the fault did not happen."""
    folder = jobs.new_folder()
    inject = f"inject={case.call}:error={case.error}:when={case.number}"
    result = jobs.run(folder, "-e", f"trace={case.call}", "-e", inject)
    if "(INJECTED)" not in (folder / "trace").read_text(errors="replace"):
        return None
    assert "bare" not in result, f"{case}: {result['bare']}"
    if "error" in result:
        assert result["error"] in {"StoreError", "ConfigurationError", "SourceOfflineError"}, f"{case}: {result}"
        assert os.fspath(folder) in result["message"], f"{case}: the message does not say where: {result}"
    after = jobs.run(folder, later=48)
    assert after == {"complete": True, "counts": _counts(len(FILES))}, f"{case}: {result}, then {after}"
    for name, content in FILES.items():
        assert (folder / "target" / name).read_bytes() == content, f"{case}: {name}"
    there = {path.relative_to(folder / "target").as_posix() for path in (folder / "target").rglob("*.mov")}
    assert there == set(FILES), f"{case}: something else was delivered"
    with sqlite3.connect(folder / "watch.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], case
    database.close()
    shutil.rmtree(folder)
    return result


def _run_all(jobs: Jobs, cases: list[Case]) -> None:
    findings: list[str] = []
    unmet: list[Case] = []
    for case in cases:
        try:
            results = (_check(jobs, case) for _ in range(3))  # a thread may do a little less in one run than in another
            if all(result is None for result in results):
                unmet.append(case)
        except AssertionError as error:
            findings.append(str(error))
    assert not findings, "\n".join(findings)
    assert not unmet, "these faults did not happen"


@pytest.mark.timeout(400)
def test_a_fault_here_and_there_loses_nothing(jobs: Jobs, calls_of_a_run: dict[str, int]) -> None:
    cases = _cases(calls_of_a_run, most=3)
    assert {case.call for case in cases} >= {
        "openat",
        "pread64",
        "pwrite64",
        "write",
        "fsync",
        "fdatasync",
        "getdents64",
    }
    _run_all(jobs, cases)


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_a_fault_in_any_system_call_loses_nothing(jobs: Jobs, calls_of_a_run: dict[str, int]) -> None:
    _run_all(jobs, _cases(calls_of_a_run, most=None))
