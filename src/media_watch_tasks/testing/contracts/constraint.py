"""ConstraintContract: what every constraint promises.

    class TestMyConstraint(ConstraintContract):
        @pytest.fixture(autouse=True)
        def surroundings(self, tmp_path):
            self.switch = tmp_path / "switch"

        def make_constraint(self):
            return MyConstraint(self.switch)

        def meet(self):
            self.switch.write_text("on")

        def breach(self):
            self.switch.write_text("off")

One that may be unable to say takes `UnknownConstraintContract` too, with a third hook, `obscure`.
"""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name states its fact

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar

import pytest

from media_watch_tasks.abc.constraint import Constraint

__all__ = ["ConstraintContract", "ConstraintSuite", "UnknownConstraintContract"]

_THREADS = 8
_QUESTIONS = 25


class ConstraintSuite:
    """The hooks that a subclass fills in."""

    hang_guard: ClassVar[float] = 60.0
    """Seconds after which a test that waits for an answer gives up."""

    def make_constraint(self) -> Constraint:
        """Override: a new constraint, as every process of the application makes it."""
        raise NotImplementedError("override `make_constraint`")

    def meet(self) -> None:
        """Override: let the surroundings be such that the constraint is met, past whatever it remembers."""
        raise NotImplementedError("override `meet`")

    def breach(self) -> None:
        """Override: let the surroundings be such that the constraint is not met, past whatever it remembers."""
        raise NotImplementedError("override `breach`")

    @pytest.fixture
    def constraint(self) -> Constraint:
        """The constraint under test."""
        return self.make_constraint()


class ConstraintContract(ConstraintSuite):
    """The promises of `Constraint`, one test each."""

    def test_the_name_is_a_word_and_the_same_in_every_process(self, constraint: Constraint) -> None:
        name = constraint.name
        assert isinstance(name, str)
        assert name
        assert name == name.strip()
        self.breach()
        assert constraint.name == name
        assert self.make_constraint().name == name, "tasks in the database ask for it by this name"

    def test_none_while_it_is_met(self, constraint: Constraint) -> None:
        self.meet()
        assert constraint.unmet() is None

    def test_it_says_why_it_is_not_met(self, constraint: Constraint) -> None:
        self.breach()
        said = constraint.unmet()
        assert isinstance(said, str)
        assert said.strip(), "an empty reason tells nobody anything"
        assert said.isprintable(), "it is shown in a line of a report"

    def test_it_follows_its_surroundings_both_ways(self, constraint: Constraint) -> None:
        answers = []
        for change in (self.meet, self.breach, self.meet, self.breach):
            change()
            answers.append(constraint.unmet() is None)
        assert answers == [True, False, True, False]

    def test_a_new_one_looks_before_it_answers(self) -> None:
        self.breach()
        assert self.make_constraint().unmet() is not None
        self.meet()
        assert self.make_constraint().unmet() is None

    def test_asking_changes_nothing(self, constraint: Constraint) -> None:
        self.breach()
        assert len({constraint.unmet() is None for _ in range(_QUESTIONS)}) == 1
        self.meet()
        assert {constraint.unmet() for _ in range(_QUESTIONS)} == {None}

    @pytest.mark.parametrize("met", [True, False], ids=["met", "unmet"])
    def test_many_threads_may_ask_at_once(self, constraint: Constraint, *, met: bool) -> None:
        (self.meet if met else self.breach)()
        answers: list[bool] = []
        failures: list[BaseException] = []
        start = threading.Barrier(_THREADS)

        def ask() -> None:
            try:
                start.wait(self.hang_guard)
                answers.extend([constraint.unmet() is None for _ in range(_QUESTIONS)])
            except BaseException as error:  # noqa: BLE001 - shown by the assertion below
                failures.append(error)

        _together(ask, guard=self.hang_guard)
        assert failures == []
        assert answers == [met] * (_THREADS * _QUESTIONS)


class UnknownConstraintContract(ConstraintSuite):
    """For constraints that may be unable to say: they raise, and neither guess nor stay silent."""

    def obscure(self) -> None:
        """Override: let the surroundings be such that nobody can say, past whatever the constraint remembers."""
        raise NotImplementedError("override `obscure`")

    def test_it_raises_while_it_cannot_say(self, constraint: Constraint) -> None:
        self.obscure()
        for _ in range(3):
            with pytest.raises(Exception) as raised:  # noqa: PT011 - any exception counts as unknown
                constraint.unmet()
            assert str(raised.value).strip(), "the report shows the text of the exception"

    def test_it_does_not_go_on_with_its_last_answer(self, constraint: Constraint) -> None:
        for before in (self.meet, self.breach):
            before()
            constraint.unmet()
            self.obscure()
            with pytest.raises(Exception):  # noqa: B017, PT011 - any exception counts as unknown
                constraint.unmet()

    def test_it_recovers(self, constraint: Constraint) -> None:
        self.obscure()
        with pytest.raises(Exception):  # noqa: B017, PT011 - any exception counts as unknown
            constraint.unmet()
        self.meet()
        assert constraint.unmet() is None
        self.obscure()
        with pytest.raises(Exception):  # noqa: B017, PT011 - any exception counts as unknown
            constraint.unmet()
        self.breach()
        assert constraint.unmet() is not None


def _together(work: Callable[[], None], *, guard: float) -> None:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(guard)
    assert not any(thread.is_alive() for thread in threads), "a question hangs"
