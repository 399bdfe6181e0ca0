"""A look that hangs holds nobody up for long; what it says is kept as long as was asked for, and no longer."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from media_watch_tasks.constraints import Condition, FreeDisk, Unmetered
from media_watch_tasks.constraints.look import Look
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.testing.clock import FakeClock

HANG_GUARD = timedelta(seconds=60)
MOMENT = timedelta(milliseconds=20)


class Hanging:
    """Answers only when it is let go; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self) -> bool:
        self.asked += 1
        self.entered.set()
        assert self.release.wait(HANG_GUARD.total_seconds())
        return True


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.release.set()
    for thread in threading.enumerate():
        if thread.name == "mwt-constraint":
            thread.join(HANG_GUARD.total_seconds())


def test_a_look_that_hangs_is_given_up_on(hanging: Hanging) -> None:
    with pytest.raises(TimeoutError, match=r"no answer within 0\.02 s"):
        Look(hanging, patience=MOMENT).answer()
    assert hanging.asked == 1


def test_a_look_that_hangs_is_not_asked_a_second_time(hanging: Hanging) -> None:
    look = Look(hanging, patience=MOMENT)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            look.answer()
    assert hanging.asked == 1


def test_a_look_that_hung_is_asked_anew_once_it_has_ended(hanging: Hanging) -> None:
    look = Look(hanging, patience=MOMENT)
    with pytest.raises(TimeoutError):
        look.answer()
    hanging.release.set()
    for thread in threading.enumerate():
        if thread.name == "mwt-constraint":
            thread.join(HANG_GUARD.total_seconds())
    look._patience = HANG_GUARD.total_seconds()
    assert look.answer() is True
    assert hanging.asked == 2, "the late answer may be old by now"


def test_callers_at_one_time_share_one_look(hanging: Hanging) -> None:
    look = Look(hanging, patience=HANG_GUARD)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(look.answer())) for _ in range(8)]
    threads[0].start()
    assert hanging.entered.wait(HANG_GUARD.total_seconds())
    for thread in threads[1:]:
        thread.start()
    # The others can be waiting or still on their way here; they must not have asked.
    assert hanging.asked == 1
    hanging.release.set()
    for thread in threads:
        thread.join(HANG_GUARD.total_seconds())
    assert answers == [True] * 8


def test_an_answer_is_kept_for_its_time_and_not_longer() -> None:
    clock = FakeClock()
    said = iter(range(100))
    look = Look(lambda: next(said), keep_for=timedelta(seconds=10), patience=HANG_GUARD, clock=clock)
    assert [look.answer(), look.answer()] == [0, 0]
    clock.advance(9.999)
    assert look.answer() == 0
    clock.advance(0.001)
    assert [look.answer(), look.answer()] == [1, 1]


def test_the_wall_clock_has_no_say_in_how_long_an_answer_is_kept() -> None:
    clock = FakeClock()
    said = iter(range(100))
    look = Look(lambda: next(said), keep_for=timedelta(seconds=10), patience=HANG_GUARD, clock=clock)
    assert look.answer() == 0
    clock.advance_wall(timedelta(days=365))
    assert look.answer() == 0
    clock.advance_wall(timedelta(days=-3_650))
    clock.advance(10)
    assert look.answer() == 1


def test_a_failure_is_kept_as_an_answer_is() -> None:
    clock = FakeClock()
    asked = 0

    def fail() -> bool:
        nonlocal asked
        asked += 1
        raise ConnectionError("no bus")

    look = Look(fail, keep_for=timedelta(seconds=10), patience=HANG_GUARD, clock=clock)
    for _ in range(50):
        with pytest.raises(ConnectionError, match="no bus") as raised:
            look.answer()
    assert asked == 1
    assert len(traceback.extract_tb(raised.value.__traceback__)) < 10, "it does not grow from call to call"
    assert "fail" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    clock.advance(10)
    with pytest.raises(ConnectionError):
        look.answer()
    assert asked == 2


def test_without_a_time_to_keep_it_every_call_asks() -> None:
    said = iter(range(100))
    look = Look(lambda: next(said), patience=HANG_GUARD)
    assert [look.answer() for _ in range(3)] == [0, 1, 2]


def test_a_constraint_that_hangs_says_so(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_watch_tasks.constraints.free_disk.shutil.disk_usage", lambda _path: hanging())
    for constraint in (
        Condition("x", hanging, patience=MOMENT),
        Unmetered(hanging, patience=MOMENT),
        FreeDisk("/", at_least=1, patience=MOMENT),
    ):
        with pytest.raises(TimeoutError, match="no answer"):
            constraint.unmet()
    assert hanging.asked == 3


@pytest.mark.parametrize(
    "options",
    [
        {"keep_for": timedelta(seconds=-1)},
        {"keep_for": 5},
        {"patience": timedelta(0)},
        {"patience": 0.5},
    ],
)
@pytest.mark.parametrize("make", [lambda **options: Condition("x", bool, **options), Unmetered])
def test_times_that_make_no_sense_are_refused(make: Callable[..., object], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(**options)


@pytest.mark.parametrize("ask", [None, True, "a text"])
def test_what_cannot_be_called_is_refused(ask: object) -> None:
    with pytest.raises(ConfigurationError, match="callable"):
        Condition("x", ask)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", ["", " ", "padded ", None, 7])
def test_a_name_is_a_word(name: object) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        Condition(name, bool)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("said", [None, 1, 0, "", [], object()])
def test_a_condition_that_says_something_else_is_unknown(said: object) -> None:
    with pytest.raises(TypeError, match="must return True, False or a text"):
        Condition("x", lambda: said, patience=HANG_GUARD).unmet()  # type: ignore[arg-type,return-value]  # on purpose


def test_a_condition_may_say_why() -> None:
    assert Condition("x", lambda: "on air until 20:00", patience=HANG_GUARD).unmet() == "on air until 20:00"
    assert Condition("off air", lambda: False, patience=HANG_GUARD).unmet() == "off air is not so now"


@pytest.mark.parametrize("said", [None, 1, "metered"])
def test_a_callable_of_unmetered_that_says_something_else_is_unknown(said: object) -> None:
    with pytest.raises(TypeError, match="must return True or False"):
        Unmetered(lambda: said, patience=HANG_GUARD).unmet()  # type: ignore[arg-type,return-value]  # on purpose
