"""The fixed steps of the ladder, and what they cannot see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.probe.media_files import encode

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, OperationCancelled, SourceOfflineError
from media_watch_tasks.model.metadata import Confidence
from media_watch_tasks.probe import AvProber, BytesSource, LadderPolicy, LadderProber, Step

KIB, MIB = 1024, 1024 * 1024


class Recorder(BytesSource):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.calls: list[list[tuple[int, int]]] = []

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        self.calls.append(list(ranges))
        return super().read_many(ranges)


@pytest.fixture
def ladder(in_process: AvProber) -> LadderProber:
    return LadderProber(in_process)


def test_the_default_steps() -> None:
    views = list(LadderPolicy().views(100 * MIB))
    assert views == [
        ((0, 512 * KIB),),
        ((0, 5 * MIB),),
        ((0, 5 * MIB), (99 * MIB, MIB)),
        ((0, 100 * MIB),),
    ]


def test_a_small_file_has_one_step_and_a_huge_one_no_last() -> None:
    assert list(LadderPolicy().views(1_000)) == [((0, 1_000),)]
    assert list(LadderPolicy().views(10_000 * MIB))[-1] == ((0, 5 * MIB), (9_999 * MIB, MIB))
    assert list(LadderPolicy(whole_limit=0).views(1_000)) == []


def test_a_ladder_without_steps_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        LadderPolicy(steps=())


def test_it_climbs_until_the_answer_is_complete(tmp_path: Path, ladder: LadderProber) -> None:
    data = encode(tmp_path / "a.mp4", video="libx264", audio=None).read_bytes()
    index = data.index(b"moov") - 4
    padded = data[: index - 8] + data[index - 8 : index]
    late = padded + (7 * MIB).to_bytes(4, "big") + b"free" + bytes(7 * MIB - 8) + data[index:]
    source = Recorder(late)
    found = ladder.probe(source, name="a.mp4")
    assert found.duration == pytest.approx(2.0, abs=0.1)
    assert found.method is not None
    assert found.method.startswith("ladder/")
    assert [call[0] for call in source.calls] == [(0, 512 * KIB), (0, 5 * MIB), (len(late) - MIB, MIB)]
    assert found.bytes_read == 512 * KIB + 6 * MIB
    assert found.round_trips == 3


def test_it_stops_at_the_first_complete_answer(tmp_path: Path, ladder: LadderProber) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", options={"movflags": "faststart"})
    source = Recorder(path.read_bytes() + b"\0\0\0\1free" + (9 * MIB).to_bytes(8, "big") + bytes(9 * MIB - 16))
    assert ladder.probe(source, name="a.mp4").duration == pytest.approx(2.0, abs=0.1)
    assert source.calls == [[(0, 512 * KIB)]]


def test_an_answer_from_a_cut_off_view_is_never_taken_for_exact(tmp_path: Path, in_process: AvProber) -> None:
    data = encode(tmp_path / "a.ts", video="libx264", seconds=8, size=(320, 240)).read_bytes()
    policy = LadderPolicy(steps=(Step(head=len(data) // 4), Step(head=len(data) // 2)))
    found = LadderProber(in_process, policy).probe(BytesSource(data), name="a.ts")
    assert found.confidence is Confidence.PARTIAL


def test_errors_of_the_source_and_cancellation_pass(ladder: LadderProber) -> None:
    class Away(BytesSource):
        def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
            raise SourceOfflineError("away")

    with pytest.raises(SourceOfflineError):
        ladder.probe(Away(b"x" * 100))
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        ladder.probe(BytesSource(b"x" * 100), cancel=cancel)
    assert ladder.probe(BytesSource(b"")).error == "the file is empty"
