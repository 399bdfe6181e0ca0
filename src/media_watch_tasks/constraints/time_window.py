"""TimeWindow: certain hours of the day."""

from __future__ import annotations

from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.constraints.named import NamedConstraint
from media_watch_tasks.constraints.windows import DAY_NAMES, DailyWindow
from media_watch_tasks.errors import ConfigurationError

__all__ = ["TimeWindow"]


class TimeWindow(NamedConstraint):
    """Met while the clock on the wall shows a time inside one of the windows.

        TimeWindow("22:00-06:00")
        TimeWindow("mon-fri 19:00-07:00", "sat,sun 00:00-24:00", zone="Europe/Berlin")

    The start belongs to a window, the end does not. One whose end comes first goes over midnight, and its days are
    those on which it begins. What the clock shows counts, also in the nights in which it is set to another time. Where
    an hour is left out, a window that begins in it opens as soon as the clock has jumped, and one that lies in it whole
    does not occur. Where an hour comes twice, it counts both times.

    Args:
        windows: at least one; several may overlap.
        zone: name of a time zone (IANA), or a `tzinfo`; None: the zone of this machine.
        name: what tasks ask for.
        clock: the time of day.

    Raises:
        ConfigurationError: no window, one that cannot be read, or a zone that is not known here.
    """

    def __init__(
        self,
        *windows: str,
        zone: str | tzinfo | None = None,
        name: str = "time-window",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name)
        if not windows:
            raise ConfigurationError("name at least one window of time, for example 22:00-06:00")
        self._windows = tuple(map(DailyWindow.parse, windows))
        self._shown = ", ".join(window.strip() for window in windows)
        self._zone = zone if zone is None or isinstance(zone, tzinfo) else _zone(zone)
        self._clock = clock or SystemClock()

    def unmet(self) -> str | None:
        """What the clock shows and what the windows are, or None."""
        local = self._local()
        weekday, minute = local.weekday(), local.hour * 60 + local.minute
        if any(window.shows(weekday, minute) for window in self._windows):
            return None
        return f"{DAY_NAMES[weekday]} {local:%H:%M} ({local.tzname()}) is not in {self._shown}"

    def _local(self) -> datetime:
        # From UTC to the clock on the wall there is one answer at every moment; the way back has none or two at times.
        return self._clock.now().astimezone(self._zone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError, TypeError) as error:
        raise ConfigurationError(
            f"the time zone {name!r} is not known here: name one as Europe/Berlin; where the system has no time zones,"
            " install the package tzdata"
        ) from error
