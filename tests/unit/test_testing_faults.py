"""A fault happens where and when the plan says, and one that does not happen fails the test."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

import pytest

from media_watch_tasks.abc import FindsExisting
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import TransientError
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree, RecordingUploader
from media_watch_tasks.testing.faults import Fault, FaultPlan, UnfiredFaultsError


def _stream(data: bytes = b"0123456789") -> BinaryIO:
    return cast("BinaryIO", io.BytesIO(data))


def test_the_nth_pass_fails_and_the_others_go_on() -> None:
    with FaultPlan([Fault("point", nth=2, raises=TransientError("no"))]) as plan:
        plan.hit("point")
        with pytest.raises(TransientError, match="no"):
            plan.hit("point")
        plan.hit("point")


def test_several_passes_in_a_row_fail() -> None:
    with FaultPlan([Fault("point", nth=2, times=2, raises=TransientError)]) as plan:
        plan.hit("point")
        for _ in range(2):
            with pytest.raises(TransientError):
                plan.hit("point")
        plan.hit("point")


def test_a_fault_that_did_not_fire_fails_the_test_and_says_which() -> None:
    plan = FaultPlan([Fault("upload", nth=3, raises=TransientError("no")), Fault("other", raises=OSError)])
    plan.hit("upload")
    with pytest.raises(OSError):  # noqa: PT011 - the scripted one has no text
        plan.hit("other")
    with pytest.raises(UnfiredFaultsError) as caught, plan:
        pass
    message = str(caught.value)
    assert "at='upload'" in message
    assert "nth=3" in message
    assert "fired 0 of 1 times" in message
    assert "upload x1" in message
    assert "at='other'" not in message
    assert isinstance(caught.value, AssertionError)


def test_a_failing_test_shows_its_own_failure() -> None:
    with pytest.raises(KeyError), FaultPlan([Fault("never", raises=OSError)]):
        raise KeyError


def test_attached_methods_fail_and_are_put_back() -> None:
    tree = FakeTree()
    media = FakeResolver(tree).resolve_for_upload(tree.put("a"), cancel=CancelToken())
    uploader = RecordingUploader()
    with FaultPlan([Fault("upload", raises=TransientError("no"))]) as plan:
        plan.attach(uploader, "upload", "find_existing")
        assert isinstance(uploader, FindsExisting)
        with pytest.raises(TransientError):
            uploader.upload(media, FakeContext())
        assert uploader.calls == []
        uploader.upload(media, FakeContext())
    assert "upload" not in vars(uploader)


def test_a_lost_answer_comes_after_the_work() -> None:
    tree = FakeTree()
    media = FakeResolver(tree).resolve_for_upload(tree.put("a"), cancel=CancelToken())
    uploader = RecordingUploader()
    with FaultPlan([Fault("to/upload", when="after", raises=TransientError("lost"))]) as plan:
        plan.attach(uploader, "upload", prefix="to/")
        with pytest.raises(TransientError):
            uploader.upload(media, FakeContext())
    assert len(uploader.objects) == 1


def test_an_object_with_slots_cannot_be_attached_to() -> None:
    with pytest.raises(TypeError, match="slots"):
        FaultPlan().attach(b"", "hex")


def test_a_stream_fails_at_the_byte() -> None:
    with FaultPlan([Fault("read", at_byte=4, raises=TransientError("no"))]) as plan:
        stream = plan.stream(_stream())
        assert stream.read(100) == b"0123"
        with pytest.raises(TransientError):
            stream.read(100)
        assert stream.read() == b"456789"


def test_a_stream_is_cut_at_the_byte() -> None:
    with FaultPlan([Fault("read", at_byte=4, cut=True)]) as plan:
        stream = plan.stream(_stream())
        assert stream.read() == b"0123"
        assert stream.read(1) == b""


def test_a_buffer_is_filled_up_to_the_byte() -> None:
    with FaultPlan([Fault("read", at_byte=4, cut=True)]) as plan:
        buffer = bytearray(8)
        stream = cast("io.RawIOBase", plan.stream(_stream()))
        assert stream.readinto(buffer) == 4
        assert stream.readinto(buffer) == 0


def test_a_stream_waits_on_the_clock_of_the_plan() -> None:
    clock = FakeClock()
    before = clock.monotonic_ns()
    with FaultPlan([Fault("read", at_byte=0, delay=5.0)], clock=clock) as plan:
        assert plan.stream(_stream()).read() == b"0123456789"
    assert clock.monotonic_ns() - before == 5_000_000_000


def test_the_second_stream_of_the_media_fails_and_the_file_changes_first() -> None:
    tree = FakeTree()
    media = FakeResolver(tree).resolve_for_upload(tree.put("a", b"12345678"), cancel=CancelToken())
    changes: list[str] = []
    fault = Fault("read", nth=2, at_byte=2, calls=lambda: changes.append("now"), raises=TransientError("no"))
    with FaultPlan([fault]) as plan:
        faulty = plan.media(media)
        with faulty.open() as body:
            assert body.read() == b"12345678"
        with faulty.open() as body:
            assert body.read(8) == b"12"
            with pytest.raises(TransientError):
                body.read(8)
    assert changes == ["now"]
    assert tree.open_streams == 0


def test_the_opening_fails() -> None:
    tree = FakeTree()
    media = FakeResolver(tree).resolve_for_upload(tree.put("a"), cancel=CancelToken())
    with FaultPlan([Fault("open", raises=TransientError)]) as plan, pytest.raises(TransientError):
        plan.media(media, at="open").open()
    assert tree.open_streams == 0


@pytest.mark.parametrize(
    "arguments", [{}, {"raises": OSError, "nth": 0}, {"raises": OSError, "times": 0}, {"cut": True}]
)
def test_a_fault_without_sense_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="'x'"):
        Fault("x", **arguments)  # type: ignore[arg-type]  # wrong on purpose
