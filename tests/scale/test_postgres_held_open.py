"""What one transaction does while another one is held open at a known point: it passes over, or it waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered, Failed, Settlement
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask, TaskSelection, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.postgres.gate import Gate, lock_class
from media_watch_tasks.stores.postgres.transaction import Transaction
from media_watch_tasks.testing.contracts.acting import ActingContract

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9
# Sessions that wait for a lock which the asking one holds.
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
IN_GATE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::bigint::oid AND NOT granted"


@pytest.fixture
def opened(postgres: PostgresServer) -> Iterator[list[PostgresStores]]:
    """The stores of two processes, as far as the database can tell."""
    schema = postgres.new_schema()
    with PostgresStores(postgres.dsn, schema=schema) as one, PostgresStores(postgres.dsn, schema=schema) as two:
        yield [one, two]


def beside_others(stores: PostgresStores) -> Transaction:
    """A transaction that stands in the gate beside others, as those of claims and settlements do."""
    database = stores.database
    return Transaction(database._pool, database._current, durable=False, gate=Gate.SHARED, restarts=True)


def new(number: int, *, version: int = 1) -> NewTask:
    return NewTask(route=ROUTE, asset_id=b"%d" % number, fingerprint=Fingerprint(version, version), due_ns=0)


def claimer(stores: PostgresStores) -> Callable[[int], list[Claim]]:
    worker = stores.tasks.register_worker()

    def claim(limit: int) -> list[Claim]:
        request = ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=limit, lease_ns=HOUR, longest_delay_ns=HOUR)
        return list(stores.tasks.claim_batch(request))

    return claim


class Beside:
    """Work on a thread of its own, beside a transaction of the test's."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self.result = work()
        except BaseException as error:  # noqa: BLE001 - raised by `end`
            self._errors.append(error)

    def waits_for(self, stores: PostgresStores, *, in_gate: bool = False) -> bool:
        """True once it waits for the transaction of these stores, in the gate if so asked; False if it has ended, or
        waits for something else.
        """
        execute = stores.database.execute
        gate = lock_class("gate", stores.database.schema) % 2**32
        while self._thread.is_alive():
            if execute(WAITING)[0][0]:
                return not in_gate or bool(execute(IN_GATE, (gate,))[0][0])
        return False

    def end(self) -> Any:
        self._thread.join()
        assert self._errors == []
        return self.result


@pytest.mark.parametrize("limit", [1, 3])
def test_a_claim_passes_over_what_another_one_is_about_to_take(opened: list[PostgresStores], limit: int) -> None:
    opened[0].tasks.enqueue_if_absent([new(n) for n in range(6)])
    first, second = (claimer(stores) for stores in opened)
    second(0)  # nothing is left to be done before the choice
    with beside_others(opened[0]):
        taken = first(limit)
        beside = Beside(lambda: second(limit))
        assert not beside.waits_for(opened[0]), "it waited for rows that another one takes"
    ids = [claim.task.id for claim in (*taken, *beside.end())]
    assert len(ids) == len(set(ids)) == 2 * limit


def test_a_claim_of_several_lanes_passes_over_what_another_one_is_about_to_take(opened: list[PostgresStores]) -> None:
    lanes = [frozenset({f"{n}"}) for n in range(2)]
    opened[0].tasks.enqueue_if_absent([new(n)._replace(constraints=lanes[n % 2]) for n in range(8)])
    first, second = (claimer(stores) for stores in opened)
    with beside_others(opened[0]):
        taken = first(3)
        # What it has chosen is taken: it takes the rest, alone, once this transaction has ended.
        beside = Beside(lambda: second(3))
        assert beside.waits_for(opened[0], in_gate=True), "it was content with nothing"
    ids = [claim.task.id for claim in (*taken, *beside.end())]
    assert len(ids) == len(set(ids)) == 6


def failed(claim: Claim) -> Settlement:
    return Failed(ref=claim.ref, retry_ns=HOUR, error="no")


def delivered(claim: Claim) -> Settlement:
    return Delivered(ref=claim.ref, receipt=UploadReceipt("there"))


@pytest.mark.parametrize("late", [failed, delivered])
def test_the_second_settlement_of_a_claim_waits_for_the_first_and_is_void(
    opened: list[PostgresStores], late: Callable[[Claim], Settlement]
) -> None:
    opened[0].tasks.enqueue_if_absent([new(0)])
    (claim,) = claimer(opened[0])(1)
    with beside_others(opened[0]):
        assert opened[0].tasks.settle([delivered(claim)]).settled == {claim.task.id}
        opened[0].database.execute("SELECT 1")  # a delivery goes to the server with the next statement
        beside = Beside(lambda: opened[1].tasks.settle([late(claim)]).settled)
        assert beside.waits_for(opened[0]), "it did not wait"
    assert beside.end() == frozenset()
    assert opened[1].tasks.counts()[TaskState.SUCCESS] == 1


def test_a_failure_that_is_written_late_waits_for_the_first_and_is_void(opened: list[PostgresStores]) -> None:
    opened[0].tasks.enqueue_if_absent([new(0)])
    (claim,) = claimer(opened[0])(1)
    with beside_others(opened[0]):
        assert opened[0].tasks.settle([failed(claim)]).settled == {claim.task.id}
        beside = Beside(lambda: opened[1].tasks.settle([failed(claim)]).settled)
        assert beside.waits_for(opened[0]), "it did not wait"
    assert beside.end() == frozenset()


def test_who_is_alone_waits_for_a_claim_beside_him(opened: list[PostgresStores]) -> None:
    opened[0].tasks.enqueue_if_absent([new(n) for n in range(2)])
    claim = claimer(opened[0])
    claim(0)
    with beside_others(opened[0]):
        assert len(claim(1)) == 1
        beside = Beside(lambda: opened[1].tasks.cancel(TaskSelection()))
        assert beside.waits_for(opened[0], in_gate=True), "it did not wait in the gate"
    assert beside.end() == (1, 1), "it saw the claim: one was waiting, the other one was running"


def test_claims_and_new_files_wait_for_who_is_alone(opened: list[PostgresStores]) -> None:
    opened[0].tasks.enqueue_if_absent([new(0)])
    claim = claimer(opened[1])
    for work, done in ((lambda: len(claim(1)), 0), (lambda: len(opened[1].tasks.enqueue_if_absent([new(1)])), 1)):
        with opened[0].database.transaction():
            opened[0].tasks.cancel(TaskSelection())
            beside = Beside(work)
            assert beside.waits_for(opened[0], in_gate=True), "it did not wait in the gate"
        assert beside.end() == done


def test_claims_and_settlements_and_new_files_stand_in_the_gate_together(opened: list[PostgresStores]) -> None:
    opened[0].tasks.enqueue_if_absent([new(n) for n in range(4)])
    first, second = (claimer(stores) for stores in opened)
    (held,) = second(1)
    with beside_others(opened[0]):
        assert len(first(1)) == 1
        for work in (
            lambda: second(1),
            lambda: opened[1].tasks.settle([delivered(held)]),
            lambda: opened[1].tasks.enqueue_if_absent([new(5)]),
        ):
            beside = Beside(work)
            assert not beside.waits_for(opened[0], in_gate=True), "it waited in the gate"
            beside.end()


def test_an_after_upload_action_goes_on_where_the_connection_of_its_lock_was_lost(
    opened: list[PostgresStores],
) -> None:
    one, two = (stores.tasks for stores in opened)
    (owed,) = ActingContract.delivered(one)
    holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::bigint::oid"
    action = lock_class("action", opened[0].database.schema) % 2**32
    with one.acting(owed) as mine:
        assert mine
        ((pid,),) = two.database.execute(holder, (action,))
        assert two.database.execute("SELECT pg_terminate_backend(?::integer)", (pid,)) == [(True,)]
    for store in (one, two):
        with store.acting(owed) as theirs:
            assert theirs, "the lock went with the connection"
