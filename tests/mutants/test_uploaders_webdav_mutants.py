"""Wrong ways to deliver to a WebDAV server, each of which a contract or the tests of its promises find out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.errors import TransientError
from media_watch_tasks.uploaders.http import webdav
from media_watch_tasks.uploaders.http.folders import RemoteFolders
from media_watch_tasks.uploaders.http.stored import StoredObjects
from media_watch_tasks.uploaders.http.uploader import HttpUploader
from media_watch_tasks.uploaders.http.webdav import WebdavUploader

FAULTS = "tests/uploaders/test_uploaders_webdav_faults.py::"
TRIPS = "tests/uploaders/test_uploaders_round_trips.py::"
REAL = "tests/uploaders/test_uploaders_webdav_contract.py::TestWebdavUploader::"
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(REAL + "test_half_a_file_stands_under_another_name_alone")
def sends_to_the_name_itself(patch: pytest.MonkeyPatch) -> None:
    def upload(self: WebdavUploader, media: Any, context: Any) -> Any:
        context.save_resume_state({"temporary": "whatever"})
        return HttpUploader.upload(self, media, context)

    patch.setattr(WebdavUploader, "upload", upload)


@killed_by(FAULTS + "test_a_file_is_sent_under_another_name_and_moved_once_it_was_confirmed")
def moves_before_it_was_confirmed(patch: pytest.MonkeyPatch) -> None:
    right = WebdavUploader._sent

    def sent(self: WebdavUploader, place: str, media: Any, context: Any) -> Any:
        receipt = right(self, place, media, context)
        self._move(place, self._template.render(media.asset, context.key), media, context, overwrites=False)
        return receipt

    patch.setattr(WebdavUploader, "_sent", sent)
    patch.setattr(WebdavUploader, "_move", right_once(WebdavUploader._move))


def right_once(move: Any) -> Any:
    done: list[str] = []

    def once(self: WebdavUploader, place: str, *rest: Any, **named: Any) -> None:
        if place not in done:
            done.append(place)
            move(self, place, *rest, **named)

    return once


@killed_by(FAULTS + "test_a_stranger_that_comes_after_the_last_look_is_left_alone")
def overwrites_whatever_stands_there(patch: pytest.MonkeyPatch) -> None:
    request = WebdavUploader._for_media
    patch.setattr(
        WebdavUploader,
        "_for_media",
        lambda self, headers, media: request(self, headers | ({"Overwrite": "T"} if headers else {}), media),
    )


@killed_by(FAULTS + "test_a_newer_version_replaces_the_earlier_one_and_no_other")
def takes_whatever_stands_there_for_the_earlier_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WebdavUploader, "_may_overwrite", lambda *_: True)


@killed_by(REAL + "test_the_next_attempt_leaves_nothing_of_the_one_before")
def leaves_what_an_earlier_attempt_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WebdavUploader, "_remove_earlier", lambda *_: None)


@killed_by(FAULTS + "test_what_a_task_that_ended_left_is_removed_by_the_manager")
def aborts_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WebdavUploader, "abort", lambda *_: None)


@killed_by(FAULTS + "test_a_name_of_another_base_is_never_removed")
def removes_what_any_state_names(patch: pytest.MonkeyPatch) -> None:
    def abort(self: WebdavUploader, state: Any) -> None:
        if "temporary" in state:
            self._remove(state["temporary"])

    patch.setattr(WebdavUploader, "abort", abort)


@killed_by(FAULTS + "test_a_name_that_the_server_does_not_show_is_no_delivery")
def believes_the_move(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WebdavUploader, "_published", lambda self, url, receipt, *_: receipt)


@killed_by(FAULTS + "test_folders_are_made_once_and_again_when_they_are_gone")
def never_makes_a_folder_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RemoteFolders, "missing", lambda *_: TransientError("gone"))


@killed_by(FAULTS + "test_a_stranger_is_left_alone_and_nothing_is_sent")
def looks_only_after_everything_was_sent(patch: pytest.MonkeyPatch) -> None:
    right = StoredObjects.look
    sent: list[bool] = []

    def look(self: StoredObjects, *arguments: Any, **named: Any) -> Any:
        sent.append(True)
        return None if len(sent) == 1 else right(self, *arguments, **named)

    patch.setattr(StoredObjects, "look", look)


@killed_by(TRIPS + "test_where_a_large_file_goes_is_looked_at_before_it_is_sent_and_before_it_is_moved")
def takes_a_large_file_for_a_small_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(webdav, "CHUNK", 1 << 40)


@MUTANTS.each()
def test_a_wrong_uploader_is_found_out(assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str) -> None:
    assert_killed(mutant, test)
