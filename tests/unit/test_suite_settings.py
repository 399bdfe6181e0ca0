"""What `tests/conftest.py` and `tests/run` promise about the tests themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SUITE = """
import pytest

@pytest.mark.long
def test_battery(): ...

def test_quick(): ...

def test_without_server():
    pytest.skip("the server is missing")

@pytest.mark.xfail(reason="known")
def test_known_fault():
    assert False
"""


def _run(folder: Path, *options: str, ci: str = "") -> tuple[int, str]:
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = long: a battery\n")
    (folder / "test_suite.py").write_text(SUITE)
    environment = {**os.environ, "CI": ci}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_long_batteries_are_deselected_and_not_skipped(tmp_path: Path) -> None:
    code, output = _run(tmp_path)
    assert code == 0
    assert "1 passed, 1 skipped, 1 deselected, 1 xfailed" in output


def test_the_option_brings_the_long_batteries_in(tmp_path: Path) -> None:
    code, output = _run(tmp_path, "--long")
    assert code == 0
    assert "2 passed, 1 skipped, 1 xfailed" in output


def test_ci_takes_a_skip_for_a_failure_and_names_its_reason(tmp_path: Path) -> None:
    code, output = _run(tmp_path, ci="true")
    assert code == 1
    assert "1 failed, 1 passed, 1 deselected, 1 xfailed" in output
    assert "the server is missing" in output


def test_ci_takes_a_skipped_module_for_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text('import pytest\npytest.importorskip("no_such_package")\n')
    code, output = _run(tmp_path, ci="true")
    assert code != 0
    assert "no_such_package" in output
    assert "error" in output.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--help"], 0, "usage: tests/run"),
        (["attic"], 2, "there is no room attic"),
        (["--fast"], 2, "usage: tests/run"),
    ],
)
def test_the_command_explains_itself(arguments: list[str], code: int, message: str) -> None:
    done = subprocess.run(
        ["/bin/bash", str(TESTS / "run"), *arguments], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert message in done.stdout + done.stderr
