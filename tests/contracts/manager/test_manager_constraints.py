"""Tasks wait for the constraints that they ask for, at no cost; the unknown counts as the options say, and is shown."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from media_watch_tasks.abc import Constraint
from media_watch_tasks.constraints import Condition
from media_watch_tasks.errors import TransientError
from media_watch_tasks.manager import TaskManager, forever
from media_watch_tasks.model.events import TaskBegun
from media_watch_tasks.model.tasks import TaskState


class Gate(Constraint):
    """Says what it is told to say, and counts how often it is asked."""

    def __init__(self, name: str = "power") -> None:
        self._name = name
        self.says: Any = None
        self.asked = 0

    @property
    def name(self) -> str:
        return self._name

    def unmet(self) -> str | None:
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says  # type: ignore[no-any-return]  # also what a wrong constraint says


def _gated(rig: Any, *gates: Constraint, **options: Any) -> TaskManager:
    """A manager whose new tasks ask for these constraints."""
    names = tuple(gate.name for gate in gates)
    manager: TaskManager = rig.watching(parts={"constraints": gates}, constraints=names, **options)
    return manager


def _queue(rig: Any, manager: TaskManager, *names: str) -> None:
    """Files whose tasks are ready."""
    for name in names:
        rig.tree.put(name, name.encode())
    manager.scan_and_enqueue_new()
    rig.settle()


def test_tasks_stay_pending_while_a_constraint_is_not_met(rig: Any) -> None:
    gate = Gate()
    gate.says = "on battery"
    manager = _gated(rig, gate)
    _queue(rig, manager, "a.mp4", "b.mp4")
    report = manager.process()
    assert (report.taken, report.stopped_by) == (0, "empty")
    assert dict(report.unmet_constraints) == {"power": "on battery"}
    assert dict(report.unknown_constraints) == {}
    assert {(task.state, task.attempts) for task in manager.tasks()} == {(TaskState.PENDING, 0)}
    assert rig.heard(TaskBegun) == []
    assert rig.destination.attempts == []


def test_a_constraint_that_was_not_met_has_cost_no_attempt(rig: Any) -> None:
    gate = Gate()
    manager = _gated(rig, gate)
    _queue(rig, manager, "a.mp4")
    for _ in range(20):
        gate.says = "on battery"
        rig.clock.advance(1)
        manager.process()
    gate.says = None
    rig.clock.advance(1)
    report = manager.process()
    assert report.succeeded == 1
    assert dict(report.unmet_constraints) == {}
    assert rig.destination.attempts == [1]
    assert rig.only_task(manager).attempts == 1


def test_force_does_not_skip_a_constraint(rig: Any) -> None:
    gate = Gate()
    gate.says = "on battery"
    manager = _gated(rig, gate)
    _queue(rig, manager, "a.mp4")
    assert manager.process(force=True).taken == 0


def test_a_failed_task_waits_for_its_constraint_too(rig: Any) -> None:
    gate = Gate()
    manager = _gated(rig, gate)
    rig.destination.script = [TransientError("busy")]
    _queue(rig, manager, "a.mp4")
    assert manager.process().failed == 1
    gate.says = "on battery"
    rig.clock.advance(3_600)
    assert manager.process().taken == 0
    assert rig.only_task(manager).attempts == 1
    gate.says = None
    rig.clock.advance(1)
    assert manager.process().succeeded == 1


def test_every_constraint_of_a_task_must_be_met(rig: Any) -> None:
    power, network = Gate("power"), Gate("network")
    manager = _gated(rig, power, network)
    _queue(rig, manager, "a.mp4")
    taken = []
    for power.says, network.says in (("low", None), (None, "down"), ("low", "down"), (None, None)):
        rig.clock.advance(1)
        report = manager.process()
        taken.append(report.taken)
        unmet = {gate.name: gate.says for gate in (power, network) if gate.says}
        assert dict(report.unmet_constraints) == unmet
    assert taken == [0, 0, 0, 1]


def test_tasks_that_do_not_ask_for_a_constraint_are_not_held_up_by_it(rig: Any) -> None:
    gate = Gate()
    gate.says = "on battery"
    manager = _gated(rig, gate)
    _queue(rig, manager, *(f"blocked-{number}.mp4" for number in range(9)))
    manager.close()
    free = rig.manager(parts={"constraints": [gate]}, priority=lambda _asset: -5)
    _queue(rig, free, "free.mp4")
    report = free.process()
    assert report.succeeded == 1
    assert rig.destination.sent == [b"free.mp4"]
    assert rig.live(free) == 9


def test_a_constraint_that_breaks_during_a_run_holds_up_what_is_left(rig: Any) -> None:
    gate = Gate()
    manager = _gated(rig, gate, workers=1)
    _queue(rig, manager, "a.mp4", "b.mp4", "c.mp4")

    def unplug(_media: Any, _context: Any) -> None:
        gate.says = "on battery"
        rig.clock.advance(1)

    rig.destination.script = [unplug]
    report = manager.process()
    assert (report.succeeded, dict(report.unmet_constraints)) == (1, {"power": "on battery"})
    assert rig.live(manager) == 2


def test_constraints_are_asked_at_most_once_a_second(rig: Any) -> None:
    gate = Gate()
    manager = _gated(rig, gate, workers=1)
    _queue(rig, manager, *(f"{number}.mp4" for number in range(30)))

    def take_a_moment(_media: Any, _context: Any) -> None:
        rig.clock.advance(0.1)

    rig.destination.script = [take_a_moment] * 30
    before = rig.clock.monotonic_ns()
    assert manager.process().succeeded == 30
    seconds = (rig.clock.monotonic_ns() - before) / 10**9
    assert 2 <= gate.asked <= seconds + 1


@pytest.mark.parametrize(("counts_as", "succeeded"), [("met", 1), ("unmet", 0)])
def test_an_exception_counts_as_the_options_say_and_is_shown(rig: Any, counts_as: str, succeeded: int) -> None:
    gate = Gate()
    gate.says = ConnectionError("no answer from the meter")
    manager = _gated(rig, gate, unknown_constraint=counts_as)
    _queue(rig, manager, "a.mp4")
    report = manager.process()
    assert report.succeeded == succeeded
    assert dict(report.unknown_constraints) == {"power": "no answer from the meter"}
    unmet = {} if counts_as == "met" else {"power": "unknown: no answer from the meter"}
    assert dict(report.unmet_constraints) == unmet
    assert [task.attempts for task in manager.tasks()] == [succeeded]


def test_unknown_counts_as_met_unless_the_options_say_otherwise(rig: Any) -> None:
    gate = Gate()
    gate.says = TimeoutError()
    manager = _gated(rig, gate)
    _queue(rig, manager, "a.mp4")
    report = manager.process()
    assert report.succeeded == 1
    assert dict(report.unknown_constraints) == {"power": "TimeoutError"}


def test_what_was_unknown_during_a_run_is_shown_although_it_is_known_at_its_end(rig: Any) -> None:
    gate = Gate()
    gate.says = ConnectionError("no answer from the meter")
    manager = _gated(rig, gate, workers=1)
    _queue(rig, manager, "a.mp4", "b.mp4")

    def answer_again(_media: Any, _context: Any) -> None:
        gate.says = None
        rig.clock.advance(1)

    rig.destination.script = [answer_again]
    report = manager.process()
    assert report.succeeded == 2
    assert dict(report.unknown_constraints) == {"power": "no answer from the meter"}
    rig.clock.advance(1)
    assert dict(manager.process().unknown_constraints) == {}


@pytest.mark.parametrize("wrong", [False, True, 7])
def test_an_answer_that_is_no_text_is_unknown(rig: Any, wrong: object) -> None:
    gate = Gate()
    gate.says = wrong
    manager = _gated(rig, gate, unknown_constraint="unmet")
    _queue(rig, manager, "a.mp4")
    report = manager.process()
    assert report.taken == 0
    assert set(report.unknown_constraints) == {"power"}


def test_the_report_of_a_whole_run_shows_both(rig: Any) -> None:
    power, network = Gate("power"), Gate("network")
    power.says, network.says = "on battery", ConnectionError("no answer")
    manager = _gated(rig, power, network)
    rig.tree.put("a.mp4", b"footage")
    process = manager.run_once().process
    assert dict(process.unmet_constraints) == {"power": "on battery"}
    assert dict(process.unknown_constraints) == {"network": "no answer"}


def test_an_unknown_constraint_is_logged_once_until_it_says_something_else(
    rig: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    manager = _gated(rig, gate)
    said = []
    answers = (ConnectionError("no answer"), ConnectionError("no answer"), OSError("no bus"), None, OSError("no bus"))
    with caplog.at_level(logging.WARNING, logger="media_watch_tasks"):
        for gate.says in answers:
            caplog.clear()
            rig.clock.advance(1)
            manager.process()
            said.append([record.__dict__["constraint"] for record in caplog.records])
    assert said == [["power"], [], ["power"], [], ["power"]]


def test_secrets_in_what_a_constraint_says_are_not_passed_on(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    power, network = Gate("power"), Gate("network")
    power.says = ConnectionError("https://me:hunter2@meter.example/?token=hunter2 does not answer")
    network.says = "https://me:hunter2@meter.example/ says no"
    manager = _gated(rig, power, network)
    with caplog.at_level(logging.DEBUG):
        report = manager.process()
    assert "meter.example" in caplog.text
    assert "hunter2" not in caplog.text + repr(report)


def test_constraints_of_one_name_must_all_be_met(rig: Any) -> None:
    first, second = Gate(), Gate()
    first.says, second.says = "on battery", "battery low"
    manager = _gated(rig, first, second)
    _queue(rig, manager, "a.mp4")
    assert dict(manager.process().unmet_constraints) == {"power": "on battery; battery low"}
    first.says = None
    rig.clock.advance(1)
    assert manager.process().taken == 0
    second.says = None
    rig.clock.advance(1)
    assert manager.process().succeeded == 1


def test_a_manager_that_runs_for_ever_sleeps_while_its_tasks_are_blocked(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    gate.says = "on battery"
    manager = _gated(rig, gate)
    rig.tree.put("a.mp4", b"footage")
    manager.scan_and_enqueue_new()
    rig.clock.advance(9.5)
    assert manager.process().taken == 0
    assert forever._nap(manager._core) == 0.5, "the file has stood still then"
    rig.clock.advance(3_600)
    assert manager.process().taken == 0
    assert forever._nap(manager._core) == 1.0, "it was due long ago, and still waits"
    # Also with a store that counts such a task among those that wait.
    monkeypatch.setattr(rig.tasks, "next_due_ns", lambda _routes: rig.clock.now_ns() - 1)
    assert forever._nap(manager._core) == 1.0


def test_a_run_without_constraints_shows_none(rig: Any) -> None:
    report = rig.watching().process()
    assert dict(report.unmet_constraints) == {}
    assert dict(report.unknown_constraints) == {}


def test_the_constraints_of_the_library_are_taken(rig: Any) -> None:
    on_air = [True]
    manager = _gated(rig, Condition("not on air", lambda: not on_air[0]))
    _queue(rig, manager, "a.mp4")
    assert list(manager.process().unmet_constraints) == ["not on air"]
    on_air[0] = False
    rig.clock.advance(1)
    assert manager.process().succeeded == 1
