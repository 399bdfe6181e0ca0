"""A disk that is unplugged: a file system is mounted, filled, and taken away in the middle of the work.

The mounts live in a mount namespace of their own, in a child process, so that no other process sees them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import json, os, subprocess, sys
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner

root, cancel = sys.argv[1], CancelToken()

def mount():
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", root], check=True)
    for number in range(20):
        os.mkdir(f"{root}/{number:02}")
        with open(f"{root}/{number:02}/clip.mov", "w") as file:
            file.write("footage")

def unplug():
    subprocess.run(["umount", "--lazy", root], check=True)

def outcome(work):
    try:
        return repr(work())
    except MediaWatchError as error:
        return type(error).__name__

def shown(identity):
    return [identity.strong, identity.weak, identity.file_ids_stable]

answers = {}
scanner, resolver = LocalMediaScanner(root), LocalMediaResolver(root)
answers["empty mount point"] = shown(scanner.identify(cancel=cancel))
mount()
answers["mounted"] = shown(scanner.identify(cancel=cancel))
assets = [asset for page in scanner.scan_assets(cancel=cancel) for asset in page.assets]
answers["assets"] = len(assets)
media = resolver.resolve_for_upload(assets[0], cancel=cancel)
pages = scanner.scan_assets(cancel=cancel)
seen = [next(pages), next(pages)]
unplug()
answers["rest of the scan"] = outcome(lambda: seen.extend(pages))
answers["empty pages"] = [page.directory.decode() for page in seen[1:] if page.complete and not page.rows]
answers["unplugged"] = shown(scanner.identify(cancel=cancel))
answers["stat"] = outcome(lambda: resolver.stat(assets, cancel=cancel))
answers["open"] = outcome(media.open)
answers["resolve"] = outcome(lambda: resolver.resolve_for_upload(assets[1], cancel=cancel))
mount()
answers["another one"] = shown(scanner.identify(cancel=cancel))
print(json.dumps(answers))
"""


def unshare() -> list[str]:
    """The command that gives a process its own mounts: as root, or in a user namespace where those are allowed."""
    program = shutil.which("unshare") or pytest.skip("unshare is missing: apt-get install util-linux")
    command = [program, "--mount"] if os.geteuid() == 0 else [program, "--mount", "--map-root-user"]
    if subprocess.run([*command, "true"], capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("this user may not mount: run as root, or allow user namespaces")
    return command


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("mount point")
    done = subprocess.run(
        [*unshare(), sys.executable, "-c", SCRIPT, os.fspath(root)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_mounted_place_is_another_than_its_mount_point(answers: dict[str, Any]) -> None:
    assert answers["assets"] == 20
    assert answers["mounted"] != answers["empty mount point"]
    assert answers["unplugged"] == answers["empty mount point"]


def test_file_ids_are_stable_on_tmpfs(answers: dict[str, Any]) -> None:
    assert answers["mounted"][2] is True


def test_a_scan_does_not_take_an_unplugged_disk_for_an_emptied_one(answers: dict[str, Any]) -> None:
    assert answers["rest of the scan"] == "SourceOfflineError"
    assert answers["empty pages"] == []


@pytest.mark.parametrize("work", ["stat", "open", "resolve"])
def test_a_resolver_does_not_take_an_empty_mount_point_for_absence(answers: dict[str, Any], work: str) -> None:
    assert answers[work] == "SourceOfflineError"


def test_another_disk_of_the_same_kind_has_another_strong_identity(answers: dict[str, Any]) -> None:
    # Before Linux 6.9 the kernel does not tell the UUID, and udev knows none of tmpfs: then nothing is claimed.
    first, second = answers["mounted"][0], answers["another one"][0]
    assert first != second or not first
