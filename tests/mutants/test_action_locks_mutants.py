"""Wrong locks of after-upload actions on SQLite are found out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.stores.relational.task_sequel import TaskSequel
from media_watch_tasks.stores.sqlite.action_locks import ActionLocks

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by
ONE = "tests/unit/test_sqlite_action_locks.py::test_one_process_at_a_time_does_an_action_and_none_once_it_is_done"


@killed_by(ONE)
def everybody_is_let_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ActionLocks, "hold", lambda _locks, _task_id: nullcontext(enter_result=True))


@killed_by(ONE)
def what_is_done_is_done_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskSequel, "is_owed", lambda _sequel, _task_id: True)


@MUTANTS.each()
def test_a_wrong_lock_is_found_out(assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str) -> None:
    assert_killed(mutant, test)
