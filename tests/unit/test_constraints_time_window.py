"""Windows of time: midnight, days, zones, and the nights in which the clock is set to another time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_watch_tasks.constraints import TimeWindow
from media_watch_tasks.constraints.windows import DailyWindow
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.testing.clock import FakeClock

# In Berlin clocks go from 02:00 to 03:00 at 01:00 UTC of 29 March, and from 03:00 to 02:00 at 01:00 UTC of 25 October.
SPRING = datetime(2026, 3, 29, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)


def _open(window: TimeWindow, clock: FakeClock, moment: datetime) -> bool:
    clock.set_wall(moment)
    return window.unmet() is None


def _open_times(text: str, *, night: datetime, zone: str = "Europe/Berlin") -> list[str]:
    """When the window is open from the midnight (UTC) on, for four hours: UTC times at which it opens and closes."""
    clock = FakeClock()
    window = TimeWindow(text, zone=zone, clock=clock)
    changes, before = [], None
    for minute in range(4 * 60):
        moment = night + timedelta(minutes=minute)
        now = _open(window, clock, moment)
        if now is not before and (before is not None or now):
            changes.append(f"{'opens' if now else 'closes'} {moment:%H:%M}")
        before = now
    return changes


@pytest.mark.parametrize(
    ("shown", "inside"),
    [("08:59", False), ("09:00", True), ("12:30", True), ("16:59", True), ("17:00", False), ("00:00", False)],
)
def test_the_start_belongs_to_a_window_and_the_end_does_not(shown: str, *, inside: bool) -> None:
    clock = FakeClock()
    hour, minute = map(int, shown.split(":"))
    moment = datetime(2026, 6, 1, hour, minute, 59, 999_999, tzinfo=UTC)
    assert _open(TimeWindow("09:00-17:00", zone="UTC", clock=clock), clock, moment) is inside


@pytest.mark.parametrize(
    ("shown", "inside"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("05:59", True), ("06:00", False)],
)
def test_a_window_whose_end_comes_first_goes_over_midnight(shown: str, *, inside: bool) -> None:
    clock = FakeClock()
    hour, minute = map(int, shown.split(":"))
    window = TimeWindow("22:00-06:00", zone="UTC", clock=clock)
    assert _open(window, clock, datetime(2026, 6, 1, hour, minute, tzinfo=UTC)) is inside


@pytest.mark.parametrize("text", ["22:00-24:00", "22:00-00:00"])
def test_a_window_may_end_at_midnight(text: str) -> None:
    clock = FakeClock()
    window = TimeWindow(text, zone="UTC", clock=clock)
    midnight = datetime(2026, 6, 2, tzinfo=UTC)
    around = [
        midnight - timedelta(minutes=121),
        midnight - timedelta(minutes=1),
        midnight,
        midnight + timedelta(hours=1),
    ]
    assert [_open(window, clock, moment) for moment in around] == [False, True, False, False]


def test_several_windows_are_open_one_after_the_other() -> None:
    clock = FakeClock()
    window = TimeWindow("01:00-02:00", "05:00-06:00", "05:30-07:00", zone="UTC", clock=clock)
    day = datetime(2026, 6, 1, tzinfo=UTC)
    assert [hour for hour in range(24) if _open(window, clock, day + timedelta(hours=hour))] == [1, 5, 6]


def test_the_days_of_a_window_over_midnight_are_those_on_which_it_begins() -> None:
    clock = FakeClock()
    window = TimeWindow("fri 22:00-06:00", zone="UTC", clock=clock)
    friday = datetime(2026, 11, 20, tzinfo=UTC)
    shown = {
        "thu 23:00": friday - timedelta(hours=1),
        "fri 05:00": friday + timedelta(hours=5),
        "fri 23:00": friday + timedelta(hours=23),
        "sat 05:00": friday + timedelta(hours=29),
        "sat 23:00": friday + timedelta(hours=47),
    }
    assert [name for name, moment in shown.items() if _open(window, clock, moment)] == ["fri 23:00", "sat 05:00"]


def test_the_night_after_sunday_is_a_monday() -> None:
    window = DailyWindow.parse("sun 22:00-06:00")
    assert window.shows(6, 23 * 60)
    assert window.shows(0, 5 * 60)
    assert not window.shows(6, 5 * 60)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("10:00-11:00", range(7)),
        ("mon-fri 10:00-11:00", range(5)),
        ("Sat,Sun 10:00-11:00", {5, 6}),
        (" fri-mon  10:00 - 11:00 ", {4, 5, 6, 0}),
        ("mon, wed-thu 10:00-11:00", {0, 2, 3}),
        ("sun-sun 10:00-11:00", {6}),
    ],
)
def test_days_are_named_alone_and_as_spans(text: str, days: set[int]) -> None:
    assert DailyWindow.parse(text) == DailyWindow(600, 660, frozenset(days))


def test_a_named_zone_counts_and_not_that_of_the_machine() -> None:
    clock = FakeClock()
    window = TimeWindow("09:00-10:00", zone="Asia/Kathmandu", clock=clock)
    assert [_open(window, clock, datetime(2026, 6, 1, 3, minute, tzinfo=UTC)) for minute in (14, 15)] == [False, True]
    assert _open(
        TimeWindow("09:00-10:00", zone=timezone(timedelta(hours=-5)), clock=clock), clock, SPRING.replace(hour=14)
    )


@pytest.fixture
def machine_in_new_york() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("machine_in_new_york")
def test_without_a_zone_the_time_of_the_machine_counts_in_summer_and_winter() -> None:
    clock = FakeClock()
    window = TimeWindow("09:00-10:00", clock=clock)
    summer, winter = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert [hour for hour in range(24) if _open(window, clock, summer + timedelta(hours=hour))] == [13]
    assert [hour for hour in range(24) if _open(window, clock, winter + timedelta(hours=hour))] == [14]


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        # Local midnight is 23:00 UTC; 02:00 to 03:00 does not exist, and 01:00 UTC is 03:00.
        ("01:00-04:00", ["opens 00:00", "closes 02:00"]),
        ("01:30-02:30", ["opens 00:30", "closes 01:00"]),
        ("02:30-06:00", ["opens 01:00"]),
        ("02:15-02:45", []),
        ("03:00-04:00", ["opens 01:00", "closes 02:00"]),
    ],
)
def test_the_night_in_which_an_hour_is_left_out(text: str, changes: list[str]) -> None:
    assert _open_times(text, night=SPRING) == changes


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        # Local midnight is 22:00 UTC; 00:00 UTC is 02:00, and so is 01:00 UTC.
        ("01:00-04:00", ["opens 00:00", "closes 03:00"]),
        ("02:00-02:30", ["opens 00:00", "closes 00:30", "opens 01:00", "closes 01:30"]),
        ("01:00-02:30", ["opens 00:00", "closes 00:30", "opens 01:00", "closes 01:30"]),
        ("02:30-03:30", ["opens 00:30", "closes 01:00", "opens 01:30", "closes 02:30"]),
    ],
)
def test_the_night_in_which_an_hour_comes_twice(text: str, changes: list[str]) -> None:
    assert _open_times(text, night=AUTUMN) == changes


def test_a_window_made_in_winter_is_right_in_summer() -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    window = TimeWindow("09:00-10:00", zone="Europe/Berlin", clock=clock)
    assert _open(window, clock, datetime(2026, 1, 1, 8, tzinfo=UTC))
    assert _open(window, clock, datetime(2026, 7, 1, 7, tzinfo=UTC))
    assert not _open(window, clock, datetime(2026, 7, 1, 8, tzinfo=UTC))


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is named
    zone=st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
    ),
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
)
def test_a_window_is_open_exactly_while_the_wall_shows_a_time_inside(
    moment: datetime, zone: str, start: int, length: int
) -> None:
    end = (start + length) % 1440
    text = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    clock = FakeClock(moment)
    shown = moment.astimezone(ZoneInfo(zone))
    inside = (shown.hour * 60 + shown.minute - start) % 1440 < length
    assert (TimeWindow(text, zone=zone, clock=clock).unmet() is None) is inside


def test_what_it_says_names_the_time_the_zone_and_the_windows() -> None:
    clock = FakeClock(datetime(2026, 11, 20, 13, 5, tzinfo=UTC))
    window = TimeWindow("22:00-06:00", "sun 00:00-24:00", zone="Europe/Berlin", clock=clock)
    assert window.unmet() == "fri 14:05 (CET) is not in 22:00-06:00, sun 00:00-24:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "22:00",
        "22-06",
        "22:00-06:60",
        "24:01-06:00",
        "24:00-06:00",
        "25:00-06:00",
        "08:00-08:00",
        "someday 08:00-09:00",
        "mon- 08:00-09:00",
        "mon-tue-wed 08:00-09:00",
        "22:00-06:00, 07:00-08:00",
        "-22:00-06:00",
        "22:00-06:00 mon",
        7,
    ],
)
def test_a_window_that_cannot_be_read_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"window|time|day|begins"):
        TimeWindow(text)


def test_at_least_one_window_is_named() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        TimeWindow()


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", "../etc/passwd", "", "/etc/localtime", 5])
def test_an_unknown_zone_is_refused_in_words(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        TimeWindow("22:00-06:00", zone=zone)
