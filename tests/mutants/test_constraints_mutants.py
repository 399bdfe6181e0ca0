"""Wrong constraints, and managers that ask them wrongly: the tests find each of them out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.clock import to_ns
from media_watch_tasks.constraints import _psutil, condition, free_disk, look, power, time_window, unmetered, windows
from media_watch_tasks.manager import conditions, forever, run
from media_watch_tasks.manager.attempt import perform
from media_watch_tasks.manager.conditions import Conditions, ConditionsSeen
from media_watch_tasks.manager.outcomes import judge
from media_watch_tasks.model.tasks import ClaimRequest, TaskSelection

CONTRACT = "tests/contracts/test_constraints.py"
WINDOW = "tests/unit/test_constraints_time_window.py"
DISK = "tests/unit/test_constraints_free_disk.py"
POWER = "tests/unit/test_constraints_power.py"
UNMETERED = "tests/unit/test_constraints_unmetered.py"
LOOK = "tests/unit/test_constraints_look.py"
MANAGER = "tests/contracts/manager/test_manager_constraints.py"

Kill = Callable[[Mutant, str], None]
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


# Windows of time


@killed_by(
    f"{WINDOW}::test_a_window_whose_end_comes_first_goes_over_midnight",
    f"{CONTRACT}::TestTimeWindow::test_it_follows_its_surroundings_both_ways",
)
def never_goes_over_midnight(patch: pytest.MonkeyPatch) -> None:
    def shows(self: windows.DailyWindow, weekday: int, minute: int) -> bool:
        return weekday in self.days and self.start <= minute < self.end

    patch.setattr(windows.DailyWindow, "shows", shows)


@killed_by(
    f"{WINDOW}::test_the_start_belongs_to_a_window_and_the_end_does_not",
)
def takes_every_window_for_one_over_midnight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        windows.DailyWindow, "shows", lambda self, _weekday, minute: minute >= self.start or minute < self.end
    )


@killed_by(
    f"{WINDOW}::test_the_days_of_a_window_over_midnight_are_those_on_which_it_begins",
    f"{WINDOW}::test_the_night_after_sunday_is_a_monday",
)
def gives_the_morning_to_the_new_day(patch: pytest.MonkeyPatch) -> None:
    def shows(self: windows.DailyWindow, weekday: int, minute: int) -> bool:
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        return weekday in self.days and (minute >= self.start or minute < self.end)

    patch.setattr(windows.DailyWindow, "shows", shows)


@killed_by(f"{WINDOW}::test_the_start_belongs_to_a_window_and_the_end_does_not")
def counts_the_end_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(windows.DailyWindow, "shows", lambda self, _weekday, minute: self.start <= minute <= self.end)


@killed_by(f"{WINDOW}::test_several_windows_are_open_one_after_the_other")
def looks_at_the_first_window_alone(patch: pytest.MonkeyPatch) -> None:
    right = time_window.TimeWindow.unmet

    def unmet(self: time_window.TimeWindow) -> str | None:
        self._windows = self._windows[:1]
        return right(self)

    patch.setattr(time_window.TimeWindow, "unmet", unmet)


@killed_by(
    f"{WINDOW}::test_a_named_zone_counts_and_not_that_of_the_machine",
    f"{CONTRACT}::TestTimeWindow::test_it_follows_its_surroundings_both_ways",
)
def forgets_the_zone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(time_window.TimeWindow, "_local", lambda self: self._clock.now())


@killed_by(
    f"{WINDOW}::test_a_window_made_in_winter_is_right_in_summer",
    f"{WINDOW}::test_the_night_in_which_an_hour_is_left_out",
)
def keeps_the_offset_of_its_first_day(patch: pytest.MonkeyPatch) -> None:
    right = time_window.TimeWindow.__init__

    def make(self: time_window.TimeWindow, *texts: str, **options: Any) -> None:
        right(self, *texts, **options)
        if self._zone is not None:
            offset = self._clock.now().astimezone(self._zone).utcoffset()
            assert offset is not None
            self._zone = timezone(offset)

    patch.setattr(time_window.TimeWindow, "__init__", make)


@killed_by(f"{WINDOW}::test_without_a_zone_the_time_of_the_machine_counts_in_summer_and_winter")
def knows_no_summer_time_of_the_machine(patch: pytest.MonkeyPatch) -> None:
    def local(self: time_window.TimeWindow) -> datetime:
        return self._clock.now().astimezone(self._zone or timezone(timedelta(seconds=-time.timezone)))

    patch.setattr(time_window.TimeWindow, "_local", local)


@killed_by(f"{WINDOW}::test_the_night_in_which_an_hour_is_left_out")
def turns_the_bounds_into_moments(patch: pytest.MonkeyPatch) -> None:
    """In the night in which an hour is left out, a bound in that hour is no moment: it is taken for a later one."""

    def unmet(self: time_window.TimeWindow) -> str | None:
        now = self._clock.now()
        midnight = now.astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)
        for window in self._windows:
            begins = midnight.replace(hour=window.start // 60, minute=window.start % 60)
            length = timedelta(minutes=(window.end - window.start) % (24 * 60))
            if begins.timestamp() <= now.timestamp() < begins.timestamp() + length.total_seconds():
                return None
        return "closed"

    patch.setattr(time_window.TimeWindow, "unmet", unmet)


@killed_by(f"{WINDOW}::test_the_night_in_which_an_hour_comes_twice")
def counts_a_repeated_hour_once(patch: pytest.MonkeyPatch) -> None:
    right = time_window.TimeWindow.unmet
    patch.setattr(time_window.TimeWindow, "unmet", lambda self: "again" if self._local().fold else right(self))


@killed_by(f"{WINDOW}::test_days_are_named_alone_and_as_spans")
def knows_no_span_over_the_weekend(patch: pytest.MonkeyPatch) -> None:
    right = windows.DailyWindow.parse.__func__  # type: ignore[attr-defined]  # a class method

    def parse(cls: type[windows.DailyWindow], text: str) -> windows.DailyWindow:
        found: windows.DailyWindow = right(cls, text)
        return attrs.evolve(found, days=frozenset()) if "fri-mon" in text else found

    patch.setattr(windows.DailyWindow, "parse", classmethod(parse))


# Room on a disk


def _wrong_usage(patch: pytest.MonkeyPatch, wrong: Callable[[Any], int]) -> None:
    right = look.Look.answer

    def answer(self: look.Look[Any]) -> object:
        usage = right(self)
        return SimpleNamespace(total=usage.total, used=usage.used, free=wrong(usage))

    patch.setattr(look.Look, "answer", answer)


@killed_by(
    f"{DISK}::test_exactly_so_many_bytes_are_enough",
    f"{DISK}::test_exactly_such_a_share_is_enough",
    f"{CONTRACT}::TestFreeDisk::test_none_while_it_is_met",
)
def compares_the_wrong_side(patch: pytest.MonkeyPatch) -> None:
    right = free_disk.FreeDisk.unmet
    patch.setattr(free_disk.FreeDisk, "unmet", lambda self: "too little" if right(self) is None else None)


@killed_by(f"{DISK}::test_exactly_so_many_bytes_are_enough")
def compares_what_is_used(patch: pytest.MonkeyPatch) -> None:
    _wrong_usage(patch, lambda usage: int(usage.used))


@killed_by(f"{DISK}::test_exactly_such_a_share_is_enough")
def takes_what_is_not_used_for_free(patch: pytest.MonkeyPatch) -> None:
    _wrong_usage(patch, lambda usage: int(usage.total - usage.used))


@killed_by(f"{DISK}::test_exactly_so_many_bytes_are_enough", f"{DISK}::test_exactly_such_a_share_is_enough")
def wants_one_byte_more(patch: pytest.MonkeyPatch) -> None:
    _wrong_usage(patch, lambda usage: int(usage.free - 1))


@killed_by(f"{DISK}::test_with_bytes_and_a_share_both_must_hold")
def is_content_with_the_smaller_amount(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(free_disk, "max", min, raising=False)


@killed_by(f"{CONTRACT}::TestFreeDisk::test_it_raises_while_it_cannot_say")
def looks_at_the_folder_above(patch: pytest.MonkeyPatch) -> None:
    right = shutil.disk_usage

    def usage(path: Path) -> object:
        return right(path if Path(path).exists() else Path(path).parent)

    patch.setattr(shutil, "disk_usage", usage)


@killed_by(f"{CONTRACT}::TestFreeDisk::test_it_does_not_go_on_with_its_last_answer")
def goes_on_with_its_last_answer(patch: pytest.MonkeyPatch) -> None:
    right = free_disk.FreeDisk.unmet
    last: dict[int, str | None] = {}

    def unmet(self: free_disk.FreeDisk) -> str | None:
        try:
            last[id(self)] = right(self)
        except OSError:
            if id(self) not in last:
                raise
        return last[id(self)]

    patch.setattr(free_disk.FreeDisk, "unmet", unmet)


# Power


def _wrong_plug(patch: pytest.MonkeyPatch, wrong: Callable[[bool | None], bool | None]) -> None:
    right = _psutil.read_battery

    def read() -> _psutil.Battery | None:
        found = right()
        return None if found is None else attrs.evolve(found, plugged=wrong(found.plugged))

    patch.setattr(_psutil, "read_battery", read)


@killed_by(f"{POWER}::test_the_battery_of_a_mouse_is_not_the_machines")
def counts_the_battery_of_a_mouse(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_psutil, "_is_own_battery", lambda _supply: True)


@killed_by(f"{POWER}::test_the_battery_of_the_machine_counts_beside_that_of_a_mouse")
def looks_past_every_battery(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_psutil, "_is_own_battery", lambda _supply: False)


@killed_by(
    f"{POWER}::test_a_full_battery_is_no_mains_power",
    f"{CONTRACT}::TestPowerAvailableOnMainsOnly::test_it_says_why_it_is_not_met",
)
def takes_a_full_battery_for_mains_power(patch: pytest.MonkeyPatch) -> None:
    right = power.PowerAvailable.__init__

    def make(self: power.PowerAvailable, *, charging: bool = False, **options: Any) -> None:
        right(self, charging=False, **options)

    patch.setattr(power.PowerAvailable, "__init__", make)


@killed_by(f"{POWER}::test_a_low_battery_that_is_charged_will_do")
def waits_until_a_battery_is_charged(patch: pytest.MonkeyPatch) -> None:
    _wrong_plug(patch, lambda _plugged: False)


@killed_by(
    f"{POWER}::test_a_machine_that_does_not_say_whether_it_is_plugged_in_is_unknown_where_that_matters",
    f"{CONTRACT}::TestPowerAvailable::test_it_raises_while_it_cannot_say",
)
def takes_a_machine_that_does_not_say_for_unplugged(patch: pytest.MonkeyPatch) -> None:
    _wrong_plug(patch, bool)


@killed_by(f"{POWER}::test_a_battery_at_the_limit_is_low")
def takes_the_limit_for_enough(patch: pytest.MonkeyPatch) -> None:
    right = power.PowerAvailable.__init__

    def make(self: power.PowerAvailable, **options: Any) -> None:
        right(self, **options)
        self._battery_above -= 1e-9

    patch.setattr(power.PowerAvailable, "__init__", make)


# Metered networks


def _asks_anew(right: Callable[..., Any], when: Callable[[look._Asked[Any]], bool]) -> Callable[..., Any]:
    def current(self: look.Look[Any]) -> object:
        if self._asked is not None and when(self._asked):
            self._asked = None
        return right(self)

    return current


@killed_by(f"{UNMETERED}::test_what_network_manager_says_or_guesses_counts")
def does_not_believe_a_guess(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(unmetered._METERED, 3, False)


@killed_by(f"{UNMETERED}::test_an_answer_without_a_statement_is_unknown")
def takes_not_knowing_for_unmetered(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(unmetered._METERED, 0, False)


@killed_by(
    f"{UNMETERED}::test_a_machine_without_network_manager_is_unknown",
    f"{UNMETERED}::test_a_machine_without_busctl_is_unknown",
    f"{CONTRACT}::TestUnmetered::test_it_raises_while_it_cannot_say",
)
def takes_silence_for_unmetered(patch: pytest.MonkeyPatch) -> None:
    right = unmetered.ask_network_manager

    def ask() -> bool:
        try:
            return right()
        except OSError:
            return True

    patch.setattr(unmetered, "ask_network_manager", ask)


@killed_by(f"{UNMETERED}::test_network_manager_is_asked_every_ten_seconds_at_most")
def starts_a_process_each_second(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(look.Look, "_current", _asks_anew(look.Look._current, lambda _asked: True))


@killed_by(f"{LOOK}::test_a_callable_of_unmetered_that_says_something_else_is_unknown")
def takes_anything_for_a_truth_value(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(unmetered, "isinstance", lambda *_: True, raising=False)


# Conditions and looks


@killed_by(f"{LOOK}::test_a_condition_that_says_something_else_is_unknown")
def takes_a_forgotten_return_for_met(patch: pytest.MonkeyPatch) -> None:
    def unmet(self: condition.Condition) -> str | None:
        said = self._look.answer()
        return said if isinstance(said, str) else "not so" if said is False else None

    patch.setattr(condition.Condition, "unmet", unmet)


@killed_by(
    f"{CONTRACT}::TestCondition::test_it_raises_while_it_cannot_say", f"{CONTRACT}::TestCondition::test_it_recovers"
)
def swallows_the_exception(patch: pytest.MonkeyPatch) -> None:
    right = condition.Condition.unmet

    def unmet(self: condition.Condition) -> str | None:
        try:
            return right(self)
        except OSError:
            return None

    patch.setattr(condition.Condition, "unmet", unmet)


@killed_by(
    f"{LOOK}::test_an_answer_is_kept_for_its_time_and_not_longer",
    f"{CONTRACT}::TestConditionThatIsKept::test_it_follows_its_surroundings_both_ways",
)
def keeps_answers_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(f"{look.__name__}.to_ns", lambda value: to_ns(value) * 10**6)


@killed_by(f"{LOOK}::test_the_wall_clock_has_no_say_in_how_long_an_answer_is_kept")
def measures_with_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    right = look.Look.__init__

    def make(self: look.Look[Any], *arguments: Any, **options: Any) -> None:
        right(self, *arguments, **options)
        self._clock = SimpleNamespace(monotonic_ns=self._clock.now_ns)  # type: ignore[assignment]  # all that is used

    patch.setattr(look.Look, "__init__", make)


@killed_by(f"{LOOK}::test_a_look_that_hangs_is_not_asked_a_second_time")
def asks_again_while_one_look_hangs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(look.Look, "_current", _asks_anew(look.Look._current, lambda _asked: True))


@killed_by(f"{LOOK}::test_a_look_that_hung_is_asked_anew_once_it_has_ended")
def hands_a_late_answer_on(patch: pytest.MonkeyPatch) -> None:
    right = look.Look._current
    patch.setattr(look.Look, "_current", lambda self: self._asked or right(self))


@killed_by(f"{LOOK}::test_a_failure_is_kept_as_an_answer_is")
def asks_again_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(look.Look, "_current", _asks_anew(look.Look._current, lambda asked: asked.error is not None))


# How the manager asks


@killed_by(f"{MANAGER}::test_an_exception_counts_as_the_options_say_and_is_shown")
def takes_an_exception_for_met_whatever_the_options_say(patch: pytest.MonkeyPatch) -> None:
    _wrong_policy(patch, met=True)


@killed_by(
    f"{MANAGER}::test_an_exception_counts_as_the_options_say_and_is_shown",
    f"{MANAGER}::test_unknown_counts_as_met_unless_the_options_say_otherwise",
)
def takes_an_exception_for_unmet_whatever_the_options_say(patch: pytest.MonkeyPatch) -> None:
    _wrong_policy(patch, met=False)


def _wrong_policy(patch: pytest.MonkeyPatch, *, met: bool) -> None:
    right = Conditions.__init__

    def make(self: Conditions, constraints: Any, **_: Any) -> None:
        right(self, constraints, unknown_is_met=met)

    patch.setattr(Conditions, "__init__", make)


def _wrong_look(patch: pytest.MonkeyPatch, wrong: Callable[[ConditionsSeen], ConditionsSeen]) -> None:
    right = Conditions.look
    patch.setattr(Conditions, "look", lambda self: wrong(right(self)))


@killed_by(
    f"{MANAGER}::test_an_exception_counts_as_the_options_say_and_is_shown",
    f"{MANAGER}::test_the_report_of_a_whole_run_shows_both",
)
def keeps_the_unknown_to_itself(patch: pytest.MonkeyPatch) -> None:
    _wrong_look(patch, lambda seen: attrs.evolve(seen, unknown={}))


@killed_by(f"{MANAGER}::test_tasks_stay_pending_while_a_constraint_is_not_met")
def takes_the_unmet_for_unknown(patch: pytest.MonkeyPatch) -> None:
    _wrong_look(patch, lambda seen: attrs.evolve(seen, unknown={**seen.unknown, **seen.unmet}))


@killed_by(f"{MANAGER}::test_what_was_unknown_during_a_run_is_shown_although_it_is_known_at_its_end")
def shows_the_last_look_alone(patch: pytest.MonkeyPatch) -> None:
    right = run.Run._look_at_constraints

    def look_at(self: run.Run) -> ConditionsSeen:
        seen = right(self)
        self._unknown = dict(seen.unknown)
        return seen

    patch.setattr(run.Run, "_look_at_constraints", look_at)


@killed_by(
    f"{MANAGER}::test_tasks_stay_pending_while_a_constraint_is_not_met",
    f"{MANAGER}::test_a_constraint_that_was_not_met_has_cost_no_attempt",
)
def claims_first_and_fails_what_is_blocked(patch: pytest.MonkeyPatch) -> None:
    """An unmet constraint that costs an attempt."""

    def wrong_perform(core: Any, flight: Any, state: Any) -> Any:
        unmet = core.conditions.look().unmet
        if flight.claim.task.constraints & set(unmet):
            error = TimeoutError("not now")
            return judge(flight.claim, error, options=core.options, now_ns=core.clock.now_ns(), draw=0.5)
        return perform(core, flight, state)

    _wrong_request(patch, lambda _, request: attrs.evolve(request, unmet=frozenset()))
    patch.setattr(f"{run.__name__}.perform", wrong_perform)


@killed_by(f"{MANAGER}::test_tasks_that_do_not_ask_for_a_constraint_are_not_held_up_by_it")
def stops_everything_for_one_constraint(patch: pytest.MonkeyPatch) -> None:
    _wrong_request(patch, lambda _, request: None if request.unmet else request)


def _wrong_request(patch: pytest.MonkeyPatch, wrong: Callable[[run.Run, ClaimRequest], ClaimRequest | None]) -> None:
    right = run.Run._request

    def request(self: run.Run, *, alone: bool = False) -> ClaimRequest | None:
        found = right(self, alone=alone)
        return None if found is None else wrong(self, found)

    patch.setattr(run.Run, "_request", request)


@killed_by(f"{MANAGER}::test_tasks_that_do_not_ask_for_a_constraint_are_not_held_up_by_it")
def lets_blocked_tasks_take_the_places_of_others(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: run.Run, request: ClaimRequest) -> ClaimRequest | None:
        live = self._core.tasks.tasks(TaskSelection(routes=self._core.destinations.routes), limit=100)
        left = request.limit - sum(bool(task.constraints & request.unmet) for task in live)
        return attrs.evolve(request, limit=left) if left > 0 else None

    _wrong_request(patch, wrong)


@killed_by(f"{MANAGER}::test_every_constraint_of_a_task_must_be_met")
def is_content_with_one_of_several(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: run.Run, request: ClaimRequest) -> ClaimRequest:
        some_are_met = len(request.unmet) < len(self._core.conditions)
        return attrs.evolve(request, unmet=frozenset()) if some_are_met else request

    _wrong_request(patch, wrong)


@killed_by(f"{MANAGER}::test_force_does_not_skip_a_constraint")
def lets_force_skip_constraints(patch: pytest.MonkeyPatch) -> None:
    _wrong_request(patch, lambda _, request: attrs.evolve(request, unmet=frozenset()) if request.force else request)


@killed_by(f"{MANAGER}::test_constraints_are_asked_at_most_once_a_second")
def asks_before_every_claim(patch: pytest.MonkeyPatch) -> None:
    right = run.Run._look_at_constraints

    def look_at(self: run.Run) -> ConditionsSeen:
        self._conditions_ns = None
        return right(self)

    patch.setattr(run.Run, "_look_at_constraints", look_at)


@killed_by(
    f"{MANAGER}::test_constraints_are_asked_at_most_once_a_second",
    f"{MANAGER}::test_a_constraint_that_breaks_during_a_run_holds_up_what_is_left",
)
def asks_once_a_run(patch: pytest.MonkeyPatch) -> None:
    right = run.Run._look_at_constraints
    patch.setattr(
        run.Run,
        "_look_at_constraints",
        lambda self: right(self) if self._conditions_ns is None else self._conditions,
    )


@killed_by(f"{MANAGER}::test_secrets_in_what_a_constraint_says_are_not_passed_on")
def passes_secrets_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conditions, "redact", lambda text: text)


@killed_by(f"{MANAGER}::test_constraints_of_one_name_must_all_be_met")
def lets_the_last_of_a_name_speak(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conditions, "_add", dict.__setitem__)


@killed_by(f"{MANAGER}::test_an_unknown_constraint_is_logged_once_until_it_says_something_else")
def logs_every_time(patch: pytest.MonkeyPatch) -> None:
    right = Conditions._log_once

    def log(self: Conditions, name: str, why: str, error: Exception) -> None:
        self._logged.clear()
        right(self, name, why, error)

    patch.setattr(Conditions, "_log_once", log)


@killed_by(f"{MANAGER}::test_a_manager_that_runs_for_ever_sleeps_while_its_tasks_are_blocked")
def runs_in_circles_while_tasks_are_blocked(patch: pytest.MonkeyPatch) -> None:
    def nap(core: Any) -> float:
        due: int | None = core.tasks.next_due_ns(core.destinations.routes)
        return 1.0 if due is None else min(max((due - core.clock.now_ns()) / 10**9, 0.01), 1.0)

    patch.setattr(forever, "_nap", nap)


@MUTANTS.each()
def test_a_wrong_constraint_is_found_out(assert_killed: Kill, mutant: Mutant, test: str) -> None:
    assert_killed(mutant, test)
