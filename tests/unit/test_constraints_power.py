"""PowerAvailable on power supplies as Linux shows them: psutil reads files like those in /sys/class/power_supply."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from media_watch_tasks.constraints import PowerAvailable, _psutil
from media_watch_tasks.errors import ConfigurationError, MissingDependencyError

MAINS = {"type": "Mains"}
BATTERY = {"type": "Battery", "energy_full": "50000000"}
MOUSE = {"type": "Battery", "scope": "Device", "capacity": "5", "status": "Discharging"}


class Machine:
    """A machine with these power supplies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def plug_in(self, name: str, kind: Mapping[str, str], **values: object) -> None:
        (self._folder / name).mkdir(exist_ok=True)
        for key, value in {**kind, **values}.items():
            (self._folder / name / key).write_text(f"{value}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    folder = tmp_path / "power_supply"
    monkeypatch.setattr(_psutil, "_SUPPLIES", folder)
    monkeypatch.setattr("psutil._pslinux.POWER_SUPPLY_PATH", str(folder))
    return Machine(folder)


@pytest.mark.parametrize("charging", [False, True])
def test_a_machine_without_a_battery_is_on_mains_power(machine: Machine, *, charging: bool) -> None:
    assert PowerAvailable(charging=charging).unmet() is None
    machine.plug_in("AC", MAINS, online=1)
    assert PowerAvailable(charging=charging).unmet() is None


@pytest.mark.parametrize("charging", [False, True])
def test_the_battery_of_a_mouse_is_not_the_machines(machine: Machine, *, charging: bool) -> None:
    machine.plug_in("hidpp_battery_0", MOUSE)
    assert PowerAvailable(charging=charging).unmet() is None


def test_the_battery_of_the_machine_counts_beside_that_of_a_mouse(machine: Machine) -> None:
    machine.plug_in("hidpp_battery_0", MOUSE)
    machine.plug_in("BAT0", BATTERY, energy_now=40_000_000, status="Discharging")
    assert PowerAvailable().unmet() is None
    assert PowerAvailable(battery_above=90).unmet() == "on battery, 80 % left, not above 90 %"


@pytest.mark.parametrize(("energy", "met"), [(10_000_000, False), (10_000_001, True), (9_999_999, False), (0, False)])
def test_a_battery_at_the_limit_is_low(machine: Machine, energy: int, *, met: bool) -> None:
    machine.plug_in("BAT0", BATTERY, energy_now=energy, status="Discharging")
    assert (PowerAvailable(battery_above=20).unmet() is None) is met


def test_a_low_battery_that_is_charged_will_do(machine: Machine) -> None:
    machine.plug_in("AC", MAINS, online=1)
    machine.plug_in("BAT0", BATTERY, energy_now=500_000, status="Charging")
    assert PowerAvailable().unmet() is None
    assert PowerAvailable(charging=True).unmet() is None


def test_a_full_battery_is_no_mains_power(machine: Machine) -> None:
    machine.plug_in("AC", MAINS, online=0)
    machine.plug_in("BAT0", BATTERY, energy_now=50_000_000, status="Discharging")
    assert PowerAvailable().unmet() is None
    assert PowerAvailable(charging=True).unmet() == "on battery, 100 % left"


def test_a_machine_that_does_not_say_whether_it_is_plugged_in_is_unknown_where_that_matters(machine: Machine) -> None:
    machine.plug_in("ADP1", MAINS, online=1)
    machine.plug_in("BAT0", BATTERY, energy_now=40_000_000, status="Not charging")
    assert PowerAvailable().unmet() is None
    with pytest.raises(LookupError, match="does not say"):
        PowerAvailable(charging=True).unmet()
    machine.plug_in("BAT0", BATTERY, energy_now=5_000_000, status="Unknown")
    with pytest.raises(LookupError, match="does not say"):
        PowerAvailable().unmet()


def test_a_battery_without_a_charge_is_unknown(machine: Machine) -> None:
    machine.plug_in("BAT0", {"type": "Battery"}, status="Discharging")
    with pytest.raises(LookupError, match="charge"):
        PowerAvailable().unmet()


def test_a_machine_that_hides_its_power_supplies_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_psutil, "_SUPPLIES", tmp_path / "nothing here")
    with pytest.raises(OSError, match="nothing here"):
        PowerAvailable().unmet()


def test_a_platform_whose_batteries_psutil_cannot_read_is_unknown(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.plug_in("BAT0", BATTERY, energy_now=5_000_000, status="Discharging")
    monkeypatch.delattr("psutil.sensors_battery")
    with pytest.raises(LookupError, match="platform"):
        PowerAvailable().unmet()


def test_this_machine_can_be_asked() -> None:
    said = PowerAvailable().unmet()
    assert said is None or "on battery" in said


@pytest.mark.parametrize("limit", [-1, 100, 101, float("nan"), "20 %"])
def test_a_limit_that_makes_no_sense_is_refused(limit: float) -> None:
    with pytest.raises(ConfigurationError, match="battery_above"):
        PowerAvailable(battery_above=limit)


def test_without_psutil_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("media_watch_tasks.constraints._psutil")
    monkeypatch.delitem(sys.modules, "media_watch_tasks.constraints._psutil")
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "media-watch-tasks\[power\]"'):
        PowerAvailable()
