"""FreeDisk: what counts as free, to the byte."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.constraints import FreeDisk
from media_watch_tasks.errors import ConfigurationError

HANG_GUARD = timedelta(seconds=60)
Usage = namedtuple("Usage", ["total", "used", "free"])  # noqa: PYI024 - as shutil returns it


def _on(
    monkeypatch: pytest.MonkeyPatch, usage: Usage, *, share: float | None = None, at_least: int | None = None
) -> str | None:
    # A real disk is shared with others: its free bytes cannot be set to the byte.
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: usage)
        return FreeDisk("/mnt/backup", patience=HANG_GUARD, share=share, at_least=at_least).unmet()


@pytest.mark.parametrize(("free", "met"), [(999, False), (1_000, True), (1_001, True), (0, False)])
def test_exactly_so_many_bytes_are_enough(monkeypatch: pytest.MonkeyPatch, free: int, *, met: bool) -> None:
    # More is used than is wanted, and less: what is used has no say.
    for used in (0, 999, 5_000_000):
        assert (_on(monkeypatch, Usage(10_000_000, used, free), at_least=1_000) is None) is met


@pytest.mark.parametrize(("free", "met"), [(249, False), (250, True), (999, True)])
def test_exactly_such_a_share_is_enough(monkeypatch: pytest.MonkeyPatch, free: int, *, met: bool) -> None:
    # The blocks that only root may fill are neither used nor free.
    assert (_on(monkeypatch, Usage(1_000, 0, free), share=0.25) is None) is met


@pytest.mark.parametrize(("free", "met"), [(100, False), (250, False), (300, True)])
def test_with_bytes_and_a_share_both_must_hold(monkeypatch: pytest.MonkeyPatch, free: int, *, met: bool) -> None:
    assert (_on(monkeypatch, Usage(1_000, 0, free), share=0.25, at_least=300) is None) is met
    assert (_on(monkeypatch, Usage(1_000, 0, free), share=0.3, at_least=100) is None) is met


def test_what_it_says_names_the_place_and_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _on(monkeypatch, Usage(2**40, 2**39, 3 * 2**29), at_least=20 * 2**30)
    assert said == "/mnt/backup has 1.5 GiB free, less than 20.0 GiB"
    assert (
        _on(monkeypatch, Usage(2**60, 0, 1_023), at_least=2**58)
        == "/mnt/backup has 1023 bytes free, less than 256.0 PiB"
    )


def test_what_others_may_not_fill_is_not_free(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    for_everybody = disk.f_bavail * disk.f_frsize
    # Others write here meanwhile: far enough from what is free now to be right all the same.
    assert FreeDisk(tmp_path, at_least=for_everybody // 2, patience=HANG_GUARD).unmet() is None
    assert FreeDisk(tmp_path, at_least=2 * for_everybody + 2**40, patience=HANG_GUARD).unmet() is not None


def test_a_file_system_that_tells_no_size_is_unknown() -> None:
    assert os.statvfs("/proc").f_blocks == 0
    for constraint in (
        FreeDisk("/proc", at_least=1, patience=HANG_GUARD),
        FreeDisk("/proc", share=0.1, patience=HANG_GUARD),
    ):
        with pytest.raises(LookupError, match="/proc"):
            constraint.unmet()


def test_a_path_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FreeDisk(tmp_path / "unplugged", at_least=1, patience=HANG_GUARD).unmet()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"at_least": 0},
        {"at_least": -5},
        {"at_least": 1.5},
        {"at_least": True},
        {"at_least": "20G"},
        {"share": 0},
        {"share": 1},
        {"share": 5},
        {"share": -0.1},
        {"share": float("nan")},
        {"share": "5%"},
    ],
)
def test_amounts_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"at_least|share"):
        FreeDisk("/", **options)
