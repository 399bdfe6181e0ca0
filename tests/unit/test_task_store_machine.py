"""Both queues behave as the model does, whatever three processes, people and clocks do to them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.stores.memory.task_store import MemoryTaskStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.contracts.task_store_machine import NOTEWORTHY, TaskStoreMachine

STEPS = 50


class OnMemory(TaskStoreMachine):
    """One store: a process that dies takes it along, so here the leases of its worker end."""

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
        self.opened[number].close()  # lets go of the lock files, as the end of the process would

    def close(self) -> None:
        for stores in self.opened.values():
            stores.close()
        self.folder.cleanup()


def _run(machine: type[TaskStoreMachine], *, examples: int, number: int, **options: Any) -> None:
    """The same examples in each run of the tests, others for another number."""
    plan = settings(max_examples=examples, stateful_step_count=STEPS, database=None, **options)
    run_state_machine_as_test(seed(number)(machine), settings=plan)


def _never(machine: type[TaskStoreMachine]) -> list[str]:
    return sorted(what for what in NOTEWORTHY if not machine.seen[what])


@pytest.mark.timeout(600)  # a failing example is shortened first
@pytest.mark.parametrize("machine", [OnMemory, OnSqlite])
def test_a_queue_behaves_as_the_model(machine: type[TaskStoreMachine]) -> None:
    if "QUEUE_MACHINE_EXAMPLES" in os.environ:  # of a mutant: nobody reads what it could be shortened to
        _run(machine, examples=int(os.environ["QUEUE_MACHINE_EXAMPLES"]), number=1, phases=[Phase.generate])
        return
    machine.seen.clear()
    for number in range(1, 10):
        _run(machine, examples=40, number=number)
        if number > 1 and not _never(machine):
            break
    assert not _never(machine), "the machine did not come to these"


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("machine", [OnMemory, OnSqlite])
def test_a_queue_behaves_as_the_model_in_other_runs_too(machine: type[TaskStoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=2_000, stateful_step_count=100))
