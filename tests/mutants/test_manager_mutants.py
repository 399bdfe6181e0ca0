"""Wrong managers, each of which the contract test that names its fault finds out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from media_watch_tasks.local import LocalMediaScanner
from media_watch_tasks.manager import (
    absence,
    after_upload,
    attempt,
    moves,
    outcomes,
    page_commit,
    run,
    settling,
    unfinished,
    walk,
)
from media_watch_tasks.manager.context import ManagedContext
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.destinations import Destinations
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.listings import Listings
from media_watch_tasks.manager.scanning import Scanning
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.settlements import Failed, Released
from media_watch_tasks.model.sources import BaselineState, KnownListing
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import RetryOptions

FOLDER = "tests/contracts/manager/"
Patch = pytest.MonkeyPatch
MUTANTS: list[Any] = []


def killed_by(test: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Names the test that finds the mutant out."""

    def register(mutate: Callable[[Patch], None]) -> Callable[[Patch], None]:
        MUTANTS.append(pytest.param(mutate, FOLDER + test, id=mutate.__name__))
        return mutate

    return register


@killed_by("test_manager_watched_destination.py::test_a_destination_in_the_watched_folder_is_refused")
def files_are_delivered_to_where_they_are_found_again(patch: Patch) -> None:
    patch.setattr(Destinations, "refuse_watched", lambda *_: None)


@killed_by("test_manager_watched_destination.py::test_a_filter_of_files_hides_no_folder")
def a_folder_is_judged_by_one_file_in_it(patch: Patch) -> None:
    def leaves_out(scanner: LocalMediaScanner, directory: bytes) -> bool:
        probe = MediaAsset(scanner.source_id, directory + b"/clip.mp4", 1, 0)
        return not scanner.was_visible(scanner.filter_spec, probe)

    patch.setattr(LocalMediaScanner, "leaves_out", leaves_out)


@killed_by("test_manager_quick_work.py::test_tasks_beside_one_that_a_worker_died_on_are_not_claimed_in_a_chain[sqlite]")
def a_chain_takes_suspects_along(patch: Patch) -> None:
    patch.setattr(run.Run, "_without_suspects", lambda _self, claims: claims)


@killed_by(
    "test_manager_quick_work.py::"
    "test_outcomes_are_written_together_only_where_the_destination_can_be_asked[sqlite-False]"
)
def outcomes_wait_also_where_nobody_finds_what_was_delivered(patch: Patch) -> None:
    patch.setattr(Destinations, "find_existing", True)


@killed_by("test_manager_quick_work.py::test_a_stop_gives_back_what_no_hand_has_turned_to[sqlite]")
def what_is_given_back_counts_as_begun(patch: Patch) -> None:
    patch.setattr(run, "Released", lambda ref, **_named: Released(ref=ref))


@killed_by("test_manager_quick_work.py::test_a_limit_holds_within_a_chain[sqlite]")
def a_chain_is_always_as_long_as_can_be(patch: Patch) -> None:
    request = run.Run._request

    def unlimited(self: Any, **named: Any) -> Any:
        found = request(self, **named)
        return None if found is None else attrs.evolve(found, limit=32)

    patch.setattr(run.Run, "_request", unlimited)


@killed_by("test_manager_delivery.py::test_file_that_changed_is_superseded_although_it_cannot_be_read")
def what_cannot_be_read_is_not_looked_at(patch: Patch) -> None:
    check = attempt.Attempt._check_source

    def only_with_media(self: Any) -> None:
        if self._media is not None:
            check(self)

    patch.setattr(attempt.Attempt, "_check_source", only_with_media)


@killed_by("test_manager_delivery.py::test_half_written_file_is_not_sent")
def half_written_files_are_sent(patch: Patch) -> None:
    patch.setattr(attempt.Attempt, "_check_source", lambda _self: None)


@killed_by(
    "test_manager_unfinished.py::"
    "test_a_scan_that_finds_a_newer_version_leaves_the_parts_of_the_older_one_to_the_next_run"
)
def parts_of_older_versions_stay(patch: Patch) -> None:
    patch.setattr(run, "remove_unfinished", lambda _core: None)


@killed_by("test_manager_unfinished.py::test_what_could_not_be_removed_is_owed_also_after_a_restart")
def what_could_not_be_removed_is_forgotten(patch: Patch) -> None:
    def once(core: ManagerCore, uploader: Any, tasks: Any) -> bool:
        for task in tasks:
            with contextlib.suppress(Exception):
                uploader.abort(task.resume_state)
            core.tasks.finish_unfinished(task.id)
        return True

    patch.setattr(unfinished, "_all_removed", once)


@killed_by("test_manager_unfinished.py::test_what_can_never_be_removed_is_not_tried_for_ever")
def what_can_never_be_removed_is_tried_for_ever(patch: Patch) -> None:
    patch.setattr(unfinished, "PermanentError", ZeroDivisionError)


@killed_by("test_manager_scan.py::test_file_is_not_seen_before_its_task_is_written")
def files_are_seen_before_their_task_is_written(patch: Patch) -> None:
    commit = page_commit.PageCommit._commit

    def seen_first(self: Any, page: Any, diff: Any, moved: Any, **parts: Any) -> int:
        self._walk.record(page, diff, diff.new)
        return commit(self, page, diff, moved, **parts)

    patch.setattr(page_commit.PageCommit, "_commit", seen_first)


@killed_by("test_manager_outcomes.py::test_backoff_doubles_and_the_last_attempt_makes_the_task_dead")
def failures_are_retried_for_ever(patch: Patch) -> None:
    failed = outcomes._failed

    def endless(claim: Any, message: str, *, options: Any, **named: Any) -> Any:
        retry = attrs.evolve(options.retry, attempts=1_000)
        return failed(claim, message, options=attrs.evolve(options, retry=retry), **named)

    patch.setattr(outcomes, "_failed", endless)


@killed_by("test_manager_baseline.py::test_second_baseline_changes_nothing_and_files_that_came_meanwhile_are_sent")
def second_baseline_swallows_files(patch: Patch) -> None:
    baseline = Scanning.baseline

    def again(self: Any, cancel: Any, *, restart: bool) -> Any:
        state = self._core.media_state.source(self._core.source_id)
        self._core.media_state.save_source(attrs.evolve(state, baseline=BaselineState.NONE))
        return baseline(self, cancel, restart=restart)

    patch.setattr(Scanning, "baseline", again)


@killed_by("test_manager_delivery.py::test_destination_is_asked_before_anything_is_sent_a_second_time")
def destination_is_never_asked(patch: Patch) -> None:
    patch.setattr(attempt.Attempt, "_find_existing", lambda _self: None)


@killed_by("test_manager_delivery.py::test_confirm_refuses_a_version_that_changed_meanwhile")
def confirm_does_not_look_at_the_source(patch: Patch) -> None:
    def confirm(self: Any) -> None:
        self.bytes_read_at_confirm = self._flight.bytes_read

    patch.setattr(ManagedContext, "confirm", confirm)


@killed_by("test_manager_delivery.py::test_worker_whose_lease_was_lost_writes_nothing_and_makes_nothing_visible")
def confirm_does_not_ask_for_the_lease(patch: Patch) -> None:
    patch.setattr(ManagedContext, "confirm", lambda self: self._check_source())


@killed_by("test_manager_outcomes.py::test_existing_object_of_another_size_or_hash_is_no_success")
def any_existing_object_is_success(patch: Patch) -> None:
    patch.setattr(attempt.Attempt, "_judge_existing", lambda _self, error: error.receipt or UploadReceipt("there"))


@killed_by("test_manager_outcomes.py::test_empty_mount_point_is_not_taken_for_a_removed_file")
def any_root_will_do(patch: Patch) -> None:
    patch.setattr(ManagerCore, "is_accepted_root", lambda _self, _found: True)


@killed_by("test_manager_outcomes.py::test_file_that_is_gone_ends_cancelled_and_is_sent_when_it_reappears")
def gone_files_stay_seen(patch: Patch) -> None:
    patch.setattr(settling.Settler, "_write", _without_marks(settling.Settler._write))


@killed_by("test_manager_outcomes.py::test_retry_after_wins_over_the_backoff_up_to_a_cap")
def retry_after_is_ignored(patch: Patch) -> None:
    failed = outcomes._failed
    patch.setattr(outcomes, "_failed", lambda *args, **named: failed(*args, **{**named, "wanted": None}))


@killed_by("test_manager_outcomes.py::test_pause_of_a_destination_grows_until_a_delivery_ends_it")
def pauses_do_not_grow(patch: Patch) -> None:
    pause = settling.Settler._pause

    def first_again(self: Any, wish: Any, task_id: int) -> None:
        until = self._core.clock.now_ns() + 30 * 10**9
        pause(self, attrs.evolve(wish, until_ns=until), task_id)

    patch.setattr(settling.Settler, "_pause", first_again)


@killed_by("test_manager_outcomes.py::test_secrets_in_error_texts_reach_neither_database_nor_log")
def error_texts_are_kept_as_they_are(patch: Patch) -> None:
    patch.setattr(outcomes, "redact", lambda text: text)


@killed_by("test_manager_delivery.py::test_each_task_is_taken_at_most_once_in_a_run")
def runs_take_a_task_again_and_again(patch: Patch) -> None:
    request = run.Run._request

    def without_floor(self: Any, **named: Any) -> Any:
        found = request(self, **named)
        return None if found is None else attrs.evolve(found, floor=None)

    patch.setattr(run.Run, "_request", without_floor)
    delay = RetryOptions.delay
    patch.setattr(RetryOptions, "delay", lambda self, attempt, *, draw: delay(self, attempt, draw=draw) * 0)


@killed_by("test_manager_running.py::test_upload_without_progress_is_cut_off_and_retried")
def stalled_uploads_count_as_cancelled(patch: Patch) -> None:
    judge = outcomes.judge

    def released(claim: Any, error: Any, **named: Any) -> Any:
        outcome = judge(claim, error, **named)
        stalled = isinstance(outcome.settlement, Failed) and "stalled" in outcome.settlement.error
        return attrs.evolve(outcome, settlement=None, counted="lease_lost") if stalled else outcome

    patch.setattr(attempt, "judge", released)


@killed_by("test_manager_running.py::test_progress_reaches_listeners_and_the_database")
def progress_is_not_kept(patch: Patch) -> None:
    patch.setattr(Flight, "unsaved_progress", lambda _self: None)


@killed_by("test_manager_scan.py::test_scan_that_was_cut_off_finds_what_came_behind_its_back")
def resumed_scans_end_at_the_end(patch: Patch) -> None:
    init = walk.Walk.__init__
    patch.setattr(walk.Walk, "__init__", lambda self, *args, **named: init(self, *args, **{**named, "around": False}))


@killed_by("test_manager_absence.py::test_incomplete_scan_calls_nothing_missing")
def incomplete_scans_judge_absence(patch: Patch) -> None:
    note = walk.Walk._note

    def without_problems(self: Any, page: Any) -> None:
        note(self, page)
        self.problem_count = 0

    patch.setattr(walk.Walk, "_note", without_problems)


@killed_by("test_manager_absence.py::test_emptied_source_is_held_in_quarantine")
def nothing_is_too_much_to_be_missing(patch: Patch) -> None:
    patch.setattr(absence.Absence, "_too_many", lambda _self, _absent: None)


@killed_by("test_manager_absence.py::test_copy_is_a_new_file")
def copies_are_taken_for_moves(patch: Patch) -> None:
    patch.setattr(moves.Moves, "_whose_origin_is_gone", lambda _self, pairs: pairs)


@killed_by("test_manager_rescan.py::test_directory_in_which_a_task_is_live_is_always_listed")
def directories_with_live_tasks_are_left_unlisted(patch: Patch) -> None:
    init = Listings.__init__

    def never_restless(self: Any, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self._restless = frozenset()

    patch.setattr(Listings, "__init__", never_restless)


@killed_by("test_manager_rescan.py::test_stamp_is_trusted_only_after_a_second_listing_five_seconds_later")
def stamps_are_trusted_at_once(patch: Patch) -> None:
    after = Listings.after

    def trusting(self: Any, page: Any, diff: Any) -> KnownListing | None:
        listing = after(self, page, diff)
        return None if listing is None else attrs.evolve(listing, trusted=True)

    patch.setattr(Listings, "after", trusting)


@killed_by("test_manager_after_upload.py::test_file_that_changed_after_the_upload_is_put_back_and_queued")
def actions_do_not_look_again(patch: Patch) -> None:
    def blindly(_self: Any, action: Any, resolver: Any, task: Any, cancel: Any) -> tuple[bool, None]:
        resolver.set_aside(task.asset, b".mwt-aside", cancel=cancel)
        action.perform(resolver, b".mwt-aside", task.asset, cancel=cancel)
        return False, None

    patch.setattr(after_upload.AfterUpload, "_act", blindly)


@killed_by("test_manager_after_upload.py::test_source_keeps_the_file_until_every_destination_has_it")
def one_destination_is_enough(patch: Patch) -> None:
    patch.setattr(after_upload.AfterUpload, "_has", lambda _self, _task, _route: True)


def _without_marks(write: Callable[..., Any]) -> Callable[..., Any]:
    def written(self: Any, pending: Any, then_claim: Any) -> Any:
        return write(self, [attrs.evolve(item, gone=False) for item in pending], then_claim)

    return written


@pytest.mark.parametrize(("mutate", "test"), MUTANTS)
def test_contract_finds_the_mutant_out(
    assert_killed: Callable[[Callable[[Patch], None], str], None], mutate: Callable[[Patch], None], test: str
) -> None:
    assert_killed(mutate, test)
