"""Equal content where several hosts send: a host that dies with the reservation stands in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered, ReservationState
from media_watch_tasks.model.tasks import Claim, ClaimRequest, NewTask
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres.stores import PostgresStores

ROOT = Path(__file__).parents[2]
ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9
CONTENT = "ab" * 32
VICTIM = """
import sys, time
from tests.scale.test_scale_dedup import CONTENT, PostgresStores, claim
stores = PostgresStores({dsn!r}, schema={schema!r})
state, _ = stores.tasks.reserve_content(claim(stores, stores.tasks.register_worker()).ref, CONTENT)
print(state, flush=True)
time.sleep(600)
"""


def claim(stores: PostgresStores, worker: str) -> Claim:
    request = ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=1, lease_ns=HOUR, longest_delay_ns=HOUR)
    (found,) = stores.tasks.claim_batch(request)
    return found


def test_content_that_a_dead_host_has_reserved_is_sent_once_by_another(postgres: PostgresServer) -> None:
    schema = postgres.new_schema()
    with PostgresStores(postgres.dsn, schema=schema) as stores:
        tasks = stores.tasks
        tasks.enqueue_if_absent(
            [NewTask(route=ROUTE, asset_id=name, fingerprint=Fingerprint(7, 1), due_ns=0) for name in (b"a", b"b")]
        )
        program = VICTIM.format(dsn=postgres.dsn, schema=schema)
        victim = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert victim.stdout is not None
        assert victim.stdout.readline() == f"{ReservationState.RESERVED}\n"
        worker = tasks.register_worker()
        other = claim(stores, worker)
        assert tasks.reserve_content(other.ref, CONTENT) == (ReservationState.BUSY, None), "the other one sends it"
        victim.kill()
        victim.wait()
        victim.stdout.close()
        postgres.wait_for_sessions(schema, 1)
        assert tasks.take_back(dead_after=5, backoff_ns=(0,)) == 1
        assert tasks.reserve_content(other.ref, CONTENT) == (ReservationState.RESERVED, None)
        receipt = UploadReceipt("there", size=7, sha256=CONTENT)
        tasks.settle([Delivered(ref=other.ref, receipt=receipt)])
        again = claim(stores, worker)
        assert (again.task.asset_id, again.task.ever_begun) == (b"a", True)
        assert tasks.reserve_content(again.ref, CONTENT) == (ReservationState.DELIVERED, receipt), "and shared"
