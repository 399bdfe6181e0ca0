"""What `AvProber` says of films and sounds, the same in this process and in a worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.frame import VideoFrame
from tests.probe.media_files import encode, encode_silence

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    OperationCancelled,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.local import LocalByteSource
from media_watch_tasks.model.metadata import Confidence, MediaMetadata
from media_watch_tasks.probe import AvProber, BytesSource, Probeable

CONTAINERS: dict[str, tuple[str | None, str | None]] = {
    "a.mp4": ("libx264", "aac"),
    "a.mov": ("libx265", "pcm_s16le"),
    "a.mkv": ("libx264", "flac"),
    "a.webm": ("libvpx-vp9", "libopus"),
    "a.avi": ("mpeg4", "libmp3lame"),
    "a.ts": ("libx264", "aac"),
    "a.mpg": ("mpeg2video", "mp2"),
    "a.flv": ("libx264", "aac"),
    "a.mxf": ("mpeg2video", "pcm_s16le"),
    "a.wmv": ("wmv2", "libmp3lame"),
    "a.ogg": (None, "libopus"),
    "a.mp3": (None, "libmp3lame"),
    "a.m4a": (None, "alac"),
    "a.flac": (None, "flac"),
    "a.wav": (None, "pcm_s24le"),
    "a.aiff": (None, "pcm_s16be"),
}
CODEC_OF = {
    "libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9", "libopus": "opus", "libmp3lame": "mp3",
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_is_described_as_it_was_made(prober: AvProber, tmp_path: Path, name: str) -> None:
    video, audio = CONTAINERS[name]
    path = encode(tmp_path / name, video=video, audio=audio, seconds=2)
    found = prober.probe(path)
    assert found.error is None
    assert found.size == path.stat().st_size
    assert found.duration == pytest.approx(2.0, abs=0.1)
    assert [(track.codec, track.width, track.height) for track in found.video] == (
        [(CODEC_OF.get(video, video), 64, 48)] if video else []
    )
    assert [(track.codec, track.channels, track.sample_rate) for track in found.audio] == (
        [(CODEC_OF.get(audio, audio), 2, 48_000)] if audio else []
    )
    assert found.bit_rate == pytest.approx(path.stat().st_size * 8 / (found.duration or 1), rel=0.01)
    if video:
        assert found.video[0].average_frame_rate == pytest.approx(25, abs=0.1)


def test_a_path_a_byte_path_and_a_byte_source_give_the_same(prober: AvProber, clip: Path) -> None:
    by_path = prober.probe(str(clip))
    assert prober.probe(bytes(clip)) == by_path
    with LocalByteSource(clip) as source:
        assert prober.probe(source, name="clip.mp4") == by_path
        assert source.read_at(4, 4) == b"ftyp", "the caller's source stays open"
    assert prober.probe(BytesSource(clip.read_bytes()), name="clip.mp4") == by_path


def test_what_is_written_is_read_back(clip: Path, in_workers: AvProber) -> None:
    found = in_workers.probe(clip)
    assert MediaMetadata.from_json(found.to_json()) == found


def test_many_are_described_in_their_order(prober: AvProber, clip: Path, tmp_path: Path) -> None:
    other = encode(tmp_path / "b.wav", video=None, audio="pcm_s16le")
    missing = tmp_path / "gone.mp4"
    sources: list[Probeable] = [clip, other, missing, BytesSource(clip.read_bytes()), lambda: LocalByteSource(other)]
    found = list(prober.probe_many(sources, workers=3))
    assert [each.container for each in found] == ["mp4", "wav", None, "mp4", "wav"]
    assert found[2].error is not None
    assert "gone.mp4" in found[2].error


def test_many_are_taken_as_answers_are_consumed(in_process: AvProber, clip: Path) -> None:
    taken: list[int] = []

    def sources() -> Iterator[Path]:
        for number in range(1_000):
            taken.append(number)
            yield clip

    answers = in_process.probe_many(sources(), workers=2)
    next(answers)
    answers.close()
    assert len(taken) <= 10


def test_bytes_are_described(prober: AvProber, clip: Path) -> None:
    data = clip.read_bytes()
    assert prober.probe_bytes(data, name="clip.mp4").confidence is Confidence.EXACT
    with pytest.raises(ConfigurationError, match="cannot have a head"):
        prober.probe_bytes(data, size=10)


def test_the_head_of_a_larger_file_is_never_taken_for_all_of_it(prober: AvProber, tmp_path: Path) -> None:
    data = encode(tmp_path / "a.ts", video="libx264", audio="aac", seconds=8, size=(320, 240)).read_bytes()
    whole = prober.probe_bytes(data, name="a.ts")
    head = prober.probe_bytes(data[: len(data) // 3], size=len(data), name="a.ts")
    assert whole.confidence is Confidence.EXACT
    assert head.confidence is Confidence.PARTIAL
    assert any("unknown" in warning for warning in head.warnings)
    assert head.size == len(data)


def test_a_file_that_was_cut_off_says_so(prober: AvProber, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", options={"movflags": "faststart"}, seconds=4, size=(320, 240))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 2_000])
    found = prober.probe(path)
    assert found.confidence is Confidence.PARTIAL
    assert any("cut off" in warning for warning in found.warnings)


def test_a_duration_from_the_bit_rate_is_an_estimate(prober: AvProber, tmp_path: Path) -> None:
    found = prober.probe(encode(tmp_path / "a.aac", video=None, audio="aac"))
    assert found.confidence is Confidence.ESTIMATED
    assert found.warnings == ("the duration follows from size and bit rate",)
    counted = prober.probe(encode(tmp_path / "a.mp3", video=None, audio="libmp3lame"))
    assert counted.confidence is Confidence.EXACT, "an Xing header counts the frames"


def test_the_whole_file_is_read_on_request(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.aac", video=None, audio="aac", seconds=10)
    with AvProber(isolation="none", whole_file=1 << 20) as patient:
        found = patient.probe(path)
    assert found.confidence is Confidence.EXACT
    assert found.method == "whole"
    assert found.duration == pytest.approx(10, abs=0.1)
    with AvProber(isolation="none", whole_file=100) as stingy:
        assert stingy.probe(path).confidence is Confidence.ESTIMATED


def test_dates_places_and_cameras_are_found(prober: AvProber, tmp_path: Path) -> None:
    tags = {
        "creation_time": "2024-05-06T07:08:09Z",
        "com.apple.quicktime.creationdate": "2024-05-06T09:08:09+0200",
        "com.apple.quicktime.location.ISO6709": "+48.8577+002.2950+035.000/",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15",
        "title": "Café",
        "comment": "first take",
    }
    path = encode(tmp_path / "a.mov", video="libx264", tags=tags, options={"movflags": "use_metadata_tags"})
    found = prober.probe(path)
    assert found.created == "2024-05-06T09:08:09+02:00"
    assert (found.make, found.model, found.title, found.comment) == ("Apple", "iPhone 15", "Café", "first take")
    assert found.gps is not None
    assert (found.gps.latitude, found.gps.longitude, found.gps.altitude) == (48.8577, 2.295, 35.0)


def test_a_creation_date_that_was_never_set_is_none(prober: AvProber, tmp_path: Path) -> None:
    assert prober.probe(encode(tmp_path / "a.mp4")).created is None


@pytest.mark.parametrize(("turned", "clockwise"), [(0, 0), (90, 270), (-90, 90), (180, 180)])
def test_rotation_and_display_size(prober: AvProber, tmp_path: Path, turned: int, clockwise: int) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(turned)
        for number in range(10):
            frame = VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    track = prober.probe(path).video[0]
    assert track.rotation == clockwise
    assert (track.width, track.height) == (64, 48)
    assert (track.display_width, track.display_height) == ((48, 64) if clockwise in {90, 270} else (64, 48))


def test_colour_depth_and_hdr(prober: AvProber, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        options = {"x265-params": "log-level=none:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"}
        stream = container.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 18, 9, 1
        for number in range(10):
            frame = VideoFrame(64, 48, "yuv420p10le")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    track = prober.probe(path).video[0]
    assert (track.pixel_format, track.bit_depth, track.profile) == ("yuv420p10le", 10, "Main 10")
    assert (track.color_primaries, track.color_transfer, track.color_matrix) == ("bt2020", "arib-std-b67", "bt2020nc")
    assert track.hdr == "HLG"


def test_all_tracks_with_their_languages_subtitles_and_chapters(prober: AvProber, tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4"):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            sounds = []
            for language in ("eng", "deu"):
                sound = container.add_stream("aac", rate=48_000)
                sound.layout, sound.metadata["language"] = "mono", language
                sounds.append(sound)
            container.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                    {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
                ]
            )
            for sound in sounds:
                encode_silence(container, sound, seconds=1)
        found = prober.probe(path)
        assert [(track.language, track.channels, track.layout) for track in found.audio] == [
            ("eng", 1, "mono"),
            ("deu", 1, "mono"),
        ]
        assert [(chapter.title, chapter.start, chapter.end) for chapter in found.chapters] == [
            ("One", 0.0, 0.5),
            ("Two", 0.5, pytest.approx(1.0, abs=0.05)),
        ]


def test_a_subtitle_file_is_described(prober: AvProber, tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,500\nHello\n\n", encoding="utf-8")
    found = prober.probe(path)
    assert [track.codec for track in found.subtitles] == ["subrip"]


class Moody(ByteSource):
    """Raises at the n-th reading."""

    def __init__(self, data: bytes, error: Exception, *, at_call: int) -> None:
        self._data = data
        self._error = error
        self._left = at_call

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return [self._data[offset : offset + length] for offset, length in ranges]


RAISED = [SourceOfflineError("away"), AuthenticationRequiredError("who"), AssetNotFound("gone"), AssetChanged("new")]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("at_call", [0, 1, 2])
def test_what_the_source_says_of_itself_is_raised_as_it_is(
    prober: AvProber, tmp_path: Path, error: Exception, at_call: int
) -> None:
    path = encode(tmp_path / "a.ts", video="libx264", seconds=8, size=(320, 240))
    data = path.read_bytes() * 20
    with pytest.raises(type(error)) as raised:
        prober.probe(Moody(data, error, at_call=at_call), name="a.ts")
    assert raised.value is error


@pytest.mark.parametrize("error", [TransientError("timed out"), OSError("cable"), ValueError("a bug")])
@pytest.mark.parametrize("at_call", [0, 1, 2])
def test_any_other_error_of_the_source_is_a_value_that_may_be_asked_for_again(
    prober: AvProber, tmp_path: Path, error: Exception, at_call: int
) -> None:
    data = encode(tmp_path / "a.ts", video="libx264", seconds=8, size=(320, 240)).read_bytes() * 20
    found = prober.probe(Moody(data, error, at_call=at_call), name="a.ts")
    assert found.error is not None
    assert str(error) in found.error
    assert found.transient


def test_a_cancelled_probe_ends(prober: AvProber, clip: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        prober.probe(clip, cancel=cancel)


def test_a_probe_that_is_cancelled_while_it_reads_ends(prober: AvProber, tmp_path: Path) -> None:
    data = encode(tmp_path / "a.ts", video="libx264", seconds=8, size=(320, 240)).read_bytes() * 20
    cancel = CancelToken()

    class Canceller(BytesSource):
        def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
            cancel.cancel()
            return super().read_many(ranges)

    with pytest.raises(OperationCancelled):
        prober.probe(Canceller(data), name="a.ts", cancel=cancel)
    assert prober.probe_bytes(data, name="a.ts").error is None, "the next one is not concerned"


@pytest.mark.parametrize("name", ["", "a.mp4", "a.jpg"])
def test_what_is_no_media_gets_an_error_value(prober: AvProber, name: str) -> None:
    for data in (b"", b"\0" * 10, b"plain text, nothing else\n" * 100, bytes(range(256)) * 300):
        found = prober.probe_bytes(data, name=name)
        assert found.error is not None
        assert not found.transient
        assert found.size == len(data)


def test_a_missing_file_and_a_folder_are_named(prober: AvProber, tmp_path: Path) -> None:
    with pytest.raises(AssetNotFound, match=r"gone\.mp4"):
        prober.probe(tmp_path / "gone.mp4")
    with pytest.raises(AssetNotFound, match="no file"):
        prober.probe(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"isolation": "thread"},
        {"workers": 0},
        {"timeout": 0},
        {"memory_limit": 5},
        {"byte_budget": 5},
        {"whole_file": -1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AvProber(**wrong)


def test_names_with_surrogates_and_patterns_do_no_harm(prober: AvProber, clip: Path) -> None:
    data = clip.read_bytes()
    for name in ("a\udc80.mp4", "https://example.invalid/%03d.mp4", "concat:x|y.mp4", "\0.mp4", "x" * 5_000 + ".mp4"):
        assert prober.probe_bytes(data, name=name).error is None


def test_timecode_of_a_mov_is_read(prober: AvProber, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mov", video="libx264", audio=None, tags={"timecode": "01:02:03:04"}, rate=25)
    assert b"tmcd" in path.read_bytes()
    assert prober.probe(path).timecode == "01:02:03:04"
