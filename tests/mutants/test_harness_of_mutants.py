"""The harness tells a mutant that was found out from one that lives, and from one that is merely broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from media_watch_tasks.stores.memory.task_book import TaskBook

TEST = (
    "tests/contracts/test_task_store_memory.py::TestMemoryTaskStore::test_the_latest_delivered_version_is_not_enqueued"
)
Kill = Callable[[Callable[[pytest.MonkeyPatch], None], str], None]


def _never(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskBook, "is_delivered", lambda *_: False)


def _unchanged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskBook, "is_delivered", TaskBook.is_delivered)


def _broken(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(TaskBook, "is_delivered")


def test_a_wrong_implementation_is_killed(assert_killed: Kill) -> None:
    assert_killed(_never, TEST)


def test_a_right_implementation_survives(assert_killed: Kill) -> None:
    with pytest.raises(AssertionError, match="survives"):
        assert_killed(_unchanged, TEST)


def test_a_broken_implementation_proves_nothing(assert_killed: Kill) -> None:
    with pytest.raises(AssertionError, match="AttributeError"):
        assert_killed(_broken, TEST)


def test_a_test_that_does_not_exist_is_no_killer(assert_killed: Kill) -> None:
    with pytest.raises(pytest.fail.Exception, match="did not run"):
        assert_killed(_never, TEST + "_of_all")


def test_what_was_patched_is_right_again_afterwards(assert_killed: Kill, run_test: Callable[[str], Any]) -> None:
    assert_killed(_never, TEST)
    findings = run_test(TEST)
    assert findings.passed
    assert not findings.refuted
