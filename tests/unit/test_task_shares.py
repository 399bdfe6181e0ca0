"""Shares of the queue: what they refuse, and that a claim walks over nothing that belongs to another worker."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks import MediaKind, Share, TaskManagerOptions
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import ClaimRequest, NewTask
from media_watch_tasks.stores.postgres.dialect import translate
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.stores.relational.claim_plan import plan_for
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores

ROUTE = Route("camera", "archive")
HOUR = 3_600 * 10**9
LIMIT = 3
SHARES = [Share(kinds={"video"}), Share(tags={"x"}), Share(without_kinds={"audio"}), Share(without_tags={"y"})]
"""Each takes the tasks `*.mov`, tagged x, and leaves the tasks `*.wav`, tagged y."""


def request(worker: str, share: Share | None) -> ClaimRequest:
    return ClaimRequest(
        worker_id=worker, routes=(ROUTE,), limit=LIMIT, lease_ns=HOUR, longest_delay_ns=HOUR, share=share
    )


def fill(store: RelationalTaskStore, *, foreign: int) -> None:
    """Foreign tasks, all before those of the share."""
    files = [(b"%05d.wav" % number, "y") for number in range(foreign)] + [(b"%d.mov" % n, "x") for n in range(LIMIT)]
    store.enqueue_if_absent(
        [
            NewTask(route=ROUTE, asset_id=name, fingerprint=Fingerprint(1, 1), due_ns=0, tags=frozenset({tag}))
            for name, tag in files
        ]
    )


@pytest.mark.parametrize("share", SHARES)
def test_a_claim_of_a_share_reads_no_foreign_task_on_sqlite(tmp_path: Path, share: Share) -> None:
    steps: list[int] = []
    for number, foreign in enumerate((10, 3_000)):
        path = tmp_path / f"{number}.db"
        with SqliteStores(path) as stores:
            fill(stores.tasks, foreign=foreign)
            worker = stores.tasks.register_worker()
            assert len(stores.tasks.claim_batch(request(worker, share))) == LIMIT
            names = stores.tasks._core.names.current()
            (pick,) = plan_for(names, request(worker, share), stores.tasks.clock.now_ns()).picks
        connection = sqlite3.connect(path)
        connection.execute("UPDATE task SET phase = 0 WHERE phase = 4")
        counted: list[None] = []
        connection.set_progress_handler(partial(counted.append, None), 1)
        values = (LIMIT, 0, None, None)[: max(int(mark) for mark in "1234" if f"?{mark}" in pick)]
        assert len(connection.execute(pick, values).fetchall()) == LIMIT
        steps.append(len(counted))
        connection.close()
    assert steps[0] == steps[1], "what stands before the share costs nothing"


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


@pytest.mark.parametrize("share", SHARES)
def test_a_claim_of_a_share_reads_no_foreign_task_on_postgres(postgres: PostgresServer, share: Share) -> None:
    with PostgresStores(postgres.dsn, schema=postgres.new_schema()) as stores:
        fill(stores.tasks, foreign=3_000)
        worker = stores.tasks.register_worker()
        assert len(stores.tasks.claim_batch(request(worker, share))) == LIMIT
        database = stores.database
        with database.transaction():
            database.execute("UPDATE task SET phase = 0 WHERE phase = 4")
        names = stores.tasks._core.names.current()
        (pick,) = plan_for(names, request(worker, share), stores.tasks.clock.now_ns(), locking=True).picks
        sql, used = translate(pick)
        assert used == (0,), "only the limit"
        explained = database.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("$1", str(LIMIT)))[0][0]
    (found,) = explained if isinstance(explained, list) else json.loads(explained)
    scans = [node for node in nodes(found["Plan"]) if "Scan" in node["Node Type"] and node.get("Relation Name")]
    assert scans, found
    assert sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans) == LIMIT


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kinds": {"film"}}, "'film' is not a valid MediaKind: the kinds are video"),
        ({"kinds": "video"}, "write {'video'}"),
        ({"tags": "x"}, "the tags of a share are given as a set"),
        ({"kinds": {"video"}, "without_kinds": {"video", "audio"}}, "is empty"),
        ({"tags": {"x"}, "without_tags": {"x"}}, "is empty"),
    ],
)
def test_a_share_that_is_none_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Share(**given)


def test_options_take_a_share_and_nothing_else() -> None:
    share = Share(kinds={MediaKind.VIDEO})
    assert TaskManagerOptions(share=share).share == share
    with pytest.raises(ConfigurationError, match="share must be a Share"):
        TaskManagerOptions(share={"video"})  # type: ignore[arg-type]  # what is refused
