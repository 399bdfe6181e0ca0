"""Wrong ways to divide the queue between workers, each of which the TaskStore suite finds out."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.model.shares import Share
from media_watch_tasks.stores.relational import claim_plan, labels, task_names
from media_watch_tasks.stores.relational.task_core import TaskCore

MEMORY = "tests/contracts/test_task_store_memory.py::TestMemoryTaskStore::"
SQLITE = "tests/contracts/test_task_store_sqlite.py::TestSqliteTaskStore::"
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


def _takes(patch: pytest.MonkeyPatch, changed: Callable[[Share], Share]) -> None:
    original = Share.takes
    patch.setattr(Share, "takes", lambda share, *task: original(changed(share), *task))


@killed_by(MEMORY + "test_tags_narrow_a_claim")
def all_tags_are_asked_for(patch: pytest.MonkeyPatch) -> None:
    original = Share.takes
    patch.setattr(Share, "takes", lambda share, asset_id, tags: share.tags <= tags and original(share, asset_id, tags))


@killed_by(MEMORY + "test_kinds_narrow_a_claim", MEMORY + "test_every_field_of_a_share_narrows_it")
def kinds_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    _takes(patch, lambda share: attrs.evolve(share, kinds=()))


@killed_by(MEMORY + "test_a_share_leaves_kinds_and_tags_to_others", MEMORY + "test_two_shares_divide_the_queue")
def nothing_is_left_to_others(patch: pytest.MonkeyPatch) -> None:
    _takes(patch, lambda share: attrs.evolve(share, without_kinds=(), without_tags=()))


@killed_by(SQLITE + "test_what_was_enqueued_before_anybody_asked_is_found")
def only_new_tasks_are_sorted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskCore, "_to_their_lanes", lambda *_: None)


@killed_by(SQLITE + "test_ended_work_that_is_retried_belongs_to_the_share_asked_for_since")
def retried_work_stays_where_it_stood(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskCore, "to_their_lanes", lambda *_: None)


@killed_by(SQLITE + "test_work_that_comes_back_stays_in_its_share")
def running_work_is_left_out(patch: pytest.MonkeyPatch) -> None:
    from media_watch_tasks.stores.relational import task_core  # noqa: PLC0415 - its statement is patched

    patch.setattr(task_core, "_LIVE_BEHIND", task_core._LIVE_BEHIND.replace("phase < 5", "phase < 4"))


@killed_by(SQLITE + "test_two_shares_divide_the_queue", SQLITE + "test_tags_narrow_a_claim")
def lanes_have_no_labels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(task_names, "labels_of", lambda *_: frozenset())


@killed_by(SQLITE + "test_every_field_of_a_share_narrows_it")
def one_field_is_enough(patch: pytest.MonkeyPatch) -> None:
    def takes(share: Share, found: frozenset[str]) -> bool:
        asked = labels.asked_labels(attrs.evolve(share, without_kinds=(), without_tags=()))
        return not asked or not asked.isdisjoint(found)

    patch.setattr(claim_plan, "takes_labels", takes)


@MUTANTS.each()
def test_a_wrong_division_is_found_out(mutant: Mutant, test: str, assert_killed: Callable[[Mutant, str], None]) -> None:
    assert_killed(mutant, test)
