"""Both queues behave as the model does, whatever three processes, people and clocks do to them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.stores.memory.task_store import MemoryTaskStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.contracts.task_store_machine import NOTEWORTHY, PROCESSES, TaskStoreMachine


class OnMemory(TaskStoreMachine):
    """One store: a process that dies takes it along, so the leases of a worker that is gone end here."""

    def open(self) -> None:
        self.memory = MemoryTaskStore(self.clock)

    def open_process(self, number: int) -> TaskStore:
        return self.memory


class OnSqlite(TaskStoreMachine):
    """One file, opened by each of the processes."""

    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.opened: dict[int, SqliteStores] = {}

    def open_process(self, number: int) -> TaskStore:
        self.opened[number] = SqliteStores(Path(self.folder.name) / "watch.db", clock=self.clock)
        return self.opened[number].tasks

    def kill_process(self, number: int, held: Sequence[ClaimRef]) -> None:
        self.opened[number].close()  # the lock files are let go as the end of the process would

    def close(self) -> None:
        for stores in self.opened.values():
            stores.close()
        self.folder.cleanup()


def _run(machine: type[TaskStoreMachine], examples: int) -> None:
    # What the profile says of the number of examples holds for all but the mutants: they are asked for less.
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=50, derandomize=True)
    )


@pytest.mark.parametrize(("machine", "examples"), [(OnMemory, 100), (OnSqlite, 100)])
def test_a_queue_behaves_as_the_model(machine: type[TaskStoreMachine], examples: int) -> None:
    machine.seen.clear()
    _run(machine, examples)
    print(sorted(machine.seen.items()))
    assert set(machine.seen) >= NOTEWORTHY, sorted(NOTEWORTHY-set(machine.seen))
