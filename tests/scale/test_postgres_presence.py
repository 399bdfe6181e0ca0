"""Workers on PostgreSQL: a death is seen at once, a restart of the server is no death, a cut-off worker is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import psycopg
import pytest
from tests.scale.postgres_server import SESSIONS, PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.postgres.gate import lock_class
from media_watch_tasks.stores.postgres.server_clock import ServerClock
from media_watch_tasks.testing.clock import FakeClock

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9
END_FIRST_WORKERS_SESSION = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s::bigint::oid ORDER BY objid LIMIT 1
"""


@pytest.fixture
def schema(postgres: PostgresServer) -> str:
    return postgres.new_schema()


@pytest.fixture
def stores(postgres: PostgresServer, schema: str) -> Iterator[PostgresStores]:
    with PostgresStores(postgres.dsn, schema=schema) as stores:
        yield stores


def enqueue(stores: PostgresStores, count: int) -> None:
    stores.tasks.enqueue_if_absent(
        [NewTask(route=ROUTE, asset_id=b"%d" % n, fingerprint=Fingerprint(1, 1), due_ns=0) for n in range(count)]
    )


def request(worker: str, limit: int = 1) -> ClaimRequest:
    return ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=limit, lease_ns=HOUR, longest_delay_ns=HOUR)


def claim(stores: PostgresStores, worker: str) -> Claim | None:
    claims = stores.tasks.claim_batch(request(worker))
    return claims[0] if claims else None


VICTIM = """
import sys, time
sys.path.insert(0, {root!r})
from tests.scale.test_postgres_presence import PostgresStores, claim
stores = PostgresStores({dsn!r}, schema={schema!r})
assert claim(stores, stores.tasks.register_worker("victim")) is not None
print("holds", flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_held_is_taken_back_at_once(
    stores: PostgresStores, postgres: PostgresServer, schema: str, pytestconfig: pytest.Config
) -> None:
    enqueue(stores, 1)
    code = VICTIM.format(root=str(pytestconfig.rootpath), dsn=postgres.dsn, schema=schema)
    victim = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"holds\n"
    survivor = stores.tasks.register_worker("survivor")
    assert claim(stores, survivor) is None, "the other one is alive"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    postgres.wait_for_sessions(schema, 1)
    assert stores.tasks.take_back(dead_after=5, backoff_ns=(0,)) == 1, "long before the lease of an hour has ended"
    found = claim(stores, survivor)
    assert found is not None
    assert found.task.crashes == 1


@pytest.mark.parametrize("how", ["stopped", "crashed"])
def test_a_restart_of_the_server_is_nobodys_death(schema: str, how: str) -> None:
    clock = FakeClock()
    with (
        PostgresServer() as server,
        PostgresStores(server.dsn, schema=schema, clock=clock) as stores,
        PostgresStores(server.dsn, schema=schema, clock=clock) as peers,
    ):
        enqueue(stores, 2)
        worker, peer = stores.tasks.register_worker("w"), peers.tasks.register_worker("p")
        held = claim(stores, worker)
        assert held is not None
        stores.database.sync()
        if how == "crashed":
            server.crash()
        else:
            server.stop()
            server.start()
        clock.advance(1)
        assert claim(peers, peer) is not None, "the other task; the peer is back"
        assert peers.tasks.take_back(dead_after=5, backoff_ns=(0,)) == 0, "the worker may well be alive"
        clock.advance(1)
        assert claim(stores, worker) is None
        settled = stores.tasks.settle([Delivered(ref=held.ref, receipt=UploadReceipt("there"))]).settled
        assert settled == {held.task.id}
        present = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::bigint::oid"
        number = lock_class("worker", schema) % 2**32
        assert stores.database.execute(present, (number,)) == [(2,)], "both hold their locks again"


def test_a_worker_that_was_cut_off_is_refused(postgres: PostgresServer, schema: str) -> None:
    clock = FakeClock()
    with (
        PostgresStores(postgres.dsn, schema=schema, clock=clock) as stores,
        PostgresStores(postgres.dsn, schema=schema, clock=clock) as peers,
    ):
        enqueue(stores, 1)
        worker, peer = stores.tasks.register_worker("w"), peers.tasks.register_worker("p")
        held = claim(stores, worker)
        assert held is not None
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            number = lock_class("worker", schema) % 2**32
            rows = connection.execute(END_FIRST_WORKERS_SESSION, (number,)).fetchall()
        assert rows == [(True,)], "the fault has struck"
        postgres.wait_for_sessions(schema, 1)
        assert peers.tasks.take_back(dead_after=5, backoff_ns=(0,)) == 1
        taken = claim(peers, peer)
        assert taken is not None
        late = stores.tasks.settle([Delivered(ref=held.ref, receipt=UploadReceipt("late"))])
        assert late.settled == frozenset(), "its lease was lost"
        assert stores.tasks.extend([held.ref], lease_ns=HOUR) == frozenset()
        clock.advance(1)
        enqueue(stores, 2)
        assert claim(stores, worker) is not None, "it is back, and goes on with other work"
        assert stores.tasks.counts()[TaskState.UPLOADING] == 2
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            assert connection.execute(SESSIONS, (number,)).fetchone() == (2,), "its lock is held again"


def test_a_second_worker_is_registered_where_the_connection_of_the_first_was_lost(
    stores: PostgresStores, postgres: PostgresServer, schema: str
) -> None:
    first = stores.tasks.register_worker("first")
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        rows = connection.execute(END_FIRST_WORKERS_SESSION, (lock_class("worker", schema) % 2**32,)).fetchall()
    assert rows == [(True,)], "the fault has struck"
    second = stores.tasks.register_worker("second")
    number = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::bigint::oid"
    assert stores.database.execute(number, (lock_class("worker", schema) % 2**32,)) == [(2,)], f"{first}, {second}"


def test_the_servers_clock_decides(stores: PostgresStores) -> None:
    local = FakeClock()
    clock = ServerClock(stores.database, local=local, ask_every_ns=10 * 10**9)
    server_ns = stores.database.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1e9)::bigint")[0][0]
    assert abs(clock.now_ns() - server_ns) < 60 * 10**9, "whatever the machine's own wall clock says"
    before = clock.boot_ns()
    local.advance_wall(86_400)
    assert clock.boot_ns() == before, "a jump of the machine's wall clock moves nothing"
    local.advance_boot(5)
    assert clock.boot_ns() == before + 5 * 10**9, "the boot clock carries the answer on"
    local.advance_boot(3_600)
    assert abs(clock.boot_ns() - server_ns) < 60 * 10**9, "until the server is asked again"
