"""The commands that need the database alone."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import SqliteStores


@pytest.fixture
def failing(mwt: Any, place: Any) -> Any:
    """A route with two tasks: one delivered, one dead because another file has its name at the destination."""
    (place.source / "good.mp4").write_bytes(b"good")
    (place.source / "taken.mp4").write_bytes(b"ours")
    (place.inbox / "taken.mp4").write_bytes(b"another's")
    assert mwt("run", *place.route, "--all", "--settle", 0).code == 1
    return place


def test_status_shows_sources_and_counts(mwt: Any, failing: Any) -> None:
    shown = mwt("status").out
    assert f"local:{failing.source}" in shown
    assert f"DirectoryUploader:{failing.inbox}" in shown
    assert "tasks: 1 success, 1 dead" in shown
    (found,) = mwt("status", "--json").objects
    assert found["tasks"] == {"pending": 0, "uploading": 0, "success": 1, "failed": 0, "dead": 1, "cancelled": 0}
    (source,) = found["sources"]
    assert (source["assets"], source["missing"], source["quarantine"]) == (2, 0, None)
    assert source["destinations"] == [f"DirectoryUploader:{failing.inbox}"]
    assert source["last_complete_scan"].endswith("+00:00")


def test_tasks_are_listed_with_why_and_narrowed_by_state(mwt: Any, failing: Any) -> None:
    assert "name_conflict" in mwt("tasks", "--state", "dead").out
    every = mwt("tasks", "--json").objects
    assert {task["path"]: task["state"] for task in every} == {"good.mp4": "success", "taken.mp4": "dead"}
    (dead,) = mwt("tasks", "--json", "--state", "dead").objects
    assert (dead["reason"], dead["size"], dead["remote_id"]) == ("name_conflict", 4, None)
    assert mwt("tasks", "--json", "--after", every[0]["id"], "--limit", 1).objects == [every[1]]


def test_retry_makes_dead_tasks_due_again(mwt: Any, failing: Any) -> None:
    (failing.inbox / "taken.mp4").unlink()
    assert "1 tasks will be tried again" in mwt("retry").out
    assert mwt("run", *failing.route, "--settle", 0).code == 0
    assert failing.delivered == {"good.mp4": b"good", "taken.mp4": b"ours"}
    (done, *_) = mwt("tasks", "--json", "--state", "success").objects
    assert f"task {done['id']} was left: delivered" in mwt("retry", "--id", done["id"]).out


def test_a_pause_keeps_tasks_from_being_sent_until_it_is_resumed(mwt: Any, place: Any) -> None:
    (place.source / "clip.mp4").write_bytes(b"clip")
    mwt("check", *place.route)
    assert mwt("pause", "--reason", "moving house", "--for", 60).code == 0
    assert re.search(r"^paused until [\d-]+ [\d:]+ UTC: all: moving house$", mwt("status").out, re.MULTILINE)
    mwt("run", *place.route, "--all", "--settle", 0)
    assert place.delivered == {}
    assert mwt("resume").code == 0
    assert mwt("resume").code == 1
    mwt("run", *place.route, "--all", "--settle", 0)
    assert place.delivered == {"clip.mp4": b"clip"}


def test_a_pause_is_of_one_party(mwt: Any, failing: Any) -> None:
    assert mwt("pause", "--source", "local:/mnt/a").out == "paused: source local:/mnt/a\n"
    assert mwt("pause", "--tag", "raw").out == "paused: tag raw\n"
    assert mwt("resume", "--source", "local:/mnt/a").code == 0
    both = mwt("pause", "--source", "a", "--tag", "b")
    assert both.code == 2
    assert "name one of" in both.err
    assert [pause["value"] for pause in mwt("status", "--json").objects[0]["pauses"]] == ["raw"]


def test_cancel_ends_what_waits_and_wants_to_be_told_what(mwt: Any, place: Any) -> None:
    (place.source / "clip.mp4").write_bytes(b"clip")
    mwt("run", *place.route, "--all", "--settle", 3600, "--no-wait")
    refused = mwt("cancel")
    assert refused.code == 2
    assert "--all" in refused.err
    assert mwt("cancel", "--all").out == "1 tasks cancelled, 0 running ones asked to stop\n"
    assert [task["state"] for task in mwt("tasks", "--json").objects] == ["cancelled"]


def test_backup_is_a_whole_copy(mwt: Any, failing: Any) -> None:
    copy = failing.folder / "copy.db"
    assert mwt("backup", copy).code == 0
    with SqliteStores(copy) as stores:
        assert sum(stores.tasks.counts().values()) == 2


@pytest.mark.parametrize("command", ["status", "tasks", "retry", "resume", "backup copy.db"])
def test_a_database_that_is_not_there_is_not_made(mwt: Any, place: Any, command: str) -> None:
    refused = mwt(*command.split())
    assert refused.code == 2
    assert "there is no database" in refused.err
    assert not Path(os.environ["MWT_DATABASE"]).exists()


def test_a_file_that_is_no_database_is_named(mwt: Any, place: Any) -> None:
    Path(os.environ["MWT_DATABASE"]).write_bytes(b"no database at all" * 100)
    refused = mwt("status")
    assert refused.code == 2
    assert "watch.db" in refused.err
