"""What FFmpeg and the box walkers rely on when they read through `RangeReader`."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.probe import BytesSource, RangeReader, ReadPolicy

DATA = random.Random(7).randbytes(300_000)
SMALL = ReadPolicy(head=100, tail=100, block=64, read_ahead=1_024)


class Recorder(ByteSource):
    """Notes what is asked for, and misbehaves as told."""

    def __init__(self, data: bytes = DATA, *, surplus: int = 0, fails_after: int | None = None) -> None:
        self._data = data
        self._surplus = surplus
        self._fails_after = fails_after
        self.calls: list[list[tuple[int, int]]] = []

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length + self._surplus]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        self.calls.append(list(ranges))
        if self._fails_after is not None and len(self.calls) > self._fails_after:
            raise OSError("the cable was pulled")
        return [self.read_at(offset, length) for offset, length in ranges]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 5_000), st.just(0)),
        st.tuples(st.just("seek"), st.integers(-2_000, 4_000), st.sampled_from([0, 1, 2])),
        st.tuples(st.just("at"), st.integers(0, 4_000), st.integers(0, 700)),
    ),
    max_size=60,
)


@given(steps)
def test_every_read_equals_the_file(script: list[tuple[str, int, int]]) -> None:
    data = DATA[:3_000]
    reader, position = RangeReader(Recorder(data), SMALL), 0
    for action, number, extra in script:
        if action == "read":
            got = reader.read(number)
            assert got == data[position : position + len(got)]
            assert len(got) <= number
            assert got or number == 0 or position >= len(data)
            position += len(got)
        elif action == "seek":
            target = {0: 0, 1: position, 2: len(data)}[extra] + number
            assert reader.seek(number, extra) == (target if target >= 0 else -1)
            position = target if target >= 0 else position
        else:
            assert reader.at(number, extra) == data[number : number + extra]
        assert reader.tell() == position


def test_head_and_tail_come_in_one_round_trip() -> None:
    source = Recorder()
    reader = RangeReader(source, SMALL)
    reader.open_ends()
    assert source.calls == [[(0, 100), (299_900, 100)]]
    assert reader.round_trips == 1
    assert reader.bytes_read == 200


def test_what_is_cached_is_not_read_again() -> None:
    source = Recorder()
    reader = RangeReader(source, SMALL)
    reader.open_ends()
    assert reader.at(0, 100) + reader.at(299_950, 50) == DATA[:100] + DATA[299_950:]
    reader.prefetch([(10, 50), (299_900, 20)])
    assert len(source.calls) == 1


def test_a_small_file_is_read_whole_at_once() -> None:
    source = Recorder(DATA[:150])
    reader = RangeReader(source, SMALL)
    reader.open_ends()
    assert source.calls == [[(0, 150)]]
    assert reader.complete


def test_reads_that_go_straight_on_ask_for_more_each_time_up_to_the_limit() -> None:
    source = Recorder()
    reader = RangeReader(source, SMALL)
    while reader.read(64):
        pass
    lengths = [sum(length for _, length in call) for call in source.calls]
    assert lengths[:6] == [64, 128, 256, 512, 1_024, 1_024]
    assert max(lengths) == 1_024


def test_a_jump_reads_one_block() -> None:
    source = Recorder()
    reader = RangeReader(source, SMALL)
    for offset in (1_000, 90_000, 20_000):
        reader.at(offset, 10)
    assert source.calls == [[(1_000, 64)], [(90_000, 64)], [(20_000, 64)]]


def test_a_read_never_returns_more_than_was_asked_for_even_if_the_source_does() -> None:
    reader = RangeReader(Recorder(surplus=5_000), SMALL)
    for length in (1, 10, 100, 1_000):
        assert len(reader.read(length)) <= length
    assert reader.at(50, 20) == DATA[50:70]


def test_seek_answers_a_negative_number_where_it_cannot_go() -> None:
    reader = RangeReader(Recorder(), SMALL)
    reader.seek(10)
    assert reader.seek(-11, os.SEEK_CUR) == -1
    assert reader.seek(0, 0x10000) == -1
    assert reader.tell() == 10


def test_an_error_of_the_source_is_remembered_and_the_file_seems_to_end() -> None:
    source = Recorder(fails_after=1)
    reader = RangeReader(source, SMALL)
    assert reader.read(64) == DATA[:64]
    assert reader.read(64) == b""
    assert isinstance(reader.failure, OSError)
    reader.seek(200_000)
    assert reader.read(64) == b""
    assert len(source.calls) == 2, "a source that failed is left alone"


def test_the_budget_ends_the_reading() -> None:
    source = Recorder()
    reader = RangeReader(source, ReadPolicy(head=100, tail=100, block=64, read_ahead=1_024, budget=1_000))
    while reader.read(64):
        pass
    assert reader.exhausted
    assert reader.bytes_read == 1_000
    assert reader.tell() == 1_000


def test_a_source_that_ends_before_its_size_is_noticed() -> None:
    reader = RangeReader(BytesSource(DATA[:500], size=10_000), SMALL)
    assert reader.at(480, 100) == DATA[480:500]
    assert reader.short
    assert reader.size == 10_000


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 199, 200, 201, 265])
def test_edges_of_small_files(size: int) -> None:
    reader = RangeReader(Recorder(DATA[:size]), SMALL)
    reader.open_ends()
    assert reader.at(0, size + 10) == DATA[:size]
    assert reader.seek(0, os.SEEK_END) == size
    assert reader.read(1) == b""
