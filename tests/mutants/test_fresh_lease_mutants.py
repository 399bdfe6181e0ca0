"""Wrong looks at a lease, each of which a test of it finds out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from media_watch_tasks.stores.sqlite import task_settle

TESTS = "tests/unit/test_sqlite_fresh_lease.py::"
Patch = pytest.MonkeyPatch


def whoever_holds_it_holds_it(patch: Patch) -> None:
    patch.setattr(task_settle, "_IS_FRESH", task_settle._IS_FRESH.replace("token = ?", "? IS NOT NULL"))


def a_lease_that_ends_soon_is_fresh(patch: Patch) -> None:
    patch.setattr(task_settle, "_FRESH_SHARE", 2)


def a_lease_of_an_earlier_boot_is_fresh(patch: Patch) -> None:
    patch.setattr(task_settle, "_IS_FRESH", task_settle._IS_FRESH.replace("boot = ?", "? IS NULL"))


@pytest.mark.parametrize(
    ("mutate", "test"),
    [
        (whoever_holds_it_holds_it, "test_a_claim_that_was_lost_is_refused_however_fresh_it_is"),
        (a_lease_that_ends_soon_is_fresh, "test_an_older_one_is_extended"),
        (a_lease_of_an_earlier_boot_is_fresh, "test_a_lease_of_another_boot_is_not_fresh"),
    ],
)
def test_the_mutant_is_found_out(
    assert_killed: Callable[[Callable[[Patch], None], str], None], mutate: Callable[[Patch], None], test: str
) -> None:
    assert_killed(mutate, TESTS + test)
