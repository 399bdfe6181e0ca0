"""MediaResolver suite: the streams of an asset, and versions that change while they are read."""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name states its fact

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, OperationCancelled
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.testing.contracts.page_rules import only
from media_watch_tasks.testing.contracts.source_base import ODD_NAMES, SourceSuite, classified_as, needs
from media_watch_tasks.testing.places import Place

__all__ = ["ResolverChangesContract", "ResolverStreamsContract"]

_LARGE = 5 * 1024 * 1024 + 333
# Bytes of a file that no buffer holds whole.


def _payload(size: int, *, seed: int = 0) -> bytes:
    """Bytes that differ everywhere, the same at every run."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - test data


class ResolverStreamsContract(SourceSuite):
    """`resolve_for_upload`, `open` and `open_range`."""

    def resolve(self, place: Place, asset: MediaAsset) -> ResolvedMedia:
        """The asset, ready to be read."""
        return place.resolver().resolve_for_upload(asset, cancel=self.token())

    def test_the_media_describes_the_asset(self, place: Place) -> None:
        place.write("a/clip.MOV", b"footage")
        asset = self.asset(place, "a/clip.MOV")
        media = self.resolve(place, asset)
        assert media.asset == asset
        assert (media.name, media.size, media.mime_type) == ("clip.MOV", 7, "video/quicktime")

    def test_metadata_that_is_known_is_passed_on(self, place: Place) -> None:
        place.write("clip.mov")
        known = MediaMetadata(container="mov", duration=12.5)
        asset = self.asset(place, "clip.mov")
        media = place.resolver().resolve_for_upload(asset, known_metadata=known, cancel=self.token())
        assert media.metadata == known

    @pytest.mark.parametrize("size", [1, 4_096, 1_048_576, _LARGE])
    def test_a_stream_holds_exactly_the_bytes(self, place: Place, size: int) -> None:
        data = _payload(size)
        place.write("clip.mov", data)
        with self.resolve(place, self.asset(place, "clip.mov")).open() as stream:
            assert stream.read() == data
            assert stream.read() == b""
            assert stream.read(10) == b""

    @pytest.mark.parametrize("portion", [1_000, 65_536, 1_048_576, 3_000_000])
    def test_portions_of_any_size_add_up(self, place: Place, portion: int) -> None:
        data = _payload(_LARGE)
        place.write("clip.mov", data)
        parts = []
        with self.resolve(place, self.asset(place, "clip.mov")).open() as stream:
            while part := stream.read(portion):
                assert len(part) <= portion
                parts.append(part)
        assert b"".join(parts) == data

    def test_every_open_begins_at_byte_0(self, place: Place) -> None:
        data = _payload(300_000)
        place.write("clip.mov", data)
        media = self.resolve(place, self.asset(place, "clip.mov"))
        with media.open() as first, media.open() as second:
            assert first.read(100_000) == data[:100_000]
            assert second.read(200_000) == data[:200_000]
            assert first.read(50_000) == data[100_000:150_000]
        with media.open() as third:
            assert third.read() == data

    @pytest.mark.parametrize(
        ("offset", "length"),
        [
            (0, 1), (0, 300_000), (1, 299_999), (150_000, 100), (299_999, 1),
            (299_990, 100), (300_000, 1), (400_000, 5), (7, 0),
        ],
    )  # fmt: skip
    def test_a_range_holds_its_bytes(self, place: Place, offset: int, length: int) -> None:
        data = _payload(300_000)
        place.write("clip.mov", data)
        with self.resolve(place, self.asset(place, "clip.mov")).open_range(offset, length) as stream:
            assert stream.read() == data[offset : offset + length]
            assert stream.read() == b""

    def test_a_stream_is_binary_and_closes(self, place: Place) -> None:
        place.write("clip.mov", b"footage")
        with self.resolve(place, self.asset(place, "clip.mov")).open() as stream:
            assert stream.readable()
            assert isinstance(stream.read(1), bytes)
        assert stream.closed
        with pytest.raises(ValueError, match="closed"):
            stream.read()

    def test_a_file_without_bytes_can_be_read(self, place: Place) -> None:
        place.write("clip.mov", b"footage")
        listed = self.asset(place, "clip.mov")
        place.truncate("clip.mov", 0)
        found = only(place.resolver().stat([listed], cancel=self.token()))
        assert found is not None
        asset = MediaAsset(listed.source_id, listed.asset_id, 0, found.mtime_ns, found.file_id)
        with self.resolve(place, asset).open() as stream:
            assert stream.read() == b""

    def test_files_with_odd_names_are_read_by_the_bytes_of_their_names(self, place: Place) -> None:
        names = [name for name in ODD_NAMES if place.holds(name)]
        for name in names:
            place.write(name, b"content of " + name)
        for name, asset in self.assets(place).items():
            with self.resolve(place, asset).open() as stream:
                assert stream.read() == b"content of " + name

    def test_one_resolver_serves_many_threads(self, place: Place) -> None:
        contents = {b"%d.mov" % number: _payload(200_000, seed=number) for number in range(8)}
        for name, data in contents.items():
            place.write(name, data)
        resolver, assets = place.resolver(), self.assets(place)
        read: dict[bytes, bytes] = {}

        def work(name: bytes) -> None:
            for _ in range(5):
                with resolver.resolve_for_upload(assets[name], cancel=CancelToken()).open() as stream:
                    read[name] = b"".join(iter(lambda: stream.read(10_000), b""))

        threads = [threading.Thread(target=work, args=(name,)) for name in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert read == contents

    def test_what_was_cancelled_is_not_resolved(self, place: Place) -> None:
        place.write("clip.mov")
        asset = self.asset(place, "clip.mov")
        cancel = CancelToken()
        cancel.cancel()
        with classified_as(OperationCancelled):
            place.resolver().resolve_for_upload(asset, cancel=cancel)


def _grow(place: Place) -> None:
    place.append("clip.mov", b"more")


def _grow_a_lot(place: Place) -> None:
    place.append("clip.mov", _payload(_LARGE, seed=1))


def _cut(place: Place) -> None:
    place.truncate("clip.mov", _LARGE // 2)


def _rewrite(place: Place) -> None:
    place.tick()
    place.write("clip.mov", _payload(_LARGE, seed=2))


def _replace(place: Place) -> None:
    place.write("new.mov", _payload(_LARGE + 1, seed=3))
    place.rename("new.mov", "clip.mov")


def _replace_by_equal_size(place: Place) -> None:
    place.write("new.mov", _payload(_LARGE, seed=4), mtime_ns=1_600_000_000_000_000_000)
    place.rename("new.mov", "clip.mov")


def _touch(place: Place) -> None:
    place.set_mtime("clip.mov", 1_500_000_000_000_000_000)


_CHANGES: dict[str, Callable[[Place], None]] = {
    "grown": _grow,
    "grown a lot": _grow_a_lot,
    "cut off": _cut,
    "written again": _rewrite,
    "replaced": _replace,
    "replaced by one of equal size": _replace_by_equal_size,
    "given another time": _touch,
}


class ResolverChangesContract(ResolverStreamsContract):
    """A stream gives the version that the asset names, or `AssetChanged`; never a mixture that looks whole."""

    @pytest.fixture
    def clip(self, place: Place) -> MediaAsset:
        """A large file."""
        place.write("clip.mov", _payload(_LARGE))
        place.tick()
        return self.asset(place, "clip.mov")

    @pytest.mark.parametrize("change", _CHANGES)
    def test_another_version_is_not_resolved(self, place: Place, clip: MediaAsset, change: str) -> None:
        _CHANGES[change](place)
        with classified_as(AssetChanged):
            self.resolve(place, clip)

    @pytest.mark.parametrize("change", _CHANGES)
    def test_another_version_is_not_opened(self, place: Place, clip: MediaAsset, change: str) -> None:
        media = self.resolve(place, clip)
        _CHANGES[change](place)
        with classified_as(AssetChanged):
            _read_all(media)

    @needs("watches_streams")
    @pytest.mark.parametrize("portion", [100_000, 2_000_000])
    @pytest.mark.parametrize("change", _CHANGES)
    def test_a_version_that_changes_while_it_is_read_does_not_end_well(
        self, place: Place, clip: MediaAsset, change: str, portion: int
    ) -> None:
        with self.resolve(place, clip).open() as stream:
            done = len(stream.read(100_000))
            _CHANGES[change](place)
            with classified_as(AssetChanged):
                done = _read_on(stream.read, portion, done)
        assert done < clip.size, "all bytes were handed out before the change was told"

    @needs("watches_streams")
    @pytest.mark.parametrize("change", ["grown", "replaced", "given another time"])
    def test_a_change_in_the_last_moment_is_told(self, place: Place, change: str) -> None:
        # The whole file fits into any buffer: what is told must be true when the last bytes are handed out.
        place.write("clip.mov", b"0123456789")
        place.tick()
        with self.resolve(place, self.asset(place, "clip.mov")).open() as stream:
            assert stream.read(9) == b"012345678"
            _CHANGES[change](place)
            with classified_as(AssetChanged):
                stream.read(1)

    @pytest.mark.parametrize("change", _CHANGES)
    def test_a_range_of_another_version_is_not_read(self, place: Place, clip: MediaAsset, change: str) -> None:
        media = self.resolve(place, clip)
        _CHANGES[change](place)
        with classified_as(AssetChanged), media.open_range(1_000, 1_000) as stream:
            stream.read()

    def test_a_file_that_is_gone_is_not_opened(self, place: Place, clip: MediaAsset) -> None:
        media = self.resolve(place, clip)
        place.remove("clip.mov")
        with classified_as(AssetNotFound):
            media.open()

    @needs("keeps_open_files")
    def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end(self, place: Place, clip: MediaAsset) -> None:
        with self.resolve(place, clip).open() as stream:
            start = stream.read(100_000)
            place.remove("clip.mov")
            assert start + stream.read() == _payload(_LARGE)


def _read_on(read: Callable[[int], bytes], portion: int, done: int) -> int:
    while part := read(portion):
        done += len(part)
    return done


def _read_all(media: ResolvedMedia) -> bytes:
    with media.open() as stream:
        return stream.read()
