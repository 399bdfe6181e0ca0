"""A copy is compared with what the device holds: nothing that the system remembers of it can stand in for that."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

# The destination is an ext4 file system in an image file: a byte of the image is a byte of the device.
PROGRAM = """
import mmap
image = target + ".image"
with open(image, "wb") as file:
    file.truncate(32 << 20)
subprocess.run(["mkfs.ext4", "-q", image], check=True)
subprocess.run(["mount", "-o", "loop", image, target], check=True)
uploader = DirectoryUploader(target)
media = new("clip.mov", b"needle in the file" + b"c" * 1_500_000)
receipt = uploader.upload(media, FakeContext.for_media(media))
say(receipt.verified, uploader.verify(media, receipt))

# What a program has mapped the system does not drop.
held = open(os.path.join(target, "clip.mov"), "rb")
pages = mmap.mmap(held.fileno(), 0, prot=mmap.PROT_READ)
before = bytes(pages)
with open(image, "r+b") as file:
    at = file.read().index(b"needle in the file")
    file.seek(at)
    file.write(b"damage")
say(bytes(pages) == before, uploader.verify(media, receipt))
"""
THROUGH_THE_CACHE = """
from media_watch_tasks.uploaders.directory import uncached
uncached._set_direct = lambda fd, wanted: False
"""
THREE_READS = """
say(*attempt(DirectoryUploader(target), new("clip.mov", b"c" * 2_500_000)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system image: run it as root")
@pytest.mark.parametrize("wrong", ["", THROUGH_THE_CACHE], ids=["right", "through the cache"])
def test_damage_on_the_device_is_found_below_an_intact_cache(run_program: Any, own_mounts: Any, wrong: str) -> None:
    said = run_program(textwrap.dedent(wrong) + PROGRAM, under=own_mounts)
    assert said[0] == [True, True]
    # The second case shows that the cache does hide the damage: without direct reads nobody would know.
    assert said[1] == [True, bool(wrong)]


def _traced(run_program: Any, trace: Path, body: str, calls: str, *faults: str) -> str:
    command = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", f"trace={calls}"]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    assert run_program(body, under=command) == [["delivered", "clip.mov"]]
    return trace.read_text()


def test_the_copy_is_read_back_past_the_cache_in_few_requests(run_program: Any, tmp_path: Path) -> None:
    trace = _traced(run_program, tmp_path / "trace", THREE_READS, "fcntl,preadv,preadv2")
    switched = [line for line in trace.splitlines() if "F_SETFL" in line and "O_DIRECT" in line and "= 0" in line]
    reads = [int(count) for count in re.findall(r"preadv2?\(.*\.part.* = (\d+)$", trace, re.MULTILINE)]
    assert len(switched) == 1
    assert reads == [1 << 20, 1 << 20, 2_500_000 - (2 << 20), 0]


@pytest.mark.parametrize("refused", ["the flag", "the first read", "the second read"])
def test_a_file_system_that_cannot_do_that_is_read_as_usual(
    run_program: Any, tmp_path: Path, target: Path, refused: str
) -> None:
    call, which = "preadv2", 1 if refused == "the first read" else 2
    if refused == "the flag":
        # The interpreter makes such calls too: which one sets the flag, a run without faults shows.
        calls = _traced(run_program, tmp_path / "trace", THREE_READS, "fcntl").splitlines()
        call, which = "fcntl", 1 + next(number for number, line in enumerate(calls) if "F_SETFL" in line)
        (target / "clip.mov").unlink()
    fault = f"{call}:error=EINVAL:when={which}"
    trace = _traced(run_program, tmp_path / "trace", THREE_READS, "fcntl,preadv,preadv2", fault)
    assert re.search(rf"{call}\(.*\.part.*INJECTED", trace)
    read = [int(count) for count in re.findall(r"preadv2?\(.*\.part.* = (\d+)$", trace, re.MULTILINE)]
    assert sum(read) == 2_500_000


def test_a_device_begins_to_write_while_the_copy_goes_on(run_program: Any, tmp_path: Path) -> None:
    body = """
    from media_watch_tasks.uploaders.directory import copying
    copying._WRITE_OUT_EVERY = 1 << 20
    say(*attempt(DirectoryUploader(target), new("clip.mov", b"c" * 2_500_000)))
    """
    trace = _traced(run_program, tmp_path / "trace", body, "write,fadvise64,fsync")
    steps = re.findall(r"(write|fadvise64|fsync)\(\d+<[^>]*\.part>(?:.*, (\d+), (\d+), POSIX_FADV_DONTNEED)?", trace)
    part = str(1 << 20)
    assert steps[:6] == [
        ("write", "", ""),
        ("fadvise64", "0", part),
        ("write", "", ""),
        ("fadvise64", part, part),
        ("write", "", ""),
        ("fsync", "", ""),
    ]
