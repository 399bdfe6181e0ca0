"""A cluster of many hosts on one PostgreSQL server: real claims and settlements, transfers that only pass on a clock.

    python tests/benchmarks/simulate_cluster.py [--hosts 10] [--hands 8] [--transfer 2.0] [--tasks 10000]

First the transfers of many hosts are simulated. Every host enqueues, claims, renews and settles by the statements that
a worker sends, on a real server with fsync; what
would take hours, the transfers, is drawn at random (exponential, the mean is given) and passes on a clock of the
simulation. Each call is timed, one at a time, and its time is added to the transfer of the hand that made it. So the
table says what the work on the database costs for each file, how much of a cluster's time that is, and how many hands
keep one connection busy. Then real processes claim and settle as fast as the server lets them: the tasks a second that
it carries, how long a call waits, and what a task costs its processors; the connections and the room that it needs.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.simulate_cluster_load import connections_of_a_manager, measure_load, table_sizes
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import Claim, ClaimRef, ClaimRequest, NewTask, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.testing.clock import FakeClock

ROUTE = Route("smb://nas/footage", "s3://archive")
RECEIPT = UploadReceipt("2026/clip.mp4", size=1, sha256="0" * 64, verified=True)
SECOND = 10**9
LEASE = timedelta(seconds=60)
ENQUEUED_TOGETHER = 500
MANY = 100_000_000
_T = TypeVar("_T")


@attrs.define
class Host:
    """A worker process with some hands."""

    worker_id: str
    held: dict[int, ClaimRef] = attrs.field(factory=dict)

    def request(self, limit: int) -> ClaimRequest:
        """For so many free hands."""
        return ClaimRequest(
            worker_id=self.worker_id, routes=(ROUTE,), limit=limit, lease_ns=int(LEASE.total_seconds()) * SECOND,
            longest_delay_ns=10**15,
        )  # fmt: skip


class Cluster:
    """Hosts on one database, and the clock on which their transfers pass."""

    def __init__(self, dsn: str, *, hosts: int, hands: int, transfer: float, seed: int = 1) -> None:
        self.clock = FakeClock()
        self.stores = PostgresStores(dsn, clock=self.clock)
        self.hands, self.transfer = hands, transfer
        self.draw = random.Random(seed)
        self.spent: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.hosts = [Host(self.stores.tasks.register_worker(f"host {number}")) for number in range(hosts)]
        self._events: list[tuple[int, int, Host, Claim | None]] = []
        self._numbers = itertools.count()
        self.transfers_ns = 0

    def enqueue(self, tasks: int) -> None:
        """What scanners would do before."""
        for start in range(0, tasks, ENQUEUED_TOGETHER):
            now = self.clock.now_ns()
            batch = [
                NewTask(route=ROUTE, asset_id=b"%05d/%07d.mp4" % (number // 100, number),
                        fingerprint=Fingerprint(1, now), due_ns=now)
                for number in range(start, min(start + ENQUEUED_TOGETHER, tasks))
            ]  # fmt: skip
            self._timed("enqueue", partial(self.stores.tasks.enqueue_if_absent, batch))

    def run(self) -> int:
        """Work until nothing is left; how long that took, in nanoseconds of the cluster."""
        began = self.clock.now_ns()
        for host in self.hosts:
            request = host.request(self.hands)
            claims, cost = self._timed("claim", partial(self.stores.tasks.claim_batch, request))
            self._begin(host, claims, cost)
            self._at(int(LEASE.total_seconds() * SECOND / 3), host, None)
        while any(host.held for host in self.hosts):
            at, _, host, claim = heapq.heappop(self._events)
            self.clock.advance(max(0, at - self.clock.now_ns()) / SECOND)
            if claim is None:
                self._renew(host)
            else:
                self._finish(host, claim)
        return self.clock.now_ns() - began

    def _begin(self, host: Host, claims: Sequence[Claim], cost_ns: int) -> None:
        for claim in claims:
            host.held[claim.task.id] = claim.ref
            lasts = int(self.draw.expovariate(1 / self.transfer) * SECOND)
            self.transfers_ns += lasts
            self._at(cost_ns + lasts, host, claim)

    def _finish(self, host: Host, claim: Claim) -> None:
        del host.held[claim.task.id]
        result, cost = self._timed(
            "settle and claim",
            lambda: self.stores.tasks.settle([Delivered(ref=claim.ref, receipt=RECEIPT)], then_claim=host.request(1)),
        )
        assert result.settled == {claim.task.id}
        self._begin(host, result.claims, cost)

    def _renew(self, host: Host) -> None:
        if not host.held:
            return
        lease_ns = int(LEASE.total_seconds()) * SECOND
        refs = tuple(host.held.values())
        extended, _ = self._timed("renew", lambda: self.stores.tasks.extend(refs, lease_ns=lease_ns))
        assert len(extended) == len(refs)
        self._at(lease_ns // 3, host, None)

    def _at(self, after_ns: int, host: Host, claim: Claim | None) -> None:
        heapq.heappush(self._events, (self.clock.now_ns() + after_ns, next(self._numbers), host, claim))

    def _timed(self, kind: str, call: Callable[[], _T]) -> tuple[_T, int]:
        began = time.perf_counter_ns()
        result = call()
        cost = time.perf_counter_ns() - began
        self.spent[kind] += cost
        self.calls[kind] += 1
        return result, cost


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--hands", type=int, default=8, help="transfers at a time on each host")
    parser.add_argument("--transfer", type=float, default=2.0, help="mean seconds of a transfer")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4, 8], help="hosts of the second part")
    options = parser.parse_args()
    with PostgresServer(durable=True) as server:
        cluster = Cluster(server.dsn, hosts=options.hosts, hands=options.hands, transfer=options.transfer)
        cluster.enqueue(options.tasks)
        lasted = cluster.run()
        assert cluster.stores.tasks.counts()[TaskState.SUCCESS] == options.tasks
        cluster.stores.close()
        report(cluster, options, lasted)
        report_load(server, options)


def report(cluster: Cluster, options: argparse.Namespace, lasted_ns: int) -> None:
    """Print what it cost, and what follows from that."""
    hands = options.hosts * options.hands
    print(f"### {options.hosts} hosts, {options.hands} hands each, transfers of {options.transfer:g} s on average\n")
    print("| | calls | ms each | ms a file |\n|---|---|---|---|")
    for kind in ("enqueue", "claim", "settle and claim", "renew"):
        calls, spent = cluster.calls[kind], cluster.spent[kind]
        print(f"| {kind} | {calls:,} | {spent / max(calls, 1) / 1e6:.2f} | {spent / options.tasks / 1e6:.3f} |")
    whole = sum(cluster.spent.values())
    a_file = whole / options.tasks / SECOND
    working = whole - cluster.spent["enqueue"]
    print(f"\n| | |\n|---|---|\n| files | {options.tasks:,} |")
    rate = options.tasks / lasted_ns * SECOND
    print(f"| the cluster's time | {lasted_ns / SECOND:,.0f} s, {rate:,.1f} files a second |")
    print(f"| hands at work | {cluster.transfers_ns / lasted_ns / hands:.1%} of the time |")
    print(f"| one connection's worth of the database | {working / lasted_ns:.1%} |")
    print(f"| hands that keep one connection busy | {hands * lasted_ns / working:,.0f} |")
    hours = a_file * MANY / 3600
    print(f"| database time for {MANY:,} files | {hours:,.1f} hours of one connection |")


def report_load(server: PostgresServer, options: argparse.Namespace) -> None:
    """Print what real processes got, and what the server needed for it."""
    print(f"\n### Transfers that take no time, {options.hands} claims held by each host\n")
    print("| hosts | tasks/s | call ms, median | 99 % | longest | server processor ms a task |")
    print("|---|---|---|---|---|---|")
    for hosts in options.processes:
        load = measure_load(server, hosts=hosts, hands=options.hands, tasks=options.tasks // 2)
        waits = f"{load.median_ms:.2f} | {load.slow_ms:.2f} | {load.longest_ms:.1f}"
        cost = load.server_seconds / load.tasks * 1e3
        print(f"| {hosts} | {load.tasks / load.seconds:,.0f} | {waits} | {cost:.3f} |", flush=True)
    print("\n| connections of a process | |\n|---|---|")
    for when, number in connections_of_a_manager(server).items():
        print(f"| {when} | {number} |")
    print("\n| room for a million tasks that are done | MB |\n|---|---|")
    for table, size in table_sizes(server, "media_watch_tasks", tasks=options.tasks).items():
        print(f"| {table}, with its indices | {size:,.0f} |")


if __name__ == "__main__":
    main()
