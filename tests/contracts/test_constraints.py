"""The constraints of the library against the contract of constraints, in surroundings that the tests change."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from media_watch_tasks.abc import Constraint
from media_watch_tasks.constraints import Condition, FreeDisk, PowerAvailable, TimeWindow, Unmetered, _psutil
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.constraint import ConstraintContract, UnknownConstraintContract

HANG_GUARD = timedelta(seconds=60)
KEPT = timedelta(minutes=1)


class Switch:
    """A callable of the application: says what it is told to say, or raises it."""

    def __init__(self) -> None:
        self.says: bool | str | Exception = True

    def __call__(self) -> bool | str:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class TestCondition(ConstraintContract, UnknownConstraintContract):
    @pytest.fixture(autouse=True)
    def surroundings(self) -> None:
        self.switch = Switch()

    def make_constraint(self) -> Constraint:
        return Condition("not on air", self.switch, patience=HANG_GUARD)

    def meet(self) -> None:
        self.switch.says = True

    def breach(self) -> None:
        self.switch.says = False

    def obscure(self) -> None:
        self.switch.says = ConnectionError("the studio does not answer")


class TestConditionThatIsKept(TestCondition):
    """With an answer that is kept for a minute; the hooks let that minute pass."""

    @pytest.fixture(autouse=True)
    def clock(self) -> None:
        self.time = FakeClock()

    def make_constraint(self) -> Constraint:
        return Condition("not on air", self.switch, keep_for=KEPT, patience=HANG_GUARD, clock=self.time)

    def meet(self) -> None:
        self._let_time_pass(super().meet)

    def breach(self) -> None:
        self._let_time_pass(super().breach)

    def obscure(self) -> None:
        self._let_time_pass(super().obscure)

    def _let_time_pass(self, change: Callable[[], None]) -> None:
        change()
        self.time.advance(KEPT)


class TestTimeWindow(ConstraintContract):
    """Over midnight, in a named zone."""

    @pytest.fixture(autouse=True)
    def surroundings(self) -> None:
        self.clock = FakeClock()

    def make_constraint(self) -> Constraint:
        return TimeWindow("22:00-06:00", zone="Europe/Berlin", clock=self.clock)

    def meet(self) -> None:
        self.clock.set_wall(datetime(2026, 7, 1, 3, 59, tzinfo=UTC))

    def breach(self) -> None:
        self.clock.set_wall(datetime(2026, 7, 1, 4, 0, tzinfo=UTC))


def _by_free_bytes() -> list[tuple[int, str]]:
    """The file systems of this machine that have a size, the one with the least room first."""
    mounts = {line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()}
    found = []
    for mount in mounts:
        try:
            usage = os.statvfs(mount)
        except OSError:
            continue
        if usage.f_blocks:
            found.append((usage.f_bavail * usage.f_frsize, mount))
    return sorted(found)


class TestFreeDisk(ConstraintContract, UnknownConstraintContract):
    """Two real file systems of the machine, one with less room, one with more; a link leads to one of them."""

    @pytest.fixture(autouse=True)
    def surroundings(self, tmp_path: Path) -> None:
        (self.little, self.narrow), *_, (much, self.wide) = _by_free_bytes()
        self.wanted = (self.little + much) // 2
        assert self.little < self.wanted < much, "this machine has only one file system"
        self.link = tmp_path / "disk"

    def make_constraint(self) -> Constraint:
        return FreeDisk(self.link, at_least=self.wanted, patience=HANG_GUARD)

    def meet(self) -> None:
        self._lead_to(self.wide)

    def breach(self) -> None:
        self._lead_to(self.narrow)

    def obscure(self) -> None:
        self.link.unlink(missing_ok=True)

    def _lead_to(self, place: str) -> None:
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(place)


class TestPowerAvailable(ConstraintContract, UnknownConstraintContract):
    """psutil on the power supplies of a notebook, as Linux shows them."""

    @pytest.fixture(autouse=True)
    def surroundings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.supplies = tmp_path / "power_supply"
        for name, kind in (("AC", "Mains"), ("BAT0", "Battery")):
            (self.supplies / name).mkdir(parents=True)
            self.write(f"{name}/type", kind)
        self.write("BAT0/energy_full", 50_000_000)
        monkeypatch.setattr(_psutil, "_SUPPLIES", self.supplies)
        monkeypatch.setattr("psutil._pslinux.POWER_SUPPLY_PATH", str(self.supplies))

    def write(self, name: str, value: object) -> None:
        (self.supplies / name).write_text(f"{value}\n")

    def set(self, *, online: int, energy: int) -> None:
        self.write("AC/online", online)
        self.write("BAT0/status", "Charging" if online else "Discharging")
        self.write("BAT0/energy_now", energy)

    def make_constraint(self) -> Constraint:
        return PowerAvailable()

    def meet(self) -> None:
        self.set(online=0, energy=10_500_000)

    def breach(self) -> None:
        self.set(online=0, energy=10_000_000)

    def obscure(self) -> None:
        self.breach()
        self.write("BAT0/status", "Unknown")
        (self.supplies / "AC/online").unlink()


class TestPowerAvailableOnMainsOnly(TestPowerAvailable):
    def make_constraint(self) -> Constraint:
        return PowerAvailable(charging=True)

    def meet(self) -> None:
        self.set(online=1, energy=1_000_000)

    def breach(self) -> None:
        self.set(online=0, energy=50_000_000)


# Prints what the file beside it holds, as busctl does: to stdout, or as an error where there is no such file.
BUSCTL = """#!/bin/sh
exec 2>&1
cat "$0.says" 2>/dev/null && exit 0
echo "Failed to get property Metered on interface org.freedesktop.NetworkManager" && exit 1
"""


class TestUnmetered(ConstraintContract, UnknownConstraintContract):
    """A program in place of busctl, which says what busctl 252 says of NetworkManager 1.42."""

    @pytest.fixture(autouse=True)
    def surroundings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        program = tmp_path / "busctl"
        program.write_text(BUSCTL)
        program.chmod(0o755)
        self.says = tmp_path / "busctl.says"
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make_constraint(self) -> Constraint:
        return Unmetered(patience=HANG_GUARD, clock=self.clock)

    def meet(self) -> None:
        self._say('{"type":"u","data":4}\n')

    def breach(self) -> None:
        self._say('{"type":"u","data":1}\n')

    def obscure(self) -> None:
        self.says.unlink(missing_ok=True)
        self.clock.advance(timedelta(seconds=10))

    def _say(self, answer: str) -> None:
        self.says.write_text(answer)
        self.clock.advance(timedelta(seconds=10))


class TestUnmeteredByTheApplication(TestConditionThatIsKept):
    def make_constraint(self) -> Constraint:
        return Unmetered(lambda: self.switch() is True, keep_for=KEPT, patience=HANG_GUARD, clock=self.time)
