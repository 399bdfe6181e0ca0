"""FirestoreUploader under a manager, faults at random over 5,000 files: all arrive, and attempts are not wasted."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import firestore

from media_watch_tasks import RetryOptions, SqliteStores, TaskManager, TaskManagerOptions, TaskState
from media_watch_tasks.firestore import FirestoreUploader
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeResolver, FakeScanner, FakeTree

GrpcProxy = Any

FILES = 5_000
COST_NOTHING = ("PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
COST_AN_ATTEMPT = (
    "UNAVAILABLE",
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "lost UNAVAILABLE",
    "lost DEADLINE_EXCEEDED",
    "slow 0.05",
)


@pytest.mark.parametrize("kinds", [COST_NOTHING, COST_NOTHING + COST_AN_ATTEMPT], ids=["of the destination", "all"])
def test_faults_at_random_lose_nothing_and_waste_no_attempt(
    *,
    client: firestore.Client,
    client_at: Any,
    grpc_proxy: GrpcProxy,
    faults: Any,
    tmp_path: Path,
    kinds: tuple[str, ...],
) -> None:
    clock, tree = FakeClock(), FakeTree()
    uploader = FirestoreUploader(client_at(grpc_proxy.port), ramp=None, clock=clock, batch_size=100)
    with (
        SqliteStores(tmp_path / "queue.db", clock=clock) as stores,
        TaskManager(
            media_scanner=FakeScanner(tree),
            media_resolver=FakeResolver(tree),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=uploader,
            options=TaskManagerOptions(settle_for=timedelta(0), workers=2, retry=RetryOptions(jitter=0)),
            clock=clock,
            rng=random.Random(3),
        ) as manager,
    ):
        manager.initialize_baseline()
        for number in range(FILES):
            tree.put(f"{number % 10}/{number}.mp4", b"x" * (number % 7 + 1))
        manager.scan_and_enqueue_new()
        clock.advance(timedelta(minutes=1))
        grpc_proxy.faults = faults(*kinds, share=0.3, seed=2)
        for _ in range(100):
            manager.process(force=True)
            manager.credentials_refreshed()
            if manager.counts()[TaskState.SUCCESS] == FILES:
                break
        assert set(grpc_proxy.faults.fired) == set(kinds), "every fault has fired"
        tasks = manager.tasks(limit=FILES + 1)
        assert {task.state for task in tasks} == {TaskState.SUCCESS}
        written = {each.get("path"): each.get("key") for each in client.collection("files").stream()}
        assert written == {task.display: task.key for task in tasks}
        assert len(written) == FILES
        if kinds == COST_NOTHING:
            assert {task.attempts for task in tasks} == {1}, "only the one that succeeded counts"
        else:
            assert max(task.attempts for task in tasks) <= 3
