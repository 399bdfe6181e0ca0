"""DailyWindow: a span of the day as the clock on the wall shows it."""

from __future__ import annotations

import re
from typing import Self

import attrs

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.values import Value

__all__ = ["DAY_NAMES", "DailyWindow"]

DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MIDNIGHT = 24 * 60
_TEXT = re.compile(r"(?:(?P<days>[a-z,\- ]*[a-z])\s+)?(?P<start>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)")


@attrs.frozen(eq=False, repr=False)
class DailyWindow(Value):
    """From `start` up to, but not including, `end`; over midnight where the end comes first."""

    start: int
    """Minutes since midnight, 0 to 1,439."""
    end: int
    """Minutes since midnight, 0 to 1,440."""
    days: frozenset[int]
    """The days on which it begins; Monday is 0."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `22:00-06:00`, `mon-fri 22:00-06:00`, `sat,sun 00:00-24:00`.

        Raises:
            ConfigurationError: the text has another form, names a day or a time that there is not, or is empty in time.
        """
        found = _TEXT.fullmatch(text.strip().lower()) if isinstance(text, str) else None
        if found is None:
            raise ConfigurationError(f"a window of time looks like 22:00-06:00 or mon-fri 22:00-06:00, not {text!r}")
        start, end = _minutes(found["start"], text), _minutes(found["end"], text)
        if start in {end, _MIDNIGHT}:
            raise ConfigurationError(f"{text!r} begins where it ends; the whole day is 00:00-24:00")
        return cls(start, end, _days(found["days"], text))

    def shows(self, weekday: int, minute: int) -> bool:
        """Whether a clock that shows this day and this minute of it is inside."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        # What lies after midnight belongs to the window that began the day before.
        return (weekday in self.days and minute >= self.start) or ((weekday - 1) % 7 in self.days and minute < self.end)


def _minutes(shown: str, text: str) -> int:
    hour, minute = map(int, shown.split(":"))
    if minute > 59 or hour * 60 + minute > _MIDNIGHT:  # noqa: PLR2004 - minutes of an hour
        raise ConfigurationError(f"there is no time {shown} of a day, in {text!r}")
    return hour * 60 + minute


def _days(shown: str | None, text: str) -> frozenset[int]:
    if shown is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in shown.split(","):
        ends = [name.strip() for name in part.split("-")]
        if not 1 <= len(ends) <= 2 or not set(ends) <= set(DAY_NAMES):  # noqa: PLR2004 - a span has two ends
            raise ConfigurationError(
                f"days are {', '.join(DAY_NAMES)} or spans like mon-fri, not {part!r}, in {text!r}"
            )
        first, last = DAY_NAMES.index(ends[0]), DAY_NAMES.index(ends[-1])
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(days)
