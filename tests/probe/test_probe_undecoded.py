"""H.264 and H.265 are described without decoding a frame, just as their decoders describe them."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from tests.probe.media_files import encode

from media_watch_tasks.model.metadata import MediaMetadata, VideoTrack
from media_watch_tasks.probe import AvProber, containers, extraction
from media_watch_tasks.probe.parameter_sets import read_extradata
from media_watch_tasks.probe.undecoded import UndecidedError, from_parameter_sets

STREAMS: dict[str, dict[str, object]] = {
    "h264": {"video": "libx264"},
    "h264, 4:2:2, ten bits": {"video": "libx264", "pixel_format": "yuv422p10le"},
    "h264, 4:4:4": {"video": "libx264", "pixel_format": "yuv444p"},
    "h264, full range": {"video": "libx264", "pixel_format": "yuvj420p"},
    "h264, odd size": {"video": "libx264", "size": (98, 54)},
    "hevc": {"video": "libx265"},
    "hevc, ten bits": {"video": "libx265", "pixel_format": "yuv420p10le"},
    "hevc, many reference pictures": {"video": "libx265", "seconds": 3, "size": (642, 362)},
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the decoders ran, for each opening of a file."""
    calls: list[bool] = []
    real = extraction.describe

    def noting(container: object, *, decoded: bool) -> MediaMetadata:
        calls.append(decoded)
        return real(container, decoded=decoded)

    monkeypatch.setattr(containers, "describe", noting)
    return calls


def _decoded(prober: AvProber, path: Path) -> MediaMetadata:
    def refuse(track: VideoTrack, extradata: bytes) -> VideoTrack:
        raise UndecidedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("media_watch_tasks.probe.extraction.from_parameter_sets", refuse)
        return prober.probe(path)


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
@pytest.mark.parametrize("stream", STREAMS)
def test_nothing_is_decoded_and_nothing_is_lost(
    in_process: AvProber, tmp_path: Path, opened: list[bool], stream: str, suffix: str
) -> None:
    path = encode(tmp_path / f"a.{suffix}", audio=None, **STREAMS[stream])  # type: ignore[arg-type] # a table of keywords
    quick = in_process.probe(path)
    assert opened == [False]
    full = _decoded(in_process, path)
    assert opened == [False, False, True]
    assert full.duration == quick.duration
    for a, b in zip(quick.video, full.video, strict=True):
        assert attrs.evolve(a, real_frame_rate=None) == attrs.evolve(b, real_frame_rate=None)
        assert a.real_frame_rate in {None, b.real_frame_rate}


def test_what_parameter_sets_leave_open_is_decoded(in_process: AvProber, tmp_path: Path, opened: list[bool]) -> None:
    found = in_process.probe(encode(tmp_path / "a.ts", video="libx264", audio=None, pixel_format="gray"))
    assert found.video[0].width == 64
    assert opened == [False, True]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize(
    "extradata", [b"", b"\0\0\1", b"\0\0\0\1\x67\x64", b"\1" * 40, b"\0\0\1\x42\x01" + b"\xff" * 90]
)
def test_broken_parameter_sets_decide_nothing(codec: str, extradata: bytes) -> None:
    track = VideoTrack(codec=codec, width=64, height=48)
    with pytest.raises(UndecidedError):
        from_parameter_sets(track, extradata)


def test_a_size_that_contradicts_the_container_decides_nothing(tmp_path: Path) -> None:
    import av  # noqa: PLC0415 - the only use here

    with av.open(str(encode(tmp_path / "a.mkv", video="libx264", audio=None))) as container:
        extradata = container.streams.video[0].codec_context.extradata or b""
    config = read_extradata("h264", extradata)
    assert config is not None
    assert (config.width, config.height, config.pixel_format) == (64, 48, "yuv420p")
    assert from_parameter_sets(VideoTrack(codec="h264", width=64, height=48), extradata).pixel_format == "yuv420p"
    with pytest.raises(UndecidedError):
        from_parameter_sets(VideoTrack(codec="h264", width=65, height=48), extradata)


def test_other_codecs_are_left_as_they_are() -> None:
    track = VideoTrack(codec="mpeg2video", width=64, height=48)
    assert from_parameter_sets(track, b"") is track
