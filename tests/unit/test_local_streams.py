"""The streams of a local file, and what may stand in its place."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, SourceOfflineError
from media_watch_tasks.local import LocalMediaResolver
from media_watch_tasks.local.stream import open_version
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia

CANCEL = CancelToken()
DATA = bytes(range(256)) * 1_000


@pytest.fixture
def media(tmp_path: Path) -> ResolvedMedia:
    (tmp_path / "clip.mov").write_bytes(DATA)
    return LocalMediaResolver(tmp_path).resolve_for_upload(asset_at(tmp_path, "clip.mov"), cancel=CANCEL)


def asset_at(root: Path, name: str) -> MediaAsset:
    found = (root / name).stat()
    return MediaAsset(f"local:{root}", os.fsencode(name), found.st_size, found.st_mtime_ns)


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def test_the_descriptor_of_a_stream_stands_at_its_first_byte(tmp_path: Path, media: ResolvedMedia) -> None:
    with media.open_range(1_000, 5_000) as stream, open(tmp_path / "copy", "wb") as copy:
        assert os.copy_file_range(stream.fileno(), copy.fileno(), 5_000) == 5_000
        assert stream.read(10) == DATA[1_000:1_010]
    assert (tmp_path / "copy").read_bytes() == DATA[1_000:6_000]


def test_a_stream_can_be_sought_in_as_clients_do_to_learn_its_length(media: ResolvedMedia) -> None:
    with media.open_range(100, 1_000) as stream:
        assert stream.seekable()
        assert stream.seek(0, os.SEEK_END) == 1_000
        assert stream.read() == b""
        assert stream.seek(10) == 10
        assert stream.read(5) == DATA[110:115]
        assert stream.seek(5, os.SEEK_CUR) == 20
        assert stream.tell() == 20
        assert stream.read() == DATA[120:1_100]
        with pytest.raises(ValueError, match=r"seek|negative"):
            stream.seek(-1)


def test_all_ways_to_read_give_the_same(media: ResolvedMedia) -> None:
    with media.open() as stream:
        assert b"".join(stream) == DATA
    with media.open() as stream:
        target = io.BytesIO()
        shutil.copyfileobj(stream, target)
        assert target.getvalue() == DATA
    with media.open() as stream:
        assert isinstance(stream, io.BufferedReader)
        buffer = bytearray(len(DATA) + 5)
        assert stream.readinto(buffer) == len(DATA)
        assert buffer[: len(DATA)] == DATA
    with media.open() as stream:
        assert isinstance(stream, io.BufferedReader)
        assert b"".join(iter(lambda: stream.read1(7_000), b"")) == DATA


@pytest.mark.parametrize("way", ["read1", "readinto", "readinto1", "lines", "copy"])
def test_no_way_to_read_hides_a_change(tmp_path: Path, media: ResolvedMedia, way: str) -> None:
    with media.open() as stream:
        assert isinstance(stream, io.BufferedReader)
        stream.read(10)
        os.utime(tmp_path / "clip.mov", ns=(1, 1))
        ways: dict[str, Callable[[], object]] = {
            "read1": lambda: list(iter(lambda: stream.read1(100_000), b"")),
            "readinto": lambda: stream.readinto(bytearray(len(DATA))),
            "readinto1": lambda: list(iter(lambda: stream.readinto1(bytearray(100_000)), 0)),
            "lines": lambda: list(stream),
            "copy": lambda: shutil.copyfileobj(stream, io.BytesIO()),
        }
        with pytest.raises(AssetChanged):
            ways[way]()


def test_ranges_that_make_no_sense_are_refused(media: ResolvedMedia) -> None:
    for offset, length in ((-1, 5), (0, -1)):
        with pytest.raises(ValueError, match="range"):
            media.open_range(offset, length)


def test_nothing_stays_open(tmp_path: Path, media: ResolvedMedia) -> None:
    before = open_descriptors()
    with media.open() as stream:
        stream.read(1)
    resolver = LocalMediaResolver(tmp_path)
    asset = media.asset
    resolver.stat([asset, MediaAsset(asset.source_id, b"none/x", 1, 1)], cancel=CANCEL)
    os.utime(tmp_path / "clip.mov", ns=(1, 1))
    with pytest.raises(AssetChanged):
        media.open()
    (tmp_path / "clip.mov").unlink()
    with pytest.raises(AssetNotFound):
        media.open()
    assert open_descriptors() == before


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mov")
    asset = asset_at(tmp_path, "clip.mov")
    resolver = LocalMediaResolver(tmp_path)
    with pytest.raises(AssetNotFound):
        resolver.resolve_for_upload(asset, cancel=CANCEL)
    assert list(resolver.stat([asset], cancel=CANCEL)) == [None]


def test_links_are_no_files_unless_they_are_followed(tmp_path: Path) -> None:
    (tmp_path / "clip.mov").write_bytes(DATA)
    (tmp_path / "link.mov").symlink_to("clip.mov")
    asset = asset_at(tmp_path, "link.mov")
    plain, following = LocalMediaResolver(tmp_path), LocalMediaResolver(tmp_path, follow_symlinks=True)
    with pytest.raises(AssetNotFound):
        plain.resolve_for_upload(asset, cancel=CANCEL)
    assert list(plain.stat([asset], cancel=CANCEL)) == [None]
    with following.resolve_for_upload(asset, cancel=CANCEL).open() as stream:
        assert stream.read() == DATA
    (look,) = following.stat([asset], cancel=CANCEL)
    assert look is not None
    assert look.fingerprint == asset.fingerprint


def test_an_empty_folder_in_the_place_of_the_root_is_no_proof_of_absence(tmp_path: Path) -> None:
    # As the mount point shows when the disk is unplugged.
    root = tmp_path / "root"
    root.mkdir()
    (root / "clip.mov").write_bytes(DATA)
    asset = asset_at(root, "clip.mov")
    resolver = LocalMediaResolver(root)
    media = resolver.resolve_for_upload(asset, cancel=CANCEL)
    root.rename(tmp_path / "away")
    root.mkdir()
    with pytest.raises(SourceOfflineError, match="disk mounted"):
        media.open()
    with pytest.raises(SourceOfflineError, match="disk mounted"):
        resolver.stat([asset], cancel=CANCEL)
    # Another place with the file in it is as good as the first.
    shutil.copy2(tmp_path / "away/clip.mov", root / "clip.mov")
    assert None not in resolver.stat([asset], cancel=CANCEL)
    (root / "clip.mov").unlink()
    assert list(resolver.stat([asset], cancel=CANCEL)) == [None]


def test_each_call_that_comes_to_the_end_looks_at_the_file_once(tmp_path: Path) -> None:
    (tmp_path / "clip.mov").write_bytes(DATA)
    looks: list[int] = []
    descriptor = os.open(tmp_path / "clip.mov", os.O_RDONLY)
    stream = open_version(descriptor, start=0, end=len(DATA), verify=looks.append, failed=lambda error: error)
    with stream:
        assert isinstance(stream, io.BufferedReader)
        buffer = bytearray(len(DATA) + 1)
        for expected, read in enumerate((len(DATA), 0, 0), start=1):
            assert stream.readinto(buffer) == read
            assert len(looks) == expected
        # The last bytes again, from the buffer: they may be older than a change since.
        stream.seek(-10, os.SEEK_END)
        assert stream.read() == DATA[-10:]
        assert len(looks) == 4
        stream.seek(-10, os.SEEK_END)
        assert stream.read(10) == DATA[-10:]
        assert len(looks) == 5
        stream.seek(-20, os.SEEK_END)
        assert stream.read(10) == DATA[-20:-10]
        assert len(looks) == 5
