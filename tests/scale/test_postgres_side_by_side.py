"""Many writers at once: claims are disjoint and miss nothing, assets get one task each, counts stay exact."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered, Failed, Pause, PauseScope
from media_watch_tasks.model.tasks import ClaimRequest, EnqueueOutcome, NewTask, TaskSelection, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.postgres.gate import Gate, lock_class

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9
THREADS = 4
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::bigint::oid AND NOT granted"
LIVE = (TaskState.PENDING, TaskState.FAILED, TaskState.UPLOADING)


@pytest.fixture
def opened(postgres: PostgresServer) -> Iterator[list[PostgresStores]]:
    """Two processes' stores, as far as the database can tell."""
    schema = postgres.new_schema()
    with PostgresStores(postgres.dsn, schema=schema) as one, PostgresStores(postgres.dsn, schema=schema) as two:
        yield [one, two]


def new(number: int, *, version: int = 1, constraints: frozenset[str] = frozenset()) -> NewTask:
    fingerprint = Fingerprint(version, version)
    return NewTask(route=ROUTE, asset_id=b"%04d" % number, fingerprint=fingerprint, due_ns=0, constraints=constraints)


def request(worker: str, limit: int) -> ClaimRequest:
    return ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=limit, lease_ns=HOUR, longest_delay_ns=HOUR)


def in_threads(*works: Callable[[], None]) -> None:
    """Do all of it at once; nothing may fail."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - shown below, by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("lanes", [1, 3])
def test_claims_are_disjoint_and_nobody_goes_away_empty_too_early(opened: list[PostgresStores], lanes: int) -> None:
    constraints = [frozenset({"power"} if lane else ()) | frozenset({f"{lane}"}) for lane in range(lanes)]
    opened[0].tasks.enqueue_if_absent([new(n, constraints=constraints[n % lanes]) for n in range(240)])
    claimed: list[int] = []
    left: list[int] = []

    def work(stores: PostgresStores) -> Callable[[], None]:
        worker = stores.tasks.register_worker()

        def until_empty() -> None:
            while claims := stores.tasks.claim_batch(request(worker, 3)):
                claimed.extend(claim.task.id for claim in claims)
            # Alone: what others are about to take is still pending for everybody else.
            with stores.database.transaction(gate=Gate.ALONE):
                left.append(stores.tasks.counts()[TaskState.PENDING])

        return until_empty

    in_threads(*(work(opened[n % 2]) for n in range(THREADS)))
    assert Counter(Counter(claimed).values()) == {1: 240}
    assert left == [0] * THREADS, "who was told that there is nothing was told the truth"


def test_the_same_assets_from_several_scanners_get_one_task_each(opened: list[PostgresStores]) -> None:
    outcomes: list[EnqueueOutcome] = []

    def scan(stores: PostgresStores, seed: int) -> Callable[[], None]:
        order = random.Random(seed).sample(range(200), 200)

        def enqueue() -> None:
            for start in range(0, 200, 50):
                results = stores.tasks.enqueue_if_absent([new(number) for number in order[start : start + 50]])
                outcomes.extend(result.outcome for result in results)

        return enqueue

    in_threads(*(scan(opened[n % 2], n) for n in range(THREADS)))
    assert Counter(outcomes) == {EnqueueOutcome.ENQUEUED: 200, EnqueueOutcome.LIVE: 200 * (THREADS - 1)}
    assert opened[0].tasks.counts()[TaskState.PENDING] == 200


def test_settlements_of_one_claim_take_effect_once(opened: list[PostgresStores]) -> None:
    store = opened[0].tasks
    store.enqueue_if_absent([new(n) for n in range(40)])
    refs = [claim.ref for claim in store.claim_batch(request(store.register_worker(), 40))]
    settled: list[int] = []

    def settle(stores: PostgresStores, *, fail: bool) -> Callable[[], None]:
        def each() -> None:
            for ref in refs:
                how = (
                    Failed(ref=ref, retry_ns=HOUR, error="no")
                    if fail
                    else Delivered(ref=ref, receipt=UploadReceipt("x"))
                )
                settled.extend(stores.tasks.settle([how]).settled)

        return each

    in_threads(*(settle(opened[n % 2], fail=bool(n // 2)) for n in range(THREADS)))
    assert Counter(settled) == Counter(ref.task_id for ref in refs)


def test_a_purge_waits_for_who_is_alone_with_the_queue(opened: list[PostgresStores]) -> None:
    database, store = opened[0].database, opened[1].tasks
    opened[0].tasks.enqueue_if_absent([new(1)])
    store.cancel(TaskSelection())
    purged: list[int] = []
    purging = threading.Thread(target=lambda: purged.append(store.purge(TaskSelection(), before_ns=2**62)))
    with database.transaction(gate=Gate.ALONE):
        purging.start()
        gate = lock_class("gate", database.schema) % 2**32
        while database.execute(WAITING, (gate,)) == [(0,)]:
            assert purging.is_alive(), "it did not wait"
        retried, _ = opened[0].tasks.retry(TaskSelection())
    purging.join()
    assert purged == [0], "the task that was retried meanwhile is not deleted"
    assert opened[0].tasks.counts()[TaskState.PENDING] == len(retried) == 1


def deliver_until(over: threading.Event, stores: PostgresStores, deliveries: list[int]) -> None:
    """Deliver what there is, until it is over and nothing is left."""
    worker = stores.tasks.register_worker()
    while not (over.is_set() and sum(stores.tasks.counts()[state] for state in LIVE) == 0):
        claims = stores.tasks.claim_batch(request(worker, 2))
        how = [Delivered(ref=claim.ref, receipt=UploadReceipt("there")) for claim in claims]
        deliveries.extend(stores.tasks.settle(how).settled)


def test_a_storm_of_everything_loses_nothing(opened: list[PostgresStores]) -> None:
    assets, versions = 30, 8
    over = threading.Event()
    deliveries: list[int] = []

    def scan() -> None:
        for version in range(1, versions + 1):
            for start in range(0, assets, 10):
                opened[0].tasks.enqueue_if_absent([new(n, version=version) for n in range(start, start + 10)])
        over.set()

    def meddle() -> None:
        chance = random.Random(1)
        while not over.is_set():
            store = opened[chance.randrange(2)].tasks
            store.pause(Pause(scope=PauseScope.SOURCE, value="camera", until_ns=None))
            store.resume(PauseScope.SOURCE, "camera")
            store.cancel(TaskSelection(asset_ids=frozenset({b"%04d" % chance.randrange(assets)})))
            store.retry(TaskSelection(states=frozenset({TaskState.CANCELLED})))

    in_threads(scan, meddle, *(partial(deliver_until, over, stores, deliveries) for stores in opened))
    store = opened[0].tasks
    store.enqueue_if_absent([new(n, version=versions) for n in range(assets)])
    deliver_until(over, opened[0], deliveries)
    latest = store.delivered(ROUTE, [b"%04d" % n for n in range(assets)])
    assert [task and task.fingerprint.size for task in latest] == [versions] * assets, "the newest version of each"
    found = Counter(task.state for task in store.tasks(TaskSelection(), limit=10_000))
    assert store.counts() == {state: found[state] for state in TaskState}
    assert found[TaskState.SUCCESS] == len(deliveries), "as many receipts as workers have delivered"
