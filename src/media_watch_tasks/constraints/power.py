"""PowerAvailable: mains power, or a battery that is not low."""

from __future__ import annotations

from media_watch_tasks.constraints.named import NamedConstraint
from media_watch_tasks.errors import ConfigurationError, MissingDependencyError

__all__ = ["PowerAvailable"]

_FULL = 100
"""Per cent."""


class PowerAvailable(NamedConstraint):
    """Met on mains power, and on a battery that is not low. Needs the extra `power`.

        PowerAvailable()                  # also on battery, down to 20 %
        PowerAvailable(charging=True)     # only on mains power

    A machine without a battery is on mains power. Batteries of mice and other devices do not count.

    Args:
        charging: only mains power will do.
        battery_above: per cent; on battery it is met while more than this is left.
        name: what tasks ask for.

    Raises:
        MissingDependencyError: psutil is not installed.
        ConfigurationError: `battery_above` is out of range.
    """

    def __init__(self, *, charging: bool = False, battery_above: float = 20, name: str = "power") -> None:
        super().__init__(name)
        if not isinstance(battery_above, int | float) or not 0 <= battery_above < _FULL:
            raise ConfigurationError(f"battery_above must be from 0 to below 100 per cent, not {battery_above!r}")
        try:
            from media_watch_tasks.constraints import _psutil  # noqa: PLC0415 - optional, see the extra `power`
        except ImportError as error:
            raise MissingDependencyError("PowerAvailable", package="psutil", extra="power") from error
        self._read = _psutil.read_battery
        self._charging = charging
        self._battery_above = battery_above

    def unmet(self) -> str | None:
        """What the machine runs on, if that will not do.

        Raises:
            OSError: the batteries cannot be read.
            LookupError: the machine does not say whether it is on mains power, and that matters.
        """
        battery = self._read()
        if battery is None or battery.plugged:
            return None
        left = f"{battery.percent:.0f} % left"
        if not self._charging and battery.percent > self._battery_above:
            return None
        if battery.plugged is None:
            raise LookupError(f"the machine does not say whether it is on mains power, battery {left}")
        if self._charging:
            return f"on battery, {left}"
        return f"on battery, {left}, not above {self._battery_above:g} %"
