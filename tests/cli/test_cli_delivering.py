"""The commands that deliver and look after a route: what they do, print, and end with."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import SqliteStores, TaskState
from media_watch_tasks.local import LocalMediaScanner

HANG_GUARD = 60


def test_the_first_run_is_the_baseline_and_later_ones_deliver_what_is_new_once(mwt: Any, place: Any) -> None:
    (place.source / "old.mp4").write_bytes(b"old")
    first = mwt("run", *place.route, "--settle", 0)
    assert (first.code, place.delivered) == (0, {})
    assert "baseline: 1 files are known" in first.out
    (place.source / "new.mp4").write_bytes(b"new")
    second = mwt("run", *place.route, "--settle", 0)
    assert (second.code, place.delivered) == (0, {"new.mp4": b"new"})
    assert "1 new, 1 delivered" in second.out
    assert "new.mp4: delivered" in second.out
    assert "nothing new" in mwt("run", *place.route, "--settle", 0).out


def test_all_delivers_what_is_there_at_the_first_run(mwt: Any, place: Any) -> None:
    (place.source / "old.mp4").write_bytes(b"old")
    assert mwt("run", *place.route, "--all", "--settle", 0).code == 0
    assert place.delivered == {"old.mp4": b"old"}


def test_run_waits_for_files_that_must_stand_still_unless_told_not_to(mwt: Any, place: Any) -> None:
    (place.source / "clip.mp4").write_bytes(b"clip")
    assert mwt("run", *place.route, "--all", "--settle", 0.2, "--no-wait").code == 0
    assert place.delivered == {}
    assert mwt("run", *place.route, "--all", "--settle", 0.2).code == 0
    assert place.delivered == {"clip.mp4": b"clip"}


def test_equal_content_is_sent_once_where_asked(mwt: Any, place: Any) -> None:
    for name in ("a.mp4", "b.mp4"):
        (place.source / name).write_bytes(b"same")
    done = mwt("run", *place.route, "--all", "--settle", 0, "--dedup", "--workers", 1)
    assert list(place.delivered.values()) == [b"same"]
    assert "equal content is there already" in done.out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"a.mp4", "b.jpg", "c.txt", "proxies/a.mp4", "day/proxies/b.mp4"}),
        (("--kind", "video"), {"a.mp4", "proxies/a.mp4", "day/proxies/b.mp4"}),
        (("--kind", "video", "--kind", "image"), {"a.mp4", "b.jpg", "proxies/a.mp4", "day/proxies/b.mp4"}),
        (("--exclude", "proxies/", "--exclude", "*.JPG"), {"a.mp4", "c.txt"}),
        (("--exclude", "/proxies"), {"a.mp4", "b.jpg", "c.txt", "day/proxies/b.mp4"}),
        (("--exclude", "day/**"), {"a.mp4", "b.jpg", "c.txt", "proxies/a.mp4"}),
    ],
)
def test_only_the_files_that_were_asked_for_are_delivered(
    mwt: Any, place: Any, options: tuple[str, ...], expected: set[str]
) -> None:
    for name in ("a.mp4", "b.jpg", "c.txt", "proxies/a.mp4", "day/proxies/b.mp4", "half.part"):
        (place.source / name).parent.mkdir(parents=True, exist_ok=True)
        (place.source / name).write_bytes(name.encode())
    assert mwt("run", *place.route, "--all", "--settle", 0, *options).code == 0
    assert set(place.delivered) == expected


@pytest.mark.parametrize("pattern", ["", "/", "[a"])
def test_a_pattern_that_is_none_is_refused(mwt: Any, place: Any, pattern: str) -> None:
    refused = mwt("run", *place.route, "--exclude", pattern)
    assert refused.code == 2
    assert "pattern" in refused.err


@pytest.mark.parametrize(("choice", "expected"), [("keep", {"c.mp4"}), ("resend", {"b.mp4", "c.mp4"})])
def test_another_destination_than_before_is_named_and_taken_where_that_is_said(
    mwt: Any, place: Any, choice: str, expected: set[str]
) -> None:
    (place.source / "a.mp4").write_bytes(b"part of the baseline")
    assert mwt("run", place.source, place.folder / "before", "--settle", 0).code == 0
    (place.source / "b.mp4").write_bytes(b"sent to the first")
    assert mwt("run", place.source, place.folder / "before", "--settle", 0).code == 0
    (place.source / "c.mp4").write_bytes(b"new")
    refused = mwt("run", *place.route, "--settle", 0)
    assert (refused.code, place.delivered) == (2, {})
    assert "destination_changed" in refused.err
    assert mwt("run", *place.route, "--settle", 0, "--destination-changed", choice).code == 0
    assert set(place.delivered) == expected


def test_a_destination_within_the_source_is_refused_unless_it_is_excluded(mwt: Any, place: Any) -> None:
    (place.source / "a.mp4").write_bytes(b"a")
    within = place.source / "done"
    refused = mwt("run", place.source, within, "--all", "--settle", 0)
    assert refused.code == 2
    assert "exclude it" in refused.err
    assert mwt("run", place.source, within, "--all", "--settle", 0, "--exclude", "/done").code == 0
    assert [path.name for path in within.iterdir()] == ["a.mp4"]


def test_json_is_one_report_a_line_and_nothing_else(mwt: Any, place: Any) -> None:
    (place.source / "clip.mp4").write_bytes(b"clip")
    report, *_ = mwt("run", *place.route, "--all", "--settle", 0, "--json").objects
    assert report["scan"]["new"] == report["process"]["succeeded"] == 1
    assert report["process"]["bytes_sent"] == 4
    assert isinstance(report["scan"]["elapsed"], float)


def test_a_source_that_is_not_there_is_named_and_ends_with_1_or_2(mwt: Any, place: Any) -> None:
    assert mwt("run", *place.route).code == 0
    place.source.rename(place.folder / "elsewhere")
    gone = mwt("run", *place.route)
    assert gone.code == 1
    assert "not scanned: " in gone.out
    assert str(place.source) in gone.out
    refused = mwt("run", place.folder / "never", place.inbox)
    assert refused.code == 2
    assert "never" in refused.err


def test_a_folder_that_cannot_be_listed_is_named_and_ends_with_1(
    mwt: Any, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.source / "locked").mkdir()
    assert mwt("run", *place.route).code == 0
    (place.source / "locked" / "clip.mp4").write_bytes(b"clip")
    listed = os.scandir

    def refuse(path: Any = ".") -> Any:
        if b"locked" in os.fsencode(os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else path):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    done = mwt("run", *place.route)
    assert done.code == 1
    assert "not listed: locked: " in done.out


def test_a_destination_that_cannot_be_used_is_named_and_ends_with_1(mwt: Any, place: Any) -> None:
    (place.source / "clip.mp4").write_bytes(b"clip")
    unmounted = place.folder / "disk"
    unmounted.mkdir()
    done = mwt("run", place.source, unmounted / "inbox", "--all", "--settle", 0)
    assert done.code == 1
    inbox = re.escape(str(unmounted / "inbox"))
    assert re.fullmatch(rf"paused until [\d-]+ [\d:]+ UTC: destination DirectoryUploader:{inbox}: .+\n", done.err)


def test_check_says_good_or_what_is_wrong(mwt: Any, place: Any) -> None:
    assert mwt("check", *place.route).out.endswith("good\n")
    place.source.rename(place.folder / "elsewhere")
    bad = mwt("check", *place.route)
    assert bad.code == 1
    assert str(place.source) in bad.err


def test_health_is_good_after_a_complete_scan_and_says_what_is_not(mwt: Any, place: Any) -> None:
    mwt("check", *place.route)
    early = mwt("health", *place.route)
    assert (early.code, early.err) == (1, "no scan has been complete yet\n")
    assert mwt("run", *place.route).code == 0
    assert mwt("health", *place.route).code == 0
    late = mwt("health", *place.route, "--max-age", 0, "--json")
    assert late.code == 1
    (report,) = late.objects
    assert "last complete scan" in report["problems"][0]


def test_verify_finds_what_is_gone_and_queues_it_again(mwt: Any, place: Any) -> None:
    (place.source / "clip.mp4").write_bytes(b"clip")
    mwt("run", *place.route, "--all", "--settle", 0)
    assert mwt("verify", *place.route).out == "1 good, 0 bad, 0 not checked, 0 queued again\n"
    (place.inbox / "clip.mp4").unlink()
    bad = mwt("verify", *place.route, "--repair")
    assert (bad.code, bad.out) == (1, "0 good, 1 bad, 0 not checked, 1 queued again\n")
    assert "bad: task 1" in bad.err
    assert mwt("run", *place.route, "--settle", 0).code == 0
    assert place.delivered == {"clip.mp4": b"clip"}


@pytest.mark.parametrize(("answer", "missing"), [("confirm", 25), ("reject", 0)])
def test_a_quarantine_is_shown_and_ended(mwt: Any, place: Any, answer: str, missing: int) -> None:
    for number in range(30):
        (place.source / f"{number}.mp4").write_bytes(b"x")
    mwt("run", *place.route)
    for number in range(25):
        (place.source / f"{number}.mp4").unlink()
    held = mwt("run", *place.route)
    assert held.code == 1
    assert "quarantine: " in held.out
    assert "quarantine: " in mwt("status").out
    ended = mwt("quarantine", answer, *place.route)
    assert (ended.code, ended.out) == (0, f"{missing} files are called missing\n")
    assert mwt("quarantine", answer, *place.route).out == "there was no quarantine\n"


def test_watch_delivers_until_it_is_told_to_end(place: Any) -> None:
    (place.source / "old.mp4").write_bytes(b"old")
    command = [sys.executable, "-m", "media_watch_tasks.cli", "watch", *map(str, place.route)]
    process = subprocess.Popen(
        [*command, "--every", "0.1", "--settle", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()  # the first run is done: what comes now is new
        (place.source / "new.mp4").write_bytes(b"new")
        while b'"succeeded": 1' not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=HANG_GUARD)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, b"")
    assert place.delivered == {"new.mp4": b"new"}
    with SqliteStores(Path(os.environ["MWT_DATABASE"])) as stores:
        assert stores.tasks.counts()[TaskState.SUCCESS] == 1
        assert [source.source_id for source in stores.media_state.sources()] == [
            LocalMediaScanner(place.source).source_id
        ]


def test_a_name_that_looks_like_markup_is_printed_as_it_is(mwt: Any, place: Any) -> None:
    (place.source / "[red]clip.mp4").write_bytes(b"clip")
    done = mwt("run", *place.route, "--all", "--settle", 0)
    assert "[red]clip.mp4: delivered" in done.out
    assert "[red]clip.mp4" in mwt("tasks").out
