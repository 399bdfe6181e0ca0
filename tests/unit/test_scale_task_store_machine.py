"""The queue on PostgreSQL behaves as the model does, whatever three processes, people and clocks do to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.testing.contracts.task_store_machine import NOTEWORTHY, TaskStoreMachine

STEPS = 50


class OnPostgres(TaskStoreMachine):
    """One schema, opened by each of the processes."""

    server: ClassVar[PostgresServer]
    asks_every = 8  # each question is a trip to the server

    def open(self) -> None:
        self.schema = self.server.new_schema()
        self.opened: dict[int, PostgresStores] = {}

    def open_process(self, number: int) -> TaskStore:
        self.opened[number] = PostgresStores(self.server.dsn, schema=self.schema, clock=self.clock)
        return self.opened[number].tasks

    def kill_process(self, number: int, held: Sequence[ClaimRef]) -> None:
        """The server drops what a process held a moment after its connections have ended."""
        self.opened[number].close()
        self.server.wait_for_sessions(self.schema, len(self.opened) - 1)

    def close(self) -> None:
        for stores in self.opened.values():
            stores.close()


@pytest.fixture
def machine(postgres: PostgresServer) -> type[OnPostgres]:
    OnPostgres.server = postgres
    return OnPostgres


def _run(machine: type[OnPostgres], *, examples: int, number: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    plan = settings(max_examples=examples, stateful_step_count=STEPS, database=None, phases=phases)
    run_state_machine_as_test(seed(number)(machine), settings=plan)


@pytest.mark.timeout(600)  # a failing example is shortened first
def test_the_queue_behaves_as_the_model(machine: type[OnPostgres]) -> None:
    if "QUEUE_MACHINE_EXAMPLES" in os.environ:  # of a mutant: nobody reads what it could be shortened to
        _run(machine, examples=int(os.environ["QUEUE_MACHINE_EXAMPLES"]), number=1, phases=[Phase.generate])
        return
    machine.seen.clear()
    for number in range(1, 20):
        # What the first run has not come to, some more examples do.
        _run(machine, examples=15 if number == 1 else 5, number=number)
        if not (NOTEWORTHY - machine.seen.keys()):
            break
    assert not (NOTEWORTHY - machine.seen.keys()), "the machine did not come to these"


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_the_queue_behaves_as_the_model_in_other_runs_too(machine: type[OnPostgres]) -> None:
    _run(machine, examples=1_000, number=int.from_bytes(os.urandom(4)))
