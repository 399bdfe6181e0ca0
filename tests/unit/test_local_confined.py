"""Nothing outside the root is opened, and links below it lead where they lead."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.local.confined import READ, is_well_formed, open_below


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("outside")
    (tmp_path / "root/a/b/file").write_text("inside")
    descriptor = os.open(tmp_path / "root", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def read(root: int, path: bytes, root_path: Path | None = None) -> str:
    descriptor = open_below(root, path, READ, root_path=None if root_path is None else os.fsencode(root_path))
    with open(descriptor, encoding="utf-8") as file:
        return file.read()


def link(tmp_path: Path, name: str, target: str | Path) -> None:
    (tmp_path / "root" / name).symlink_to(target)


def test_a_file_is_opened_step_by_step(root: int) -> None:
    assert read(root, b"a/b/file") == "inside"


def test_the_root_itself_can_be_opened(root: int) -> None:
    descriptor = open_below(root, b"", os.O_RDONLY)
    assert os.listdir(descriptor) == ["a"]
    os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "target"),
    [("link", "a/b/file"), ("link", "/etc"), ("a/up", ".."), ("link", "a/b"), ("link", "nowhere")],
)
def test_links_are_refused_unless_they_are_to_be_followed(tmp_path: Path, root: int, name: str, target: str) -> None:
    link(tmp_path, name, target)
    for path in (name, f"{name}/file"):
        with pytest.raises(OSError, match="link") as raised:
            open_below(root, path.encode(), READ)
        assert raised.value.errno == errno.ELOOP


@pytest.mark.parametrize(
    ("links", "path"),
    [
        ([("link", "a/b/file")], "link"),
        ([("link", "./a/./b//file")], "link"),
        ([("link", "a/b")], "link/file"),
        ([("a/link", "b")], "a/link/file"),
        ([("a/b/up", "..")], "a/b/up/b/file"),
        ([("a/b/up", "../..")], "a/b/up/a/b/file"),
        ([("one", "two"), ("two", "a/three"), ("a/three", "b/file")], "one"),
        # `..` behind a link means the parent of what the link leads to.
        ([("deep", "a/b"), ("link", "deep/../b/file")], "link"),
        ([("here", ".")], "here/here/a/b/file"),
    ],
)
def test_links_that_stay_below_the_root_are_followed(
    tmp_path: Path, root: int, links: list[tuple[str, str]], path: str
) -> None:
    for name, target in links:
        link(tmp_path, name, target)
    assert read(root, path.encode(), tmp_path / "root") == "inside"


def test_absolute_links_are_followed_where_they_begin_with_the_root(tmp_path: Path, root: int) -> None:
    (tmp_path / "alias").symlink_to(tmp_path / "root")
    link(tmp_path, "plain", tmp_path / "root/a/b/file")
    link(tmp_path, "by alias", tmp_path / "alias/a/b/file")
    assert read(root, b"plain", tmp_path / "root") == "inside"
    assert read(root, b"plain", tmp_path / "alias") == "inside"
    assert read(root, b"by alias", tmp_path / "alias") == "inside"


@pytest.mark.parametrize(
    ("links", "path"),
    [
        ([("link", "../outside/file")], "link"),
        ([("link", "../outside")], "link/file"),
        ([("link", "a/../../outside/file")], "link"),
        ([("a/b/link", "../../../outside/file")], "a/b/link"),
        ([("link", "/etc/passwd")], "link"),
        ([("link", "{tmp}/outside/file")], "link"),
        ([("link", "{tmp}/root-not")], "link"),
        ([("link", "{tmp}/root/../outside/file")], "link"),
        ([("one", "two"), ("two", "../outside")], "one/file"),
        ([("loop", "loop")], "loop"),
        ([("one", "two"), ("two", "one")], "one"),
        ([("up", "..")], "up/outside/file"),
    ],
)
def test_links_that_lead_out_or_in_circles_are_refused(
    tmp_path: Path, root: int, links: list[tuple[str, str]], path: str
) -> None:
    for name, target in links:
        link(tmp_path, name, target.replace("{tmp}", str(tmp_path)))
    with pytest.raises(OSError, match="link") as raised:
        read(root, path.encode(), tmp_path / "root")
    assert raised.value.errno == errno.ELOOP


def test_a_chain_of_links_as_long_as_the_kernel_follows_is_followed(tmp_path: Path, root: int) -> None:
    link(tmp_path, "0", "a/b/file")
    for number in range(1, 41):
        link(tmp_path, str(number), str(number - 1))
    assert read(root, b"39", tmp_path / "root") == "inside"
    with pytest.raises(OSError, match="link"):
        read(root, b"40", tmp_path / "root")


def test_no_descriptor_stays_open(tmp_path: Path, root: int) -> None:
    link(tmp_path, "out", "../outside/file")
    link(tmp_path, "deep", "a/b/../b/file")
    before = set(os.listdir("/proc/self/fd"))
    for path in (b"a/b/none", b"a/none/x", b"out", b"a/b/file/x"):
        with pytest.raises(OSError, match=r"Errno"):
            open_below(root, path, READ, root_path=os.fsencode(tmp_path / "root"))
    assert read(root, b"deep", tmp_path / "root") == "inside"
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_path_longer_than_the_kernel_takes_is_opened(root: int) -> None:
    # 40 folders of 200 characters: 8,000 bytes, and the kernel takes 4,096.
    names = [b"n" * 200] * 40
    here = os.dup(root)
    for name in names:
        os.mkdir(name, dir_fd=here)
        here, above = os.open(name, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(os.open(b"file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    os.close(open_below(root, b"/".join([*names, b"file"]), READ))


@pytest.mark.parametrize("path", [b"a", b"a/b", b"a b", b"...", b"..a", b"a..", b"\xff", b"-"])
def test_a_path_of_names_is_well_formed(path: bytes) -> None:
    assert is_well_formed(path)


@pytest.mark.parametrize("path", [b"", b"/", b"/a", b"a/", b"a//b", b".", b"..", b"a/..", b"./a", b"a/./b", b"a\0"])
def test_a_path_of_anything_else_is_not(path: bytes) -> None:
    assert not is_well_formed(path)
