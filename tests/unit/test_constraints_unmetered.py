"""Unmetered by NetworkManager: a program in place of busctl says what busctl 252 says of NetworkManager 1.42."""

from __future__ import annotations

import shlex
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from media_watch_tasks.constraints import Unmetered, unmetered
from media_watch_tasks.testing.clock import FakeClock

HANG_GUARD = timedelta(seconds=60)
NO_SERVICE = (
    "Failed to get property Metered on interface org.freedesktop.NetworkManager:"
    " The name org.freedesktop.NetworkManager was not provided by any .service files"
)


class Program:
    """A program of the name busctl, first on the path; it writes its arguments down."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "busctl"
        self.calls = folder / "calls"
        self.calls.touch()

    def does(self, script: str) -> None:
        self._path.write_text(f'#!/bin/sh\nprintf "%s " "$@" >>{shlex.quote(str(self.calls))}\n{script}\n')
        self._path.chmod(0o755)

    def says(self, answer: str) -> None:
        self.does(f"echo {shlex.quote(answer)}")


@pytest.fixture
def busctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Program(tmp_path)


def _unmet() -> str | None:
    return Unmetered(patience=HANG_GUARD).unmet()


@pytest.mark.parametrize(("value", "met"), [(1, False), (2, True), (3, False), (4, True)])
def test_what_network_manager_says_or_guesses_counts(busctl: Program, value: int, *, met: bool) -> None:
    busctl.says(f'{{"type":"u","data":{value}}}')
    assert _unmet() == (None if met else "the network is metered")


@pytest.mark.parametrize(
    "answer", ['{"type":"u","data":0}', '{"type":"u","data":5}', "", "{}", "[]", "null", "u 4", '{"data":[4]}']
)
def test_an_answer_without_a_statement_is_unknown(busctl: Program, answer: str) -> None:
    busctl.says(answer)
    with pytest.raises(LookupError, match="does not know whether the network is metered"):
        _unmet()


def test_a_machine_without_network_manager_is_unknown(busctl: Program) -> None:
    busctl.does(f"echo {shlex.quote(NO_SERVICE)} >&2; exit 1")
    with pytest.raises(OSError, match=r"not provided by any \.service files"):
        _unmet()


def test_a_program_that_fails_silently_is_unknown(busctl: Program) -> None:
    busctl.does("exit 3")
    with pytest.raises(OSError, match="ended with 3"):
        _unmet()


def test_a_machine_without_busctl_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="busctl is not installed"):
        _unmet()


def test_a_program_that_hangs_is_ended(busctl: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmetered, "_COMMAND_SECONDS", 0.05)
    busctl.does("exec sleep 600")
    with pytest.raises(TimeoutError, match="NetworkManager does not answer"):
        _unmet()


def test_the_system_bus_is_asked_for_one_property_and_starts_nothing(busctl: Program) -> None:
    busctl.says('{"type":"u","data":4}')
    _unmet()
    assert busctl.calls.read_text().split() == [
        *("--system", "--json=short", "--auto-start=no", "get-property", "org.freedesktop.NetworkManager"),
        *("/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager", "Metered"),
    ]


def test_network_manager_is_asked_every_ten_seconds_at_most(busctl: Program) -> None:
    busctl.says('{"type":"u","data":4}')
    clock = FakeClock()
    constraint = Unmetered(patience=HANG_GUARD, clock=clock)
    for _ in range(25):
        assert constraint.unmet() is None
        clock.advance(1)
    assert busctl.calls.read_text().split().count("get-property") == 3


def test_the_real_busctl_is_asked_in_words_that_it_understands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = shutil.which("busctl")
    if program is None:
        pytest.skip("busctl is not installed")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    with pytest.raises(OSError, match=r"metered: Failed to connect to .*bus: No such file or directory"):
        _unmet()
