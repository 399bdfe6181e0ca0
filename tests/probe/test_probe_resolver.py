"""`ProbingResolver` adds a description to an asset and takes nothing away."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from media_watch_tasks.abc.byte_source import ByteSource, OpensByteSources
from media_watch_tasks.abc.prober import MediaProber
from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, SourceOfflineError, TransientError
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe import AvProber, BytesSource, ProbingResolver


class Memory(MediaResolver):
    """Assets in memory, read through streams."""

    def __init__(self, files: dict[bytes, bytes], *, error: Exception | None = None) -> None:
        self.files = files
        self.error = error
        self.streams: list[tuple[int, int | None]] = []
        self.known: list[MediaMetadata | None] = []

    @property
    def source_id(self) -> str:
        return "memory"

    def resolve_for_upload(
        self, asset: MediaAsset, *, known_metadata: MediaMetadata | None = None, cancel: CancelToken
    ) -> ResolvedMedia:
        self.known.append(known_metadata)
        if asset.asset_id not in self.files:
            raise AssetNotFound(asset.display)
        return ResolvedMedia(asset, "video/mp4", lambda offset, length: self.open(asset, offset, length))

    def open(self, asset: MediaAsset, offset: int, length: int | None) -> BinaryIO:
        self.streams.append((offset, length))
        if self.error is not None:
            raise self.error
        data = self.files[asset.asset_id]
        return io.BytesIO(data[offset : len(data) if length is None else offset + length])

    def stat(self, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> Sequence[AssetStat | None]:
        return [AssetStat(asset.size, asset.mtime_ns) for asset in assets]


class WithByteSources(Memory, OpensByteSources):
    """The same, with random access."""

    opened = 0
    closed = 0

    def open_byte_source(self, asset: MediaAsset, *, cancel: CancelToken) -> ByteSource:
        self.opened += 1
        outer = self

        class Counted(BytesSource):
            def close(self) -> None:
                outer.closed += 1

        return Counted(self.files[asset.asset_id])


def _asset(name: bytes, data: bytes) -> MediaAsset:
    return MediaAsset("memory", name, len(data), 1)


@pytest.fixture
def data(clip: Path) -> bytes:
    return clip.read_bytes()


@pytest.fixture
def cancel() -> CancelToken:
    return CancelToken()


def test_an_asset_is_described_through_its_streams(prober: AvProber, data: bytes, cancel: CancelToken) -> None:
    inner = Memory({b"d/a.mp4": data})
    resolver = ProbingResolver(inner, prober)
    media = resolver.resolve_for_upload(_asset(b"d/a.mp4", data), cancel=cancel)
    assert media.metadata is not None
    assert media.metadata.video[0].codec == "h264"
    assert media.open().read() == data
    assert inner.streams[0] == (0, len(data))


def test_random_access_is_used_where_there_is_some(prober: AvProber, data: bytes, cancel: CancelToken) -> None:
    inner = WithByteSources({b"a.mp4": data})
    media = ProbingResolver(inner, prober).resolve_for_upload(_asset(b"a.mp4", data), cancel=cancel)
    assert media.metadata is not None
    assert (inner.opened, inner.closed, inner.streams) == (1, 1, [])


def test_known_metadata_is_kept_and_nothing_is_read(in_process: AvProber, data: bytes, cancel: CancelToken) -> None:
    inner, known = Memory({b"a.mp4": data}), MediaMetadata(duration=5.0)
    media = ProbingResolver(inner, in_process).resolve_for_upload(
        _asset(b"a.mp4", data), known_metadata=known, cancel=cancel
    )
    assert media.metadata is known
    assert inner.known == [known]
    assert inner.streams == []


def test_other_kinds_are_left_alone(in_process: AvProber, data: bytes, cancel: CancelToken) -> None:
    inner = Memory({b"a.nfo": data, b"a.jpg": data})
    assert ProbingResolver(inner, in_process).resolve_for_upload(_asset(b"a.nfo", data), cancel=cancel).metadata is None
    films_only = ProbingResolver(inner, in_process, kinds=frozenset({MediaKind.VIDEO}))
    assert films_only.resolve_for_upload(_asset(b"a.jpg", data), cancel=cancel).metadata is None
    assert inner.streams == []


def test_a_damaged_file_is_still_delivered(prober: AvProber, cancel: CancelToken) -> None:
    data = b"no film at all" * 100
    media = ProbingResolver(Memory({b"a.mp4": data}), prober).resolve_for_upload(_asset(b"a.mp4", data), cancel=cancel)
    assert media.metadata is not None
    assert media.metadata.error is not None
    assert media.open().read() == data


@pytest.mark.parametrize("error", [TransientError("i/o"), OSError("i/o")])
def test_an_i_o_error_of_the_probe_does_not_cost_the_upload(
    prober: AvProber, data: bytes, cancel: CancelToken, error: Exception
) -> None:
    inner = Memory({b"a.mp4": data}, error=error)
    media = ProbingResolver(inner, prober).resolve_for_upload(_asset(b"a.mp4", data), cancel=cancel)
    assert media.metadata is not None
    assert media.metadata.transient


@pytest.mark.parametrize("error", [SourceOfflineError("away"), AssetChanged("new"), AssetNotFound("gone")])
def test_what_concerns_the_upload_too_is_raised(
    prober: AvProber, data: bytes, cancel: CancelToken, error: Exception
) -> None:
    resolver = ProbingResolver(Memory({b"a.mp4": data}, error=error), prober)
    with pytest.raises(type(error)):
        resolver.resolve_for_upload(_asset(b"a.mp4", data), cancel=cancel)


def test_everything_else_is_that_of_the_wrapped_resolver(cancel: CancelToken) -> None:
    class Never(MediaProber):
        def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
            raise AssertionError("nothing is to be probed")

    inner = Memory({})
    resolver = ProbingResolver(inner, Never())
    assert resolver.source_id == "memory"
    assert resolver.stat([_asset(b"a.mp4", b"xx")], cancel=cancel) == [AssetStat(2, 1)]
    with pytest.raises(AssetNotFound):
        resolver.resolve_for_upload(_asset(b"a.mp4", b""), cancel=cancel)
