"""Wrong queues that the state machine tells apart from the model: some in memory, some in the SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from media_watch_tasks.model.tasks import ClaimRef, TaskState
from media_watch_tasks.stores.memory import claiming, enqueueing, settling, task_control, task_sequel
from media_watch_tasks.stores.memory.task_book import TaskBook
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.phases import Phase
from media_watch_tasks.stores.relational import task_claim, task_core
from media_watch_tasks.stores.sqlite.worker_locks import WorkerLocks

MACHINE = "tests/unit/test_task_store_machine.py::test_a_queue_behaves_as_the_model"
Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]

MUTANTS: list[Any] = []


def killed_on(machine: str) -> Callable[[Mutate], Mutate]:
    def register(mutate: Mutate) -> Mutate:
        MUTANTS.append(pytest.param(mutate, machine, id=f"{mutate.__name__}-{machine}"))
        return mutate

    return register


def _wrap(patch: Patch, owner: object, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: around(original, *args, **kwargs))


@killed_on("OnMemory")
def a_stale_token_acts(patch: Patch) -> None:
    def claimed(book: TaskBook, ref: ClaimRef) -> Row | None:
        row = book.rows.get(ref.task_id)
        return row if row is not None and row.phase is Phase.RUNNING else None

    patch.setattr(TaskBook, "claimed", claimed)


@killed_on("OnMemory")
def what_is_claimed_is_given_out_again(patch: Patch) -> None:
    patch.setattr(claiming, "_is_over", lambda *_: True)


@killed_on("OnMemory")
def leases_follow_the_wall_clock(patch: Patch) -> None:
    patch.setattr(claiming, "_is_over", lambda book, row: book.now_ns - row.updated_ns >= 3 * 10**9)


@killed_on("OnMemory")
def claims_come_in_the_order_of_their_due_times(patch: Patch) -> None:
    def choose(original: Any, book: TaskBook, rows: list[Row], request: Any) -> Any:
        return sorted(original(book, rows, request), key=lambda row: (row.due_ns, row.id))

    _wrap(patch, claiming, "_choose", choose)


@killed_on("OnMemory")
def two_versions_wait_at_once(patch: Patch) -> None:
    def end(original: Any, book: TaskBook, row: Row, state: TaskState, reason: str | None = None) -> None:
        if reason != "superseded" or row.phase is Phase.RUNNING:
            original(book, row, state, reason)

    _wrap(patch, TaskBook, "end", end)


@killed_on("OnMemory")
def a_restored_file_is_not_sent_again(patch: Patch) -> None:
    patch.setattr(
        TaskBook,
        "is_delivered",
        lambda book, route, asset, key: any(
            row.end is TaskState.SUCCESS and row.key == key for row in book.versions(route, asset)
        ),
    )


@killed_on("OnMemory")
def a_task_that_kills_its_workers_goes_on_for_ever(patch: Patch) -> None:
    _wrap(patch, claiming, "take_back", lambda original, book, **kw: original(book, **(kw | {"dead_after": 99})))


@killed_on("OnMemory")
def a_retry_revives_two_versions(patch: Patch) -> None:
    _wrap(
        patch,
        task_control,
        "_why_not",
        lambda original, book, row: None if row.end is TaskState.CANCELLED else original(book, row),
    )


@killed_on("OnMemory")
def receipts_stay_behind_when_files_move(patch: Patch) -> None:
    patch.setattr(task_sequel, "move", lambda book, route, asset_id, to: book.latest(route, asset_id))


@killed_on("OnMemory")
def the_found_version_waits_for_a_scan(patch: Patch) -> None:
    patch.setattr(settling, "_supersede", lambda book, row, _: book.end(row, TaskState.CANCELLED, "superseded"))


@killed_on("OnMemory")
def a_forced_task_is_dropped_where_one_waits(patch: Patch) -> None:
    _wrap(patch, enqueueing, "enqueue", lambda original, book, new: original(book, new._replace(force=False)))


@killed_on("OnSqlite")
def a_dead_process_keeps_its_leases(patch: Patch) -> None:
    patch.setattr(WorkerLocks, "is_dead", lambda *_: False)


@killed_on("OnSqlite")
def a_living_process_is_taken_for_dead(patch: Patch) -> None:
    patch.setattr(WorkerLocks, "is_dead", lambda self, worker_id: worker_id not in self._held)


@killed_on("OnSqlite")
def an_attempt_is_counted_twice(patch: Patch) -> None:
    patch.setattr(task_claim, "_BEGIN", task_claim._BEGIN.replace("+ 1 - begun", "+ 1"))


@killed_on("OnSqlite")
def the_task_behind_is_left_behind(patch: Patch) -> None:
    patch.setattr(task_core.TaskCore, "free_behind", lambda *_: None)


@pytest.fixture(autouse=True)
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_MACHINE_EXAMPLES", "80")


@pytest.mark.parametrize(("mutate", "machine"), MUTANTS)
def test_a_wrong_queue_is_told_apart(
    mutate: Mutate, machine: str, assert_killed: Callable[[Mutate, str], None]
) -> None:
    assert_killed(mutate, f"{MACHINE}[{machine}]")
