"""What is read of a file system, and what is trusted of which kind."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from media_watch_tasks.local import file_systems
from media_watch_tasks.local.file_systems import FileSystem, file_system_of, file_system_uuid


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "nfs4"])
def test_unix_file_systems_keep_ids_and_times(kind: str) -> None:
    assert FileSystem(kind).keeps_file_ids
    assert FileSystem(kind).keeps_directory_times


@pytest.mark.parametrize(
    "kind", ["", "vfat", "exfat", "fuse.rclone", "fuseblk", "fuse", "cifs", "9p", "ntfs3", "unheard-of"]
)
def test_nothing_is_trusted_of_others(kind: str) -> None:
    # A camera adds files to its card without a trace in the times of the folder.
    assert not FileSystem(kind).keeps_file_ids
    assert not FileSystem(kind).keeps_directory_times


def test_the_ids_of_an_overlay_are_not_trusted() -> None:
    assert not FileSystem("overlay").keeps_file_ids
    assert FileSystem("overlay").keeps_directory_times


@pytest.mark.parametrize(("kind", "stale"), [("nfs", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False)])
def test_remote_file_systems_may_answer_from_a_cache(kind: str, stale: bool) -> None:
    assert FileSystem(kind).may_be_stale is stale


def test_the_kind_is_what_the_kernel_says(tmp_path: Path) -> None:
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    kinds = {fields[4]: fields[fields.index("-") + 1] for fields in mounts}
    here = os.fspath(tmp_path)
    while here not in kinds:
        here = os.path.dirname(here)
    for path, expected in (("/proc", "proc"), (os.fspath(tmp_path), kinds[here])):
        descriptor = os.open(path, os.O_RDONLY)
        assert file_system_of(descriptor).kind == expected
        os.close(descriptor)


def test_where_procfs_is_missing_nothing_is_known() -> None:
    assert file_system_of(10**6) == FileSystem()


def test_a_uuid_is_one_or_is_left_empty(tmp_path: Path) -> None:
    for path in ("/proc", tmp_path):
        descriptor = os.open(path, os.O_RDONLY)
        found = file_system_uuid(descriptor)
        os.close(descriptor)
        assert found == "" or uuid.UUID(found).int != 0


def test_the_uuid_is_found_in_the_links_of_udev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Device nodes cannot be made everywhere; a link to one that is there has the number that a mounted disk would have.
    (tmp_path / "1234-ABCD").symlink_to("/dev/null")
    (tmp_path / "0000-broken").symlink_to("nowhere")
    monkeypatch.setattr(file_systems, "_BY_UUID", os.fsencode(tmp_path))
    descriptor = os.open("/dev/null", os.O_RDONLY)
    number = os.stat("/dev/null").st_rdev

    class OnThatDevice:
        st_dev = number

    monkeypatch.setattr(os, "fstat", lambda _: OnThatDevice)
    try:
        assert file_systems._uuid_from_udev(descriptor) == "1234-ABCD"
    finally:
        monkeypatch.undo()
        os.close(descriptor)
