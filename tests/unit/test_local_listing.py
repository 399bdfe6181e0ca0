"""One folder, read and looked at."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import OperationCancelled
from media_watch_tasks.local.listing import FilePortion, file_portions, read_names

CANCEL = CancelToken()
Opened = tuple[Path, int]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Opened]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield tmp_path, descriptor
    os.close(descriptor)


def portions(descriptor: int, names: list[bytes], *, least: int = 0, most: int | None = None) -> list[FilePortion]:
    return list(file_portions(descriptor, names, sizes=(least, most), cancel=CANCEL))


def test_names_come_by_what_they_are(folder: Opened) -> None:
    path, descriptor = folder
    (path / "file.mov").touch()
    (path / "folder").mkdir()
    (path / "link").symlink_to("file.mov")
    os.mkfifo(path / "pipe.mov")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path / "socket.mov"))
    found = read_names(descriptor, CANCEL)
    assert (found.files, found.directories, found.links) == ([b"file.mov"], [b"folder"], [b"link"])
    assert found.error is None


def test_a_folder_can_be_read_again(folder: Opened) -> None:
    path, descriptor = folder
    (path / "a").touch()
    assert read_names(descriptor, CANCEL) == read_names(descriptor, CANCEL)
    (path / "b").touch()
    assert sorted(read_names(descriptor, CANCEL).files) == [b"a", b"b"]


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251, 1_000, 2_501])
def test_all_names_are_read(folder: Opened, count: int) -> None:
    path, descriptor = folder
    for number in range(count):
        (path / f"{number}").touch()
    assert sorted(read_names(descriptor, CANCEL).files) == sorted(b"%d" % number for number in range(count))


def test_names_are_the_bytes_of_the_disk(folder: Opened) -> None:
    _, descriptor = folder
    names = [b"\xff", b"caf\xe9", b"new\nline", "é".encode(), "e\u0301".encode(), b"\xed\xa0\x80", b"\\", b"\x01"]
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    assert sorted(read_names(descriptor, CANCEL).files) == sorted(names)


def test_rows_are_names_sizes_and_times_in_the_given_order(folder: Opened) -> None:
    path, descriptor = folder
    for name, size, time in (("b", 5, 7), ("a", 3, 1_700_000_000_123_456_789), ("c", 0, -5_000_000_001)):
        (path / name).write_bytes(bytes(size))
        os.utime(path / name, ns=(time, time))
    (portion,) = portions(descriptor, [b"a", b"b", b"c"])
    assert portion.rows == ((b"a", 3, 1_700_000_000_123_456_789), (b"b", 5, 7), (b"c", 0, -5_000_000_001))
    assert portion.file_ids == tuple((path / name).stat().st_ino for name in "abc")
    assert (portion.last, list(portion.failures)) == (True, [])


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (1, [1]), (1_000, [1_000]), (1_001, [1_000, 1]), (2_000, [1_000] * 2)]
)
def test_portions_hold_a_thousand_files(folder: Opened, count: int, sizes: list[int]) -> None:
    path, descriptor = folder
    names = sorted(b"%d" % number for number in range(count))
    for name in names:
        (path / os.fsdecode(name)).touch()
    found = portions(descriptor, names)
    assert [len(portion.rows) for portion in found] == sizes
    assert [portion.last for portion in found] == [False] * (len(sizes) - 1) + [True]
    assert [row[0] for portion in found for row in portion.rows] == names


def test_what_is_gone_or_no_file_any_more_is_left_out(folder: Opened) -> None:
    path, descriptor = folder
    for name in ("a", "b", "c", "d"):
        (path / name).touch()
    names = sorted(read_names(descriptor, CANCEL).files)
    (path / "a").unlink()
    (path / "b").unlink()
    (path / "b").mkdir()
    (path / "c").unlink()
    (path / "c").symlink_to("d")
    (portion,) = portions(descriptor, names)
    assert [row[0] for row in portion.rows] == [b"d"]
    assert portion.file_ids == ((path / "d").stat().st_ino,)
    assert list(portion.failures) == []


def test_sizes_are_judged(folder: Opened) -> None:
    path, descriptor = folder
    for size in range(6):
        (path / f"{size}").write_bytes(bytes(size))
    names = [b"%d" % size for size in range(6)]
    (portion,) = portions(descriptor, names, least=2, most=4)
    assert [row[1] for row in portion.rows] == [2, 3, 4]
    assert len(portion.file_ids) == 3


def test_entries_that_cannot_be_looked_at_are_named(folder: Opened) -> None:
    path, descriptor = folder
    for name in ("a", "b"):
        (path / name).touch()
    too_long = b"x" * 300
    (portion,) = portions(descriptor, [b"a", b"b", too_long])
    assert [row[0] for row in portion.rows] == [b"a", b"b"]
    assert [failure.filename for failure in portion.failures] == [too_long]


def stat_like(**changed: int) -> os.stat_result:
    real = os.stat(__file__)
    fields = {name: getattr(real, name) for name in dir(real) if name.startswith("st_")} | changed
    return os.stat_result(tuple(real[index] if index != 1 else fields["st_ino"] for index in range(10)), fields)


def test_numbers_beyond_the_databases_are_brought_into_their_range(folder: Opened) -> None:
    # The year 2262 and inode numbers above 2**63 exist; tmpfs and NFS have been seen to show them.
    _, descriptor = folder
    looks = {b"a": stat_like(st_mtime_ns=2**65, st_ino=2**64 - 1), b"b": stat_like(st_mtime_ns=-(2**65), st_ino=5)}
    (portion,) = file_portions(
        descriptor, [b"a", b"b"], sizes=(0, None), cancel=CANCEL, look=lambda name, **_: looks[name]
    )
    assert [row[2] for row in portion.rows] == [2**63 - 1, -(2**63 - 1)]
    assert portion.file_ids == (-1, 5)


def test_reading_and_looking_stop_when_cancelled(folder: Opened) -> None:
    _, descriptor = folder
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        read_names(descriptor, cancel)
    with pytest.raises(OperationCancelled):
        next(file_portions(descriptor, [b"a"], sizes=(0, None), cancel=cancel))


def test_a_large_folder_is_left_between_two_entries(folder: Opened) -> None:
    _, descriptor = folder
    cancel = CancelToken()
    looked: list[bytes] = []

    def look(name: bytes, **_: object) -> os.stat_result:
        looked.append(name)
        cancel.cancel()
        return os.stat(__file__)

    with pytest.raises(OperationCancelled):
        list(file_portions(descriptor, [b"x"] * 1_000, sizes=(0, None), cancel=cancel, look=look))
    assert len(looked) <= 250
