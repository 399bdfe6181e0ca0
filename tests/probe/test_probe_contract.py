"""The contract of `MediaProber`, sentence by sentence, and wrong probers that it has to fail."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import pytest
from tests.probe.media_files import encode

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.abc.prober import MediaProber
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    OperationCancelled,
    SourceOfflineError,
)
from media_watch_tasks.model.metadata import Confidence, MediaMetadata, VideoTrack
from media_watch_tasks.probe import AvProber, BytesSource, LadderProber

Check = Callable[[MediaProber, dict[str, bytes]], None]
CHECKS: list[Check] = []


def promise(check: Check) -> Check:
    CHECKS.append(check)
    return check


class Watched(BytesSource):
    def __init__(self, data: bytes, *, size: int | None = None, error: Exception | None = None, after: int = 0) -> None:
        super().__init__(data, size=size)
        self.error = error
        self.after = after
        self.read = 0
        self.calls = 0
        self.closed = False

    def read_at(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        self.calls += 1
        if self.error is not None and self.calls > self.after:
            raise self.error
        pieces = [BytesSource.read_at(self, offset, length) for offset, length in ranges]
        self.read += sum(map(len, pieces))
        return pieces

    def close(self) -> None:
        self.closed = True


@promise
def describes_a_file(prober: MediaProber, files: dict[str, bytes]) -> None:
    found = prober.probe(BytesSource(files["film.mp4"]), name="film.mp4")
    assert [(track.codec, track.width, track.height) for track in found.video] == [("h264", 64, 48)]
    assert found.duration == pytest.approx(2.0, abs=0.1)
    assert found.error is None


@promise
def leaves_the_source_open(prober: MediaProber, files: dict[str, bytes]) -> None:
    source = Watched(files["film.mp4"])
    prober.probe(source, name="film.mp4")
    assert not source.closed


@promise
def gives_a_value_for_what_cannot_be_described(prober: MediaProber, files: dict[str, bytes]) -> None:
    for data in (b"", b"text" * 1_000, files["film.mp4"][:40], files["film.mp4"].replace(b"moov", b"m00v")):
        assert prober.probe(BytesSource(data), name="a.mp4").error is not None


@promise
def leaves_the_unknown_unknown(prober: MediaProber, files: dict[str, bytes]) -> None:
    found = prober.probe(BytesSource(files["film.mp4"]), name="film.mp4")
    assert (found.created, found.gps, found.make, found.rating, found.timecode) == (None,) * 5
    assert found.video[0].hdr is None


@promise
def says_so_where_a_part_was_not_seen(prober: MediaProber, files: dict[str, bytes]) -> None:
    data = files["long.ts"]
    found = prober.probe(BytesSource(data[: len(data) // 3], size=len(data)), name="long.ts")
    assert found.error is not None or found.confidence is Confidence.PARTIAL


@promise
def raises_what_the_source_says_of_itself(prober: MediaProber, files: dict[str, bytes]) -> None:
    for error in (SourceOfflineError("x"), AuthenticationRequiredError("x"), AssetNotFound("x"), AssetChanged("x")):
        for after in (0, 1):
            source = Watched(files["long.ts"] * 40, error=error, after=after)
            with pytest.raises(type(error)):
                prober.probe(source, name="long.ts")


@promise
def gives_a_value_for_other_errors_of_the_source(prober: MediaProber, files: dict[str, bytes]) -> None:
    assert prober.probe(Watched(files["long.ts"], error=OSError("cable")), name="long.ts").error is not None


@promise
def ends_when_it_is_cancelled(prober: MediaProber, files: dict[str, bytes]) -> None:
    cancel = CancelToken()
    cancel.cancel()
    source = Watched(files["film.mp4"])
    with pytest.raises(OperationCancelled):
        prober.probe(source, name="film.mp4", cancel=cancel)
    assert source.calls == 0


@promise
def reads_little(prober: MediaProber, files: dict[str, bytes]) -> None:
    large = files["film.mp4"] + b"\0\0\0\1free" + (20 << 20).to_bytes(8, "big") + bytes((20 << 20) - 16)
    source = Watched(large)
    found = prober.probe(source, name="film.mp4")
    assert source.read <= 1 << 20
    assert (found.bytes_read, found.size) == (source.read, len(large))
    assert found.round_trips == source.calls


@promise
def may_be_closed_again(prober: MediaProber, files: dict[str, bytes]) -> None:
    del files
    prober.close()
    prober.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder: Path = tmp_path_factory.mktemp("files")
    return {
        "film.mp4": encode(folder / "film.mp4", video="libx264", audio=None).read_bytes(),
        "long.ts": encode(folder / "long.ts", video="libx264", seconds=8, size=(320, 240)).read_bytes(),
    }


@pytest.fixture(params=["in this process", "in workers"])
def implementation(request: pytest.FixtureRequest) -> Iterator[MediaProber]:
    with AvProber(isolation="none" if request.param == "in this process" else "process", workers=1) as prober:
        yield prober


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_prober_keeps(implementation: MediaProber, files: dict[str, bytes], check: Check) -> None:
    check(implementation, files)


class Delegate(MediaProber):
    """A right prober to make wrong ones from."""

    def __init__(self) -> None:
        self.right = AvProber(isolation="none")

    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        return self.right.probe(source, name=name, cancel=cancel)


class ClosesTheSource(Delegate):
    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        with source:
            return super().probe(source, name=name, cancel=cancel)


class SwallowsEverything(Delegate):
    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        try:
            return super().probe(source, name=name, cancel=cancel)
        except Exception as error:  # noqa: BLE001 - that is its fault
            return MediaMetadata(error=str(error))


class TakesTheViewForTheFile(MediaProber):
    """What the analyzer did: the head in memory, and whatever FFmpeg says of it."""

    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        if cancel is not None:
            cancel.raise_if_cancelled()
        try:
            head = source.read_at(0, 512 * 1024)
        except OSError as error:
            return MediaMetadata(error=str(error))
        try:
            with av.open(io.BytesIO(head), "r") as container:
                video = tuple(
                    VideoTrack(codec=s.codec_context.name, width=s.width, height=s.height)
                    for s in container.streams.video
                )
                duration = container.duration / 1e6 if container.duration else None
                return MediaMetadata(
                    duration=duration, video=video, bytes_read=len(head), size=source.size, round_trips=1
                )
        except av.error.FFmpegError as error:
            return MediaMetadata(error=str(error))


class RaisesOnDamage(Delegate):
    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        found = super().probe(source, name=name, cancel=cancel)
        if found.error is not None:
            raise ValueError(found.error)
        return found


class IgnoresCancellation(Delegate):
    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        return super().probe(source, name=name)


class ReadsEverything(Delegate):
    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        if cancel is not None:
            cancel.raise_if_cancelled()
        data = source.read_at(0, source.size)
        return super().probe(BytesSource(data, size=source.size), name=name)


class Guesses(Delegate):
    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        found = super().probe(source, name=name, cancel=cancel)
        return MediaMetadata(created="1970-01-01T00:00:00Z", size=found.size)


class LosesLateErrors(Delegate):
    """Takes an error after the first reading for the end of the file, as FFmpeg does."""

    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        class Deaf(ByteSource):
            calls = 0

            @property
            def size(self) -> int:
                return source.size

            def read_at(self, offset: int, length: int) -> bytes:
                self.calls += 1
                try:
                    return source.read_at(offset, length)
                except Exception:
                    if self.calls == 1:
                        raise
                    return b""

        return super().probe(Deaf(), name=name, cancel=cancel)


class CannotBeClosedAgain(Delegate):
    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


MUTANTS: dict[type[MediaProber], str] = {
    ClosesTheSource: "leaves_the_source_open",
    SwallowsEverything: "raises_what_the_source_says_of_itself",
    TakesTheViewForTheFile: "says_so_where_a_part_was_not_seen",
    RaisesOnDamage: "gives_a_value_for_what_cannot_be_described",
    IgnoresCancellation: "ends_when_it_is_cancelled",
    ReadsEverything: "reads_little",
    Guesses: "leaves_the_unknown_unknown",
    LosesLateErrors: "raises_what_the_source_says_of_itself",
    CannotBeClosedAgain: "may_be_closed_again",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_wrong_prober_is_found_out(files: dict[str, bytes], mutant: type[MediaProber]) -> None:
    check = next(each for each in CHECKS if each.__name__ == MUTANTS[mutant])
    with pytest.raises((AssertionError, pytest.fail.Exception, Exception)) as found:
        check(mutant(), files)
    assert not isinstance(found.value, (TypeError, AttributeError, NameError)), (
        "it fails for the reason that it is made for"
    )


def test_the_ladder_is_a_prober_too(files: dict[str, bytes]) -> None:
    with AvProber(isolation="none") as inner:
        for check in CHECKS:
            if check.__name__ != "gives_a_value_for_other_errors_of_the_source":
                check(LadderProber(inner), files)
