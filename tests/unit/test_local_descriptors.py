"""The chain of open folders: any depth, few descriptors, and the way back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.local.descriptors import DirectoryChain

DEPTH = 200


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    descriptor = os.open(tmp_path / "root", os.O_RDONLY)
    here = os.dup(descriptor)
    for level in range(DEPTH):
        os.mkdir(f"level {level}", dir_fd=here)
        here, above = os.open(f"level {level}", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    yield descriptor
    os.close(descriptor)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def descend(chain: DirectoryChain, depth: int) -> list[tuple[int, int]]:
    found = [chain.descend(b"level %d" % level) for level in range(depth)]
    return [(each.st_dev, each.st_ino) for each in found]


def test_a_deep_path_holds_few_descriptors(root: int) -> None:
    before = open_descriptors()
    chain = DirectoryChain(root)
    descend(chain, DEPTH)
    assert chain.depth == DEPTH
    assert open_descriptors() - before <= 40
    chain.close()
    assert open_descriptors() == before


def test_the_way_back_leads_through_the_same_folders(root: int) -> None:
    before = open_descriptors()
    chain = DirectoryChain(root)
    places = descend(chain, DEPTH)
    for level in reversed(range(DEPTH)):
        found = os.fstat(chain.descriptor())
        assert (found.st_dev, found.st_ino) == places[level]
        assert open_descriptors() - before <= 40
        chain.ascend()
    assert chain.descriptor() == root
    assert open_descriptors() == before


def test_a_folder_that_was_replaced_meanwhile_is_not_taken_for_the_old_one(tmp_path: Path, root: int) -> None:
    chain = DirectoryChain(root)
    descend(chain, DEPTH)
    os.rename(tmp_path / "root/level 0", tmp_path / "root/aside")
    (tmp_path / "root/level 0/level 1/level 2").mkdir(parents=True)
    for _ in range(DEPTH - 2):
        chain.ascend()
    with pytest.raises(FileNotFoundError):
        chain.descriptor()
    chain.close()


def test_a_folder_that_cannot_be_entered_leaves_the_walk_where_it_stood(root: int) -> None:
    chain = DirectoryChain(root)
    descend(chain, 2)
    with pytest.raises(FileNotFoundError):
        chain.descend(b"none")
    assert chain.depth == 2
    assert chain.look(b"level 2").st_ino == chain.descend(b"level 2").st_ino
    chain.close()


def test_links_are_entered_only_where_they_are_followed(tmp_path: Path, root: int) -> None:
    (tmp_path / "root/level 0/link").symlink_to("level 1")
    (tmp_path / "root/level 0/out").symlink_to(tmp_path)
    plain = DirectoryChain(root)
    following = DirectoryChain(root, follow_below=os.fsencode(tmp_path / "root"))
    for chain in (plain, following):
        chain.descend(b"level 0")
        with pytest.raises(OSError, match=r"Errno"):
            chain.descend(b"out")
    with pytest.raises(NotADirectoryError):
        plain.descend(b"link")
    assert following.descend(b"link").st_ino == plain.descend(b"level 1").st_ino
    plain.close()
    following.close()


def test_a_folder_that_encloses_the_walk_is_recognised(tmp_path: Path, root: int) -> None:
    (tmp_path / "root/level 0/level 1/back").symlink_to("..")
    chain = DirectoryChain(root, follow_below=os.fsencode(tmp_path / "root"))
    descend(chain, 2)
    assert not chain.encloses(os.fstat(chain.descriptor()))
    assert chain.encloses(chain.descend(b"back"))
    chain.close()
