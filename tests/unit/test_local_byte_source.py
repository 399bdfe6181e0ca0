"""The byte source of a local file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, OperationCancelled, TransientError
from media_watch_tasks.local import LocalByteSource, LocalMediaResolver
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.testing.permissions import permissions_enforced

DATA = bytes(range(256)) * 100


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mov"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (0, 25_600), (100, 1_000), (25_599, 1), (25_590, 100), (25_600, 1), (99_999, 9), (5, 0)],
)
def test_a_range_holds_its_bytes(clip: Path, offset: int, length: int) -> None:
    with LocalByteSource(clip) as source:
        assert source.size == len(DATA)
        assert source.read_at(offset, length) == DATA[offset : offset + length]


def test_many_ranges_come_in_their_order(clip: Path) -> None:
    with LocalByteSource(os.fsencode(clip)) as source:
        assert list(source.read_many([(500, 3), (0, 2)])) == [DATA[500:503], DATA[:2]]


def test_the_size_is_that_of_the_opening(clip: Path) -> None:
    with LocalByteSource(str(clip)) as source:
        with clip.open("ab") as file:
            file.write(b"more")
        assert source.size == len(DATA)
        assert source.read_at(len(DATA) - 2, 10) == DATA[-2:]


def test_a_file_that_was_cut_off_is_another_version(clip: Path) -> None:
    with LocalByteSource(clip) as source:
        os.truncate(clip, 1_000)
        assert source.read_at(0, 1_000) == DATA[:1_000]
        with pytest.raises(AssetChanged):
            source.read_at(900, 200)


def test_what_is_no_file_is_not_found(tmp_path: Path, clip: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir("/proc/self/fd"))
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", clip / "x"):
        with pytest.raises(AssetNotFound):
            LocalByteSource(path)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_file_that_cannot_be_read_may_be_read_later(clip: Path) -> None:
    clip.chmod(0)
    with permissions_enforced(), pytest.raises(TransientError, match=r"clip\.mov cannot be read: Permission denied"):
        LocalByteSource(clip)


def test_a_closed_source_is_not_read(clip: Path) -> None:
    source = LocalByteSource(clip)
    source.close()
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.read_at(0, 1)


def _asset(path: Path) -> MediaAsset:
    found = path.stat()
    return MediaAsset("here", os.fsencode(path.name), found.st_size, found.st_mtime_ns)


def test_a_resolver_opens_the_version_that_was_listed_and_notices_another(clip: Path) -> None:
    resolver = LocalMediaResolver(clip.parent, source_id="here")
    asset = _asset(clip)
    with resolver.open_byte_source(asset, cancel=CancelToken()) as source:
        assert (source.size, source.read_at(10, 5)) == (len(DATA), DATA[10:15])
        os.utime(clip, (1, 1))
        with pytest.raises(AssetChanged, match="another version"):
            source.read_at(0, 1)
    with pytest.raises(AssetChanged):
        resolver.open_byte_source(asset, cancel=CancelToken())
    clip.unlink()
    with pytest.raises(AssetNotFound):
        resolver.open_byte_source(asset, cancel=CancelToken())


def test_a_resolver_opens_nothing_outside_its_root(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.mov").symlink_to(clip)
    resolver = LocalMediaResolver(tmp_path / "root", source_id="here")
    found = clip.stat()
    asset = MediaAsset("here", b"link.mov", found.st_size, found.st_mtime_ns)
    with pytest.raises(AssetNotFound):
        resolver.open_byte_source(asset, cancel=CancelToken())
    cancelled = CancelToken()
    cancelled.cancel()
    with pytest.raises(OperationCancelled):
        resolver.open_byte_source(asset, cancel=cancelled)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
def test_ranges_that_make_no_sense_are_refused(clip: Path, offset: int, length: int) -> None:
    with LocalByteSource(clip) as source, pytest.raises(ValueError, match="range"):
        source.read_at(offset, length)


def test_closing_from_another_thread_never_gives_the_bytes_of_another_file(tmp_path: Path, clip: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\xaa" * len(DATA))
    for _ in range(200):
        source = LocalByteSource(clip)

        def close_and_open(source: LocalByteSource = source) -> None:
            source.close()
            with other.open("rb") as file:
                file.read(1)

        thread = threading.Thread(target=close_and_open)
        thread.start()
        try:
            while True:
                assert source.read_at(0, len(DATA)) == DATA
        except ValueError:
            thread.join()
