"""What psutil knows of the machine's battery. Importing this module needs the extra `power`."""

from __future__ import annotations

from pathlib import Path

import attrs
import psutil  # type: ignore[import-untyped]  # psutil ships no annotations

from media_watch_tasks.model.values import Value

__all__ = ["Battery", "read_battery"]

_SUPPLIES = Path("/sys/class/power_supply")
"""Where Linux shows power supplies, and where psutil reads them."""


@attrs.frozen(eq=False, repr=False)
class Battery(Value):
    """The battery that the machine runs on when it is unplugged."""

    percent: float
    plugged: bool | None
    """None: the machine does not say."""


def read_battery() -> Battery | None:
    """The machine's battery, None if it has none.

    psutil takes the battery of a mouse for the machine's own where there is no other, so that is looked at first.

    Raises:
        OSError: Linux does not show its power supplies here, as in some containers.
        LookupError: psutil cannot read batteries on this platform.
    """
    if psutil.LINUX and not any(_is_own_battery(supply) for supply in _SUPPLIES.iterdir()):
        return None
    if not hasattr(psutil, "sensors_battery"):
        raise LookupError("psutil cannot read batteries on this platform")
    found = psutil.sensors_battery()
    if found is None:
        if psutil.LINUX:
            raise LookupError(f"the charge of the battery in {_SUPPLIES} cannot be read")
        return None
    return Battery(percent=found.percent, plugged=found.power_plugged)


def _is_own_battery(supply: Path) -> bool:
    # Documentation/ABI/testing/sysfs-class-power: `scope` is "Device" where a device, not the system, is powered.
    return _read(supply / "type") == "Battery" and _read(supply / "scope") != "Device"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        # Not every driver has every attribute, and a supply may be unplugged while it is looked at.
        return ""
