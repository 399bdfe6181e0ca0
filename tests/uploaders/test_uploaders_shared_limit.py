"""SharedLimit: limits that hold over all processes that share the stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.errors import ConfigurationError, OperationCancelled, Snooze, TransientError
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.stores.sqlite.permits import SqlitePermits
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeUploader
from media_watch_tasks.uploaders import SharedLimit

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def processes(tmp_path: Path, clock: FakeClock) -> Iterator[tuple[Permits, Permits]]:
    """The permits as two processes have them."""
    here, there = (SqlitePermits(str(tmp_path / "watch.db"), clock) for _ in range(2))
    yield here, there
    here.close()
    there.close()


class Nested(FakeUploader):
    """While one upload is under way, another process tries one."""

    def __init__(self, other: SharedLimit, media: Any, context: Any) -> None:
        super().__init__("shelf")
        self.other, self.media, self.context = other, media, context
        self.refused: list[Snooze] = []

    def upload(self, media: Any, context: Any) -> Any:
        try:
            self.other.upload(self.media, self.context)
        except Snooze as snooze:
            self.refused.append(snooze)
        return super().upload(media, context)


def test_an_upload_that_finds_no_place_is_put_back_and_the_next_one_finds_it(
    rig: Any, processes: tuple[Permits, Permits], clock: FakeClock
) -> None:
    media = rig.media("clip.mov", b"footage")
    there = FakeUploader("shelf")
    limited_there = SharedLimit(there, processes[1], at_once=1, retry_after=timedelta(seconds=7), clock=clock)
    here = Nested(limited_there, media, rig.context(media))
    limited_here = SharedLimit(here, processes[0], at_once=1, clock=clock)
    limited_here.upload(media, rig.context(media))
    assert [snooze.delay for snooze in here.refused] == [timedelta(seconds=7)]
    assert (len(here.calls), len(there.calls)) == (1, 0)
    limited_there.upload(media, rig.context(media))
    assert len(there.calls) == 1


@pytest.mark.parametrize("how", ["fails", "has no turn"])
def test_an_upload_that_did_not_come_about_leaves_its_place(
    rig: Any, processes: tuple[Permits, Permits], clock: FakeClock, how: str
) -> None:
    class Failing(FakeUploader):
        def upload(self, media: Any, context: Any) -> Any:
            raise TransientError("cut off")

    media = rig.media("clip.mov", b"footage")
    rate: Any = {"uploads": 1, "per": MINUTE} if how == "has no turn" else {}
    failing = SharedLimit(Failing(), processes[0], name="n", at_once=1, clock=clock, **rate)
    for _ in range(2):
        with pytest.raises((TransientError, Snooze)):
            failing.upload(media, rig.context(media))
    SharedLimit(FakeUploader(), processes[1], name="n", at_once=1, clock=clock).upload(media, rig.context(media))


def test_the_rate_is_counted_over_all_processes(rig: Any, processes: tuple[Permits, Permits], clock: FakeClock) -> None:
    inner = FakeUploader()
    here, there = (SharedLimit(inner, each, uploads=3, per=MINUTE, clock=clock) for each in processes)
    media = rig.media("clip.mov", b"footage")
    for limited in (here, there, here):
        limited.upload(media, rig.context(media))
    with pytest.raises(Snooze) as caught:
        there.upload(media, rig.context(media))
    assert caught.value.delay == MINUTE
    clock.advance(MINUTE - timedelta(milliseconds=500))
    there.upload(media, rig.context(media))
    assert len(inner.calls) == 4
    assert clock.monotonic_ns() == FakeClock().monotonic_ns() + 60 * 10**9, "it waited for its turn"


def test_only_the_named_kinds_are_held_up(rig: Any, processes: tuple[Permits, Permits], clock: FakeClock) -> None:
    inner = FakeUploader()
    limited = SharedLimit(
        inner, processes[0], uploads=1, per=MINUTE, kinds={MediaKind.VIDEO}, longest_wait=timedelta(0), clock=clock
    )
    clip, still = rig.media("clip.mov", b"footage"), rig.media("still.jpg", b"picture")
    for media in (still, clip, still):
        try:
            limited.upload(media, rig.context(media))
        except Snooze:
            pytest.fail(f"{media.asset.display} was held up")
    with pytest.raises(Snooze):
        limited.upload(clip, rig.context(clip))
    assert len(inner.calls) == 3


def test_limits_of_different_names_do_not_count_together(
    rig: Any, processes: tuple[Permits, Permits], clock: FakeClock
) -> None:
    media = rig.media("clip.mov", b"footage")
    for name in ("one", "two", None):
        limited = SharedLimit(FakeUploader("shelf"), processes[0], name=name, uploads=1, per=MINUTE, clock=clock)
        limited.upload(media, rig.context(media))
    with pytest.raises(Snooze, match="shelf"):
        SharedLimit(FakeUploader("shelf"), processes[1], uploads=1, per=MINUTE, clock=clock).upload(
            media, rig.context(media)
        )


def test_waiting_for_a_place_ends_with_a_cancellation(
    rig: Any, processes: tuple[Permits, Permits], clock: FakeClock
) -> None:
    media = rig.media("clip.mov", b"footage")
    assert processes[1].take_place("n", places=1) == 0
    limited = SharedLimit(
        FakeUploader(), processes[0], name="n", at_once=1, longest_wait=timedelta(days=1), clock=clock
    )  # fmt: skip
    context = rig.context(media)
    context.cancel.cancel()
    with pytest.raises(OperationCancelled):
        limited.upload(media, context)


def test_a_task_that_is_put_back_spends_no_attempt(rig: Any, tmp_path: Path) -> None:
    permits = SqlitePermits(str(tmp_path / "limits.db"), rig.clock)
    inner = FakeUploader()
    rig.watch(SharedLimit(inner, permits, uploads=2, per=timedelta(minutes=10), clock=rig.clock), workers=4)
    for number in range(5):
        rig.tree.put(f"{number}.mov", b"footage %d" % number)
    rig.run()
    assert len(inner.calls) == 2
    rig.process(timedelta(minutes=11))
    tasks = rig.process(timedelta(minutes=11))
    assert [(task.state, task.attempts) for task in tasks] == [("success", 1)] * 5
    permits.close()


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"uploads": 1},
        {"per": MINUTE},
        {"at_once": 0},
        {"uploads": 0, "per": MINUTE},
        {"uploads": 1, "per": timedelta(0)},
        {"at_once": 1, "retry_after": timedelta(0)},
    ],
)
def test_a_limit_that_limits_nothing_is_refused(processes: tuple[Permits, Permits], limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SharedLimit(FakeUploader(), processes[0], **limits)
