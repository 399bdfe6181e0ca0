"""Wrong rights to do after-upload actions, each of which the suite finds out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.stores.postgres.action_locks import ActionLocks as PostgresLocks
from media_watch_tasks.stores.relational.task_sequel import TaskSequel
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore
from media_watch_tasks.stores.sqlite.action_locks import ActionLocks as SqliteLocks

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
SQLITE = "tests/contracts/test_shared_queue_sqlite.py::TestSqliteActing::"
POSTGRES = "tests/contracts/test_scale_shared_queue_postgres.py::TestPostgresActing::"
MUTANTS = Mutants()


def killed_by(test: str) -> Callable[[Mutant], Mutant]:
    """By the test of the suite, on either database."""
    return MUTANTS.killed_by(SQLITE + test, POSTGRES + test)


@killed_by("test_one_process_at_a_time_does_an_action")
def everybody_may_act(patch: pytest.MonkeyPatch) -> None:
    for locks in (SqliteLocks, PostgresLocks):
        patch.setattr(locks, "hold", lambda *_: nullcontext(enter_result=True))


@killed_by("test_an_action_that_is_done_is_not_done_again")
def what_is_done_is_done_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskSequel, "is_owed", lambda *_: True)


@killed_by("test_an_action_that_is_not_owed_is_not_done")
def the_default_of_the_interface_is_good_enough(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RelationalTaskStore, "acting", TaskStore.acting)


@killed_by("test_an_action_keeps_nobody_from_those_of_other_tasks")
def there_is_one_lock(patch: pytest.MonkeyPatch) -> None:
    sqlite, postgres = SqliteLocks.hold, PostgresLocks.hold
    patch.setattr(SqliteLocks, "hold", lambda locks, _task_id: sqlite(locks, 0))
    patch.setattr(PostgresLocks, "hold", lambda locks, _task_id: postgres(locks, 0))


@killed_by("test_an_action_that_fails_is_free_for_another_process")
def what_fails_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    real = RelationalTaskStore.acting

    @contextmanager
    def acting(store: RelationalTaskStore, task_id: int) -> Iterator[bool]:
        with real(store, task_id) as mine:
            try:
                yield mine
            finally:
                store.finish_action(task_id)

    patch.setattr(RelationalTaskStore, "acting", acting)


@MUTANTS.each()
def test_a_wrong_right_to_act_is_found_out(
    mutant: Mutant, test: str, assert_killed: Callable[[Mutant, str], None]
) -> None:
    assert_killed(mutant, test)
