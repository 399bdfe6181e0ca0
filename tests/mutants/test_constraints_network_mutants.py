"""Wrong versions of NetworkUp are found out where a cable can be pulled: in a network namespace of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parent / "network_up_in_namespace.py"
APART = ["unshare", "--user", "--map-root-user", "--net", "--"]


def test_wrong_networks_are_found_out() -> None:
    try:
        tried = subprocess.run([*APART, "ip", "link", "show"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"a network namespace needs the programs unshare and ip: {error}")
    if tried.returncode:
        pytest.skip(f"this machine lets nobody make a network namespace: {tried.stderr.strip()}")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*APART, sys.executable, "-m", "pytest", *options, str(MODULE)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"^(\d+) passed in ", done.stdout, re.MULTILINE)
    assert counted, f"all were found out, and nothing was left out:\n{done.stdout}"
    assert int(counted[1]) >= 10
