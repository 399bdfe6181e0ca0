"""Power cuts: what the disk holds at that moment is mounted again, and everything with a receipt is there.

The destination is an ext4 file system in an image file. What was not synced is in the page cache of the mounted file
system and not in the image: a copy of the image, taken while no call is under way, is what a power cut would leave.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

HANG_GUARD = 110.0
PROGRAM = """
import hashlib, json, os, random, shutil, subprocess, sys
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.uploaders import DirectoryUploader

work, fsync, seed = sys.argv[1], sys.argv[2] == "True", int(sys.argv[3])
image, disk, snapshot, after = (os.path.join(work, name) for name in ("image", "disk", "snapshot", "after"))

def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

with open(image, "wb") as file:
    file.truncate(48 << 20)
run("mkfs.ext4", "-q", image)
os.mkdir(disk), os.mkdir(after)
# No commit of its own while the test runs: only what is asked for reaches the disk.
run("mount", "-o", "loop,commit=3600", image, disk)

tree, draw = FakeTree(), random.Random(seed)
uploader = DirectoryUploader(disk, fsync=fsync)
receipts, replaced, cut_at, confirmed = {}, {}, draw.randrange(1, 40), 0

class Cut(BaseException):
    pass

def cut():
    shutil.copyfile(image, snapshot)
    raise Cut

def deliver(path, data, previous=None):
    global confirmed
    media = FakeResolver(tree).resolve_for_upload(tree.put(path, data), cancel=CancelToken())

    def on_confirm():
        global confirmed
        confirmed += 1
        if confirmed == cut_at and seed % 2:
            cut()

    # Until its receipt is there a new version may stand there or not.
    replaced[path] = hashlib.sha256(data).hexdigest()
    receipt = uploader.upload(media, FakeContext.for_media(media, previous=previous, on_confirm=on_confirm))
    receipts[path] = receipt
    replaced.pop(path)
    if confirmed == cut_at:
        cut()
    return receipt

try:
    for number in range(40):
        path = f"{number % 4}/{number % 3}/{number}.mov"
        receipt = deliver(path, draw.randbytes(draw.randrange(1, 300_000)))
        if number % 5 == 0:
            deliver(path, draw.randbytes(50_000), previous=receipt)
except Cut:
    pass
run("umount", disk)
run("mount", "-o", "loop", snapshot, after)

lost, torn = [], []
known = {path: receipt.sha256 for path, receipt in receipts.items()}
for path, sha256 in known.items():
    try:
        with open(os.path.join(after, path), "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
    except OSError:
        found = None
    if found is None or found not in {sha256, replaced.get(path)}:
        lost.append(path)
for folder, _, names in os.walk(after):
    for name in names:
        path = os.path.relpath(os.path.join(folder, name), after)
        with open(os.path.join(folder, name), "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        if name.endswith(".mov") and found not in {known.get(path), replaced.get(path)}:
            torn.append(path)
run("umount", after)
print(json.dumps({"receipts": len(receipts), "lost": lost, "torn": torn}))
"""


def _cut(folder: Path, *, fsync: bool, seed: int) -> dict[str, object]:
    script = folder / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    work = folder / f"{fsync}-{seed}"
    work.mkdir()
    # Mounts of its own: they are gone with the program, whatever happens to it.
    command = ["unshare", "--mount", sys.executable, str(script), str(work), str(fsync), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_GUARD)
    shutil.rmtree(work)
    assert done.returncode == 0, done.stderr[-3_000:]
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system image: run it as root")
def test_a_power_cut_loses_nothing_that_has_a_receipt_and_shows_nothing_torn(tmp_path: Path) -> None:
    receipts = 0
    for seed in range(10):
        told = _cut(tmp_path, fsync=True, seed=seed)
        assert told["lost"] == []
        assert told["torn"] == []
        receipts += int(str(told["receipts"]))
    assert receipts > 50


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system image: run it as root")
def test_the_same_cuts_lose_files_that_were_not_synced(tmp_path: Path) -> None:
    told = [_cut(tmp_path, fsync=False, seed=seed) for seed in range(4)]
    assert any(cut["lost"] for cut in told), "the cut is no cut: what was never synced survived it"
