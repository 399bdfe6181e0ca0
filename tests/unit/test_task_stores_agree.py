"""The SQLite store does exactly what the memory store does, whatever is done to both, step by step.

The memory store states the semantics plainly; the SQLite store has short ways, caches and set-based statements. Ids may
have gaps in one of them and not in the other: they are compared by rank.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import LeaseLost
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.settlements import (
    Cancelled,
    Dead,
    Delivered,
    Failed,
    Pause,
    PauseScope,
    Released,
    Settlement,
    Superseded,
)
from media_watch_tasks.model.tasks import (
    Claim,
    ClaimRef,
    ClaimRequest,
    NewTask,
    Task,
    TaskSelection,
    TaskState,
    WaitReason,
)
from media_watch_tasks.model.uploads import Stage, UploadProgress, UploadReceipt
from media_watch_tasks.stores.memory.task_store import MemoryTaskStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore
from media_watch_tasks.testing.clock import FakeClock

ROUTES = tuple(Route(source, destination) for source in ("s1", "s2") for destination in ("d1", "d2"))
ASSETS = (b"a", b"b", b"c\xff")
TAGS = ("x", "y")
SHAS = ("11" * 32, "22" * 32)

fingerprints = st.builds(Fingerprint, st.integers(1, 2), st.integers(1, 2))
delays = st.integers(-2, 6).map(lambda seconds: seconds * NANOSECONDS)
tags = st.frozensets(st.sampled_from(TAGS))
wishes = st.sampled_from([frozenset[str](), frozenset({"power"})])
some_routes = st.sets(st.sampled_from(ROUTES), min_size=1).map(lambda routes: tuple(sorted(routes)))
one_route = st.sampled_from(ROUTES[:2])
receipts = st.builds(
    UploadReceipt,
    st.just("r"),
    sha256=st.sampled_from([None, *SHAS]),
    deduplicated=st.sampled_from([False, False, True]),
)


@attrs.frozen
class Plan:
    """A settlement to be made once a claim is known."""

    kind: str
    delay: int
    found: Fingerprint
    receipt: UploadReceipt
    right: bool

    def of(self, ref: ClaimRef, now: int) -> Settlement:
        ref = ref if self.right else ClaimRef(ref.task_id, ref.token + 1)
        kinds: dict[str, Settlement] = {
            "delivered": Delivered(ref=ref, receipt=self.receipt),
            "failed": Failed(ref=ref, retry_ns=now + self.delay, error="e"),
            "dead": Dead(ref=ref, reason="permanent", error="d"),
            "released": Released(ref=ref, due_ns=now + self.delay, wait=WaitReason.SETTLING, note="n"),
            "put back": Released(ref=ref),
            "cancelled": Cancelled(ref=ref, reason="gone"),
            "superseded": Superseded(ref=ref, found=self.found, due_ns=now + self.delay),
        }
        return kinds[self.kind]


plans = st.builds(
    Plan,
    kind=st.sampled_from(["delivered", "failed", "dead", "released", "put back", "cancelled", "superseded"]),
    delay=delays,
    found=fingerprints,
    receipt=receipts,
    right=st.sampled_from([True, True, True, True, False]),
)
selections = st.builds(
    TaskSelection,
    routes=st.none() | some_routes,
    asset_ids=st.none() | st.frozensets(st.sampled_from(ASSETS), max_size=2),
    states=st.none() | st.frozensets(st.sampled_from(list(TaskState)), max_size=3),
    tag=st.none() | st.sampled_from(TAGS),
)
parties = st.sampled_from(
    [
        (PauseScope.ALL, ""),
        *((PauseScope.TAG, tag) for tag in TAGS),
        (PauseScope.SOURCE, "s1"),
        (PauseScope.DESTINATION, "d1"),
        (PauseScope.DESTINATION, "d1"),
    ]
)


class Stores(RuleBasedStateMachine):
    @initialize()
    def make(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        path = Path(self.folder.name) / "watch.db"
        self.stores = [SqliteStores(path, clock=self.clock) for _ in range(2)]
        self.turns = itertools.cycle(stores.tasks for stores in self.stores)
        self.memory = MemoryTaskStore(self.clock)
        self.ids: dict[int, int] = {}
        self.workers = [(self.sqlite.register_worker(), self.memory.register_worker()) for _ in range(2)]
        self.refs: list[tuple[ClaimRef, ClaimRef]] = []

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            for stores in self.stores:
                stores.close()
            self.folder.cleanup()

    @property
    def sqlite(self) -> SqliteTaskStore:
        """Two connections in turn, as two processes would: what one keeps in memory, the other changes."""
        return next(self.turns)

    # ---- comparing

    def learn_ids(self) -> None:
        mine = self.sqlite.tasks(TaskSelection(), limit=10_000)
        theirs = self.memory.tasks(TaskSelection(), limit=10_000)
        assert len(mine) == len(theirs)
        self.ids |= dict(zip((task.id for task in mine), (task.id for task in theirs), strict=True))

    def same(self, task: Task) -> Task:
        return attrs.evolve(task, id=self.ids[task.id])

    def same_claims(self, mine: Sequence[Claim], theirs: Sequence[Claim]) -> None:
        self.learn_ids()
        assert [self.same(claim.task) for claim in mine] == [claim.task for claim in theirs]
        self.refs += [(a.ref, b.ref) for a, b in zip(mine, theirs, strict=True)]
        del self.refs[:-12]

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "stores"):
            return
        self.learn_ids()
        everything = TaskSelection()
        mine = [self.same(task) for task in self.sqlite.tasks(everything, limit=10_000)]
        assert mine == list(self.memory.tasks(everything, limit=10_000))
        assert self.sqlite.counts() == self.memory.counts()
        assert self.sqlite.counts(ROUTES[:1]) == self.memory.counts(ROUTES[:1])
        pauses = {
            attrs.evolve(pause, task_id=pause.task_id and self.ids[pause.task_id]) for pause in self.sqlite.pauses()
        }
        assert pauses == set(self.memory.pauses())
        assert self.sqlite.next_due_ns(ROUTES) == self.memory.next_due_ns(ROUTES)
        for mine_id, their_id in self.workers:
            a = {(self.ids[item.ref.task_id], item.paused) for item in self.sqlite.interrupts(mine_id)}
            b = {(item.ref.task_id, item.paused) for item in self.memory.interrupts(their_id)}
            assert a == b
        for route in ROUTES[:2]:
            delivered = [task and self.same(task) for task in self.sqlite.delivered(route, ASSETS)]
            assert delivered == list(self.memory.delivered(route, ASSETS))

    # ---- what is done

    @rule(data=st.data())
    def enqueue(self, data: st.DataObject) -> None:
        now = self.clock.now_ns()
        new = st.builds(
            NewTask,
            route=one_route,
            asset_id=st.sampled_from(ASSETS),
            fingerprint=fingerprints,
            due_ns=delays.map(lambda delay: now + delay),
            priority=st.integers(-1, 1),
            tags=tags,
            constraints=wishes,
            force=st.sampled_from([False, False, False, True]),
        )
        tasks = data.draw(st.lists(new, min_size=1, max_size=4))
        mine = self.sqlite.enqueue_if_absent(tasks)
        theirs = self.memory.enqueue_if_absent(tasks)
        self.learn_ids()
        assert [(result.outcome, result.task_id and self.ids[result.task_id]) for result in mine] == [
            (result.outcome, result.task_id) for result in theirs
        ]

    def requests(self, data: st.DataObject) -> tuple[ClaimRequest, ClaimRequest]:
        mine_id, their_id = data.draw(st.sampled_from(self.workers))
        request = ClaimRequest(
            worker_id=mine_id,
            routes=data.draw(some_routes),
            limit=data.draw(st.integers(1, 4)),
            lease_ns=3 * NANOSECONDS,
            longest_delay_ns=5 * NANOSECONDS,
            unmet=data.draw(wishes),
            begin=data.draw(st.sampled_from([True, True, False])),
            force=data.draw(st.sampled_from([False, False, True])),
            alone=data.draw(st.sampled_from([False, False, True])),
            floor=data.draw(st.sampled_from([None, None, self.sqlite.last_token()])),
            tags=data.draw(st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"x"})])),
        )
        floor = None if request.floor is None else self.memory.last_token()
        return request, attrs.evolve(request, worker_id=their_id, floor=floor)

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        mine, theirs = self.requests(data)
        self.same_claims(self.sqlite.claim_batch(mine), self.memory.claim_batch(theirs))

    @rule(data=st.data(), then_claim=st.booleans(), work=st.lists(plans, min_size=1, max_size=4))
    def settle(self, data: st.DataObject, then_claim: bool, work: list[Plan]) -> None:
        if not self.refs:
            return
        refs = [data.draw(st.sampled_from(self.refs)) for _ in work]
        now = self.clock.now_ns()
        requests = self.requests(data) if then_claim else (None, None)
        mine = self.sqlite.settle(
            [plan.of(ref, now) for plan, (ref, _) in zip(work, refs, strict=True)], then_claim=requests[0]
        )
        theirs = self.memory.settle(
            [plan.of(ref, now) for plan, (_, ref) in zip(work, refs, strict=True)], then_claim=requests[1]
        )
        self.learn_ids()
        assert {self.ids[task_id] for task_id in mine.settled} == theirs.settled
        self.same_claims(mine.claims, theirs.claims)

    @rule(data=st.data())
    def deliver_all(self, data: st.DataObject) -> None:
        receipt = data.draw(receipts)
        mine = self.sqlite.settle([Delivered(ref=ref, receipt=receipt) for ref, _ in self.refs])
        theirs = self.memory.settle([Delivered(ref=ref, receipt=receipt) for _, ref in self.refs])
        assert {self.ids[task_id] for task_id in mine.settled} == theirs.settled

    @rule(lease=st.integers(1, 5))
    def extend(self, lease: int) -> None:
        progress = UploadProgress(Stage.TRANSFER, 1, 2)
        a, b = ([pair[side] for pair in self.refs] for side in (0, 1))
        mine = self.sqlite.extend(a, lease_ns=lease * NANOSECONDS, progress={ref.task_id: progress for ref in a[:2]})
        theirs = self.memory.extend(b, lease_ns=lease * NANOSECONDS, progress={ref.task_id: progress for ref in b[:2]})
        assert {self.ids[task_id] for task_id in mine} == theirs

    @rule()
    def begin(self) -> None:
        mine = self.sqlite.begin([ref for ref, _ in self.refs])
        assert {self.ids[task_id] for task_id in mine} == self.memory.begin([ref for _, ref in self.refs])

    @rule(data=st.data(), sha=st.sampled_from(SHAS), size=st.integers(1, 2))
    def content(self, data: st.DataObject, sha: str, size: int) -> None:
        if not self.refs:
            return
        mine, theirs = data.draw(st.sampled_from(self.refs))
        assert self.sqlite.has_content_of_size(mine, size) == self.memory.has_content_of_size(theirs, size)
        assert self.sqlite.save_resume_state(mine, {"a": [1]}) == self.memory.save_resume_state(theirs, {"a": [1]})
        answers: list[object] = []
        for store, ref in ((self.sqlite, mine), (self.memory, theirs)):
            try:
                answers.append(store.reserve_content(ref, sha))
            except LeaseLost:
                answers.append(None)
        assert answers[0] == answers[1]

    @rule(selection=selections)
    def cancel(self, selection: TaskSelection) -> None:
        assert self.sqlite.cancel(selection) == self.memory.cancel(selection)

    @rule(selection=selections)
    def retry(self, selection: TaskSelection) -> None:
        retried, skipped = self.sqlite.retry(selection)
        theirs = self.memory.retry(selection)
        assert tuple(self.ids[task_id] for task_id in retried) == theirs[0]
        assert {self.ids[task_id]: why for task_id, why in skipped.items()} == theirs[1]

    @rule(selection=selections)
    def select(self, selection: TaskSelection) -> None:
        mine = [self.same(task) for task in self.sqlite.tasks(selection, limit=5)]
        assert mine == list(self.memory.tasks(selection, limit=5))

    @rule(party=parties, until=st.none() | delays, automatic=st.booleans(), data=st.data())
    def pause(self, party: tuple[PauseScope, str], until: int | None, automatic: bool, data: st.DataObject) -> None:
        until_ns = None if until is None else self.clock.now_ns() + until
        suspect = data.draw(st.sampled_from([None, *sorted(self.ids)[-3:]]))
        pause = Pause(scope=party[0], value=party[1], until_ns=until_ns, automatic=automatic)
        self.sqlite.pause(attrs.evolve(pause, task_id=suspect))
        self.memory.pause(attrs.evolve(pause, task_id=None if suspect is None else self.ids[suspect]))

    @rule(party=parties)
    def resume(self, party: tuple[PauseScope, str]) -> None:
        assert self.sqlite.resume(*party) == self.memory.resume(*party)

    @rule(seconds=st.sampled_from([0.5, 1, 2, 3, 4, 8, 30]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-20, -3, 3]))
    def jump(self, seconds: float) -> None:
        self.clock.advance_wall(seconds)

    @rule()
    def reboot(self) -> None:
        self.clock.reboot()

    @rule(dead_after=st.integers(2, 5))
    def take_back(self, dead_after: int) -> None:
        policy: dict[str, Any] = {"dead_after": dead_after, "backoff_ns": (NANOSECONDS, 2 * NANOSECONDS)}
        assert self.sqlite.take_back(**policy) == self.memory.take_back(**policy)

    @rule(number=st.integers(0, 1))
    def replace_worker(self, number: int) -> None:
        mine, theirs = self.workers[number]
        self.sqlite.unregister_worker(mine)
        self.memory.unregister_worker(theirs)
        self.workers[number] = (self.sqlite.register_worker(), self.memory.register_worker())

    @rule(selection=selections, age=st.integers(0, 3))
    def purge(self, selection: TaskSelection, age: int) -> None:
        before = self.clock.now_ns() - age * NANOSECONDS
        assert self.sqlite.purge(selection, before_ns=before) == self.memory.purge(selection, before_ns=before)


Stores.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
TestTheStoresAgree = Stores.TestCase
