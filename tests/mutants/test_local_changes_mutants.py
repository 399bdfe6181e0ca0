"""Wrong ways to change files of a source, each of which the suite for `ChangesSource` finds out."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetNotFound
from media_watch_tasks.local import changes
from media_watch_tasks.local.changes import LocalChanges

SUITE = "tests/contracts/test_local_changes.py::TestLocalChanges::"
Mutate = Callable[[pytest.MonkeyPatch], None]


def _rename_over(name: bytes, wanted: bytes, *, source: int, target: int) -> bool:
    os.rename(name, wanted, src_dir_fd=source, dst_dir_fd=target)
    return True


def puts_back_over_what_has_come(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "rename_if_free", _rename_over)


def takes_the_folder_for_the_file(patch: pytest.MonkeyPatch) -> None:
    def remove(self: Any, asset_id: bytes, *, cancel: CancelToken) -> None:
        folder = os.path.join(self._root.path, os.path.dirname(asset_id))
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))

    patch.setattr(LocalChanges, "remove", remove)


def copies_instead_of_moving(patch: pytest.MonkeyPatch) -> None:
    def both_names(name: bytes, wanted: bytes, *, source: int, target: int) -> bool:
        os.link(name, wanted, src_dir_fd=source, dst_dir_fd=target)
        return True

    patch.setattr(changes, "rename_if_free", both_names)


def touches_what_it_sets_aside(patch: pytest.MonkeyPatch) -> None:
    right = LocalChanges.set_aside

    def set_aside(self: Any, asset: Any, aside: bytes, *, cancel: CancelToken) -> None:
        right(self, asset, aside, cancel=cancel)
        os.utime(os.path.join(self._root.path, aside))

    patch.setattr(LocalChanges, "set_aside", set_aside)


def takes_a_source_that_is_away_for_an_empty_one(patch: pytest.MonkeyPatch) -> None:
    right = LocalChanges.remove

    def remove(self: Any, asset_id: bytes, *, cancel: CancelToken) -> None:
        if os.path.exists(self._root.path):
            right(self, asset_id, cancel=cancel)

    patch.setattr(LocalChanges, "remove", remove)


def takes_a_locked_folder_for_a_gone_file(patch: pytest.MonkeyPatch) -> None:
    right = LocalChanges.move_to

    def move_to(self: Any, asset_id: bytes, target: bytes, *, cancel: CancelToken) -> None:
        with suppress(PermissionError):
            os.stat(os.path.join(self._root.path, asset_id))
            return right(self, asset_id, target, cancel=cancel)
        raise AssetNotFound("locked")

    patch.setattr(LocalChanges, "move_to", move_to)


def does_not_ask_whether_it_was_cancelled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CancelToken, "raise_if_cancelled", lambda _: None)


@pytest.mark.parametrize(
    ("mutate", "test"),
    [
        (puts_back_over_what_has_come, "test_nothing_is_put_back_over_a_file_that_has_come_meanwhile"),
        (puts_back_over_what_has_come, "test_a_move_overwrites_nothing"),
        (takes_the_folder_for_the_file, "test_a_removed_file_is_gone_and_no_other"),
        (copies_instead_of_moving, "test_a_file_that_was_put_back_is_what_it_was"),
        (touches_what_it_sets_aside, "test_a_file_stands_aside_with_its_bytes_and_its_time"),
        (takes_a_source_that_is_away_for_an_empty_one, "test_a_source_that_is_away_is_not_a_file_that_is_gone[remove]"),
        (
            takes_a_locked_folder_for_a_gone_file,
            "test_a_folder_that_may_not_be_changed_is_tried_again_later[move_to]",
        ),
        (does_not_ask_whether_it_was_cancelled, "test_a_cancelled_change_is_not_begun"),
    ],
)
def test_a_wrong_change_is_found_out(mutate: Mutate, test: str, assert_killed: Callable[[Mutate, str], None]) -> None:
    assert_killed(mutate, SUITE + test)
