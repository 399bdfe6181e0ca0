"""NetworkUp, where a cable can be pulled without harm: in a network namespace of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parent / "network_up_in_namespace.py"
APART = ["unshare", "--user", "--map-root-user", "--net", "--"]


@pytest.fixture(scope="module")
def apart() -> list[str]:
    """The beginning of a command that runs in a network namespace."""
    try:
        tried = subprocess.run([*APART, "ip", "link", "show"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"a network namespace needs the programs unshare and ip: {error}")
    if tried.returncode:
        pytest.skip(f"this machine lets nobody make a network namespace: {tried.stderr.strip()}")
    return APART


def test_it_knows_of_pulled_cables_and_missing_routes(apart: list[str]) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    # Not a part of the run that started it: no worker of xdist, no options of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*apart, sys.executable, "-m", "pytest", *options, str(MODULE)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"^(\d+) passed in ", done.stdout, re.MULTILINE)
    assert counted, f"all passed, and nothing else:\n{done.stdout}"
    assert int(counted[1]) > 40


def test_a_machine_without_any_network_has_no_way(apart: list[str]) -> None:
    program = "from media_watch_tasks.constraints import NetworkUp; print(NetworkUp().unmet())"
    done = subprocess.run([*apart, sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "no way to the internet: no route\n"
