"""A TaskStore and the model of the queue go through the same steps, in any order, and must not be told apart.

    class MyMachine(TaskStoreMachine):
        def open_process(self, number):
            return MyTaskStore(self.database, clock=self.clock)

    def test_my_store_behaves_as_the_model():
        run_state_machine_as_test(MyMachine)

It needs Hypothesis. `seen` counts what has happened in all runs of the class: see `NOTEWORTHY`.
"""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from media_watch_tasks.abc.stores import Reservation, TaskStore
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import LeaseLost
from media_watch_tasks.model.settlements import Delivered, Pause
from media_watch_tasks.model.tasks import (
    Claim,
    ClaimRef,
    ClaimRequest,
    EnqueueOutcome,
    Task,
    TaskSelection,
    TaskState,
    WaitReason,
)
from media_watch_tasks.model.uploads import Stage, UploadProgress, UploadReceipt
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.queue_model import CRASH_BACKOFF_NS, DEAD_AFTER, QueueModel
from media_watch_tasks.testing.contracts.task_store_steps import (
    ASSETS,
    DAY,
    LEASE_NS,
    ROUTES,
    SHAS,
    Plan,
    delays,
    new_tasks,
    parties,
    plain_requests,
    plans,
    requests,
    selections,
)

__all__ = ["NOTEWORTHY", "TaskStoreMachine"]

_PROCESSES = 3
_ALL = TaskSelection()
_EVERY = 1_000_000
_CONTROL = ["move", "cancel", "act", "retry", "list", "move", "pause", "act", "resume", "purge"]

NOTEWORTHY = frozenset(
    {
        *(f"enqueue: {outcome}" for outcome in EnqueueOutcome),
        *(f"state: {state}" for state in TaskState),
        *(f"waits for: {reason}" for reason in WaitReason),
        *(f"{state}: {reason}" for state, reason in (("dead", "crashed"), ("dead", "permanent"))),
        *(f"cancelled: {reason}" for reason in ("superseded", "user", "gone")),
        "a process died over its work",
        "a stale token was refused",
        "a batch of one claim came from several lanes",
        "a task went with its file",
        "an action was owed",
        "an interrupt",
        "tasks were purged",
        "tasks were retried",
        "the lease of a living worker ended",
    }
)
"""What a thorough run has met."""


@attrs.frozen
class _Ref:
    """A claim, by the names that the model and the store have for it, and the worker who made it."""

    worker: str
    model: ClaimRef
    store: ClaimRef


class TaskStoreMachine(RuleBasedStateMachine):
    """The store is used by three processes with a worker each. Override `open_process`."""

    seen: ClassVar[Counter[str]] = Counter()
    asks_every: ClassVar[int] = 1
    """Tasks are compared after each step; what else can be asked, which follows from them, after so many."""

    def open_process(self, number: int) -> TaskStore:
        """The store, as process 0, 1 or 2 opens it; asked again after `kill_process`."""
        raise NotImplementedError

    def kill_process(self, number: int, held: Sequence[ClaimRef]) -> None:
        """The process dies with these claims; for a store that cannot lose one, their leases end."""
        self.stores[number].extend(held, lease_ns=0)

    def open(self) -> None:
        """Prepare what `open_process` needs."""

    def close(self) -> None:
        """Close everything."""

    # ---- set up

    @initialize()
    def set_up(self) -> None:
        """Three processes."""
        self.clock = FakeClock()
        self.model = QueueModel(self.clock)
        self.open()
        self.stores = [self.open_process(number) for number in range(_PROCESSES)]
        self.steps = itertools.count()
        self.turns = itertools.cycle(range(_PROCESSES))
        self.workers = [(self.model.register_worker(), store.register_worker()) for store in self.stores]
        self.ids: dict[int, int] = {}
        self.refs: list[_Ref] = []
        self.floors: list[list[tuple[int, int]]] = [[] for _ in self.stores]
        """The latest tokens after each claim of each process: (the store's, the model's)."""
        self.given: dict[int, int] = {}
        """The latest token of each task, by the model's number."""

    def teardown(self) -> None:
        """Hypothesis calls it at the end of each run."""
        if hasattr(self, "clock"):
            self.close()

    @property
    def store(self) -> TaskStore:
        """The next process in turn: what one of them keeps in memory, the others change."""
        return self.stores[next(self.turns)]

    def note(self, what: str, *, if_: bool = True) -> None:
        """Count it."""
        self.seen[what] += if_

    # ---- comparing

    def learn_ids(self) -> Sequence[Task]:
        """All tasks. They are named by their rank: a store may leave ids out, but it never gives one twice."""
        mine, theirs = (queue.tasks(_ALL, limit=_EVERY) for queue in (self.store, self.model))
        assert len(mine) == len(theirs), f"{[task.id for task in mine]} and {[task.id for task in theirs]}"
        for task, same in zip(mine, theirs, strict=True):
            assert self.ids.setdefault(task.id, same.id) == same.id, f"the id {task.id} was given twice"
        return mine

    def named(self, ids: Collection[int]) -> set[int]:
        """These tasks of the store, by the model's numbers."""
        return {self.ids[task_id] for task_id in ids}

    def same(self, task: Task | None) -> Task | None:
        """A task of the store, by the model's number."""
        return None if task is None else task._replace(id=self.ids[task.id])

    def assert_same_claims(self, mine: Sequence[Claim], theirs: Sequence[Claim], number: int) -> None:
        """The same tasks in the same order, each with a token that is higher than all it had before."""
        self.learn_ids()
        assert [self.same(claim.task) for claim in mine] == [claim.task for claim in theirs]
        order = [(-claim.task.priority, claim.task.due_ns, claim.task.id) for claim in mine]
        assert order == sorted(order), "claims come by priority, due time and id"
        latest = self.stores[number].last_token()
        for claim in mine:
            assert claim.token > self.given.get(self.ids[claim.task.id], 0), "the tokens of a task grow"
            assert claim.token <= latest, "no claim has a higher token than the store says"
            self.given[self.ids[claim.task.id]] = claim.token
        if mine:
            assert latest > max((token for token, _ in self.floors[number]), default=0), "tokens grow"
            self.floors[number].append((latest, theirs[0].token))
        self.note("a batch of one claim came from several lanes", if_=len({c.task.constraints for c in mine}) > 1)
        worker = self.workers[number][0]
        self.refs += [_Ref(worker, b.ref, a.ref) for a, b in zip(mine, theirs, strict=True)]
        del self.refs[:-12]

    @invariant()
    def store_and_model_agree(self) -> None:
        """About all that can be asked."""
        if not hasattr(self, "given"):
            return
        tasks = self.learn_ids()
        model = self.model
        told_apart = [
            (field, getattr(mine, field), "in the model", getattr(same, field), same)
            for mine, same in zip(map(self.same, tasks), model.tasks(_ALL, limit=_EVERY), strict=True)
            for field in Task._fields
            if getattr(mine, field) != getattr(same, field)
        ]
        assert not told_apart, f"{told_apart}"
        self.check_rules(tasks)
        if next(self.steps) % self.asks_every == 0:
            self.answers_agree()

    def answers_agree(self) -> None:
        """About what follows from the tasks."""
        model, store = self.model, self.store
        for routes in (None, ROUTES[:1]):
            assert store.counts(routes) == model.counts(routes)
        assert store.next_due_ns(ROUTES) == model.next_due_ns(ROUTES)
        assert store.activity(ROUTES[:2]) == model.activity(ROUTES[:2])
        for limit in (2, _EVERY):
            assert store.live_directories("s1", limit=limit) == model.live_directories("s1", limit=limit)
        owing = [self.same(task) for task in store.pending_actions(ROUTES[:2])]
        assert owing == list(model.pending_actions(ROUTES[:2]))
        unfinished = [self.same(task) for task in store.unfinished(ROUTES[:2])]
        assert unfinished == list(model.unfinished(ROUTES[:2]))
        pauses = {self.pause_of(pause) for pause in store.pauses()}, set(model.pauses())
        assert pauses[0] == pauses[1], f"{pauses} at {self.clock.now_ns()}"
        for their_id, my_id in self.workers:
            mine = {(self.ids[item.ref.task_id], item.paused) for item in store.interrupts(my_id)}
            theirs = {(item.ref.task_id, item.paused) for item in model.interrupts(their_id)}
            assert mine == theirs
            self.note("an interrupt", if_=bool(mine))
        for route in ROUTES[:2]:
            assert [self.same(task) for task in store.delivered(route, ASSETS)] == model.delivered(route, ASSETS)

    def check_rules(self, tasks: Sequence[Task]) -> None:
        """What must hold whatever the model says."""
        live = [task for task in tasks if task.state.is_live]
        for running in (True, False):
            of_asset = [(t.route, t.asset_id) for t in live if (t.state is TaskState.UPLOADING) is running]
            assert len(of_asset) == len(set(of_asset)), "of an asset one task waits and one runs, at most"
        keys = [task.key for task in live]
        assert len(keys) == len(set(keys)), "a key is unique among live tasks"
        latest = [(t.route, t.asset_id) for t in tasks if t.state is TaskState.SUCCESS and not t.replaced]
        assert len(latest) == len(set(latest)), "one delivered version of an asset is the latest"
        found = Counter(task.state for task in tasks)
        assert self.store.counts() == {state: found[state] for state in TaskState}, "counts are exact"
        for task in tasks:
            self.note(f"state: {task.state}")
            self.note(f"waits for: {task.waits_for}")
            self.note(f"{task.state}: {task.reason}")

    def pause_of(self, pause: Pause) -> Pause:
        """A pause of the store, with the model's number of its task."""
        return attrs.evolve(pause, task_id=pause.task_id and self.ids[pause.task_id])

    # ---- the queue

    @rule(data=st.data())
    def enqueue(self, data: st.DataObject) -> None:
        """Up to four tasks."""
        tasks = data.draw(new_tasks(self.clock.now_ns()))
        mine, theirs = (queue.enqueue_if_absent(tasks) for queue in (self.store, self.model))
        self.learn_ids()
        outcomes = [(result.outcome, result.task_id and self.ids[result.task_id]) for result in mine]
        assert outcomes == [(result.outcome, result.task_id) for result in theirs]
        for result in mine:
            self.note(f"enqueue: {result.outcome}")

    def drawn_requests(self, data: st.DataObject, number: int) -> tuple[ClaimRequest, ClaimRequest]:
        """Of the worker of a process: (for the store, for the model)."""
        theirs, mine = self.workers[number]
        known = self.floors[number][-4:]
        drawn: dict[str, Any] = data.draw(requests([token for token, _ in known]))
        floor = drawn.pop("floor")
        floors = (None, None) if floor is None else known[floor]
        return (
            ClaimRequest(worker_id=mine, floor=floors[0], **drawn),
            ClaimRequest(worker_id=theirs, floor=floors[1], **drawn),
        )

    def claim_both(self, number: int, mine: ClaimRequest, theirs: ClaimRequest) -> int:
        """One claim; nothing that somebody holds may be in it. How many tasks it took."""
        held = self.held_for_certain()
        claims = self.stores[number].claim_batch(mine), self.model.claim_batch(theirs)
        self.learn_ids()
        taken = self.named([claim.task.id for claim in claims[0]])
        assert not taken & held, "a claim returns nothing that is claimed and live"
        self.assert_same_claims(*claims, number=number)
        return len(taken)

    def held_for_certain(self) -> set[int]:
        """Running tasks whose lease has not ended, by the model's numbers."""
        jobs = self.model.jobs
        clock = (self.clock.boot_id(), self.clock.boot_ns())
        living = {worker for worker, _ in self.workers}
        return {
            job.number
            for job in jobs.live()
            if job.hold and job.hold.worker in living and (job.hold.boot_id, job.hold.lease_end_ns) > clock
        }

    @rule(data=st.data(), number=st.integers(0, _PROCESSES - 1))
    def claim(self, data: st.DataObject, number: int) -> None:
        """By one of the processes."""
        self.note("the lease of a living worker ended", if_=self.is_a_lease_over())
        self.claim_both(number, *self.drawn_requests(data, number))

    def is_a_lease_over(self) -> bool:
        """True if somebody may lose his claim."""
        held = self.held_for_certain()
        living = {worker for worker, _ in self.workers}
        return any(job.hold and job.hold.worker in living and job.number not in held for job in self.model.jobs.live())

    @rule(data=st.data(), number=st.integers(0, _PROCESSES - 1), then_claim=st.booleans(), work=plans)
    def settle(self, data: st.DataObject, number: int, then_claim: bool, work: list[Plan]) -> None:  # noqa: FBT001 - of Hypothesis
        """Any claims, some of them lost long ago; then perhaps claim."""
        if self.refs:
            chosen = [(plan, data.draw(st.sampled_from(self.refs))) for plan in work]
            self.settle_both(number, chosen, then_claim=self.drawn_requests(data, number) if then_claim else None)

    def settle_both(
        self,
        number: int,
        chosen: Sequence[tuple[Plan, _Ref]],
        *,
        then_claim: tuple[ClaimRequest, ClaimRequest] | None = None,
    ) -> None:
        """In the store as in the model."""
        now = self.clock.now_ns()
        my_request, their_request = then_claim or (None, None)
        mine = self.stores[number].settle([plan.of(ref.store, now) for plan, ref in chosen], then_claim=my_request)
        theirs = self.model.settle([plan.of(ref.model, now) for plan, ref in chosen], then_claim=their_request)
        self.learn_ids()
        assert self.named(mine.settled) == theirs.settled
        self.note("a stale token was refused", if_=len(mine.settled) < len({ref.store.task_id for _, ref in chosen}))
        self.assert_same_claims(mine.claims, theirs.claims, number=number)

    @rule(data=st.data(), what=st.sampled_from(["extend", "begin", "content", "deliver"]))
    def hold(self, data: st.DataObject, what: str) -> None:
        """What workers do with the claims that they have or had."""
        getattr(self, f"_{what}")(data)

    def _deliver(self, data: st.DataObject) -> None:
        receipt = UploadReceipt("there", sha256=data.draw(st.sampled_from([None, *SHAS])))
        mine, theirs = (
            queue.settle([Delivered(ref=ref, receipt=receipt) for ref in side]) for queue, side in self.sides()
        )
        assert self.named(mine.settled) == theirs.settled

    def _extend(self, data: st.DataObject) -> None:
        lease_ns = data.draw(st.integers(1, 5)) * NANOSECONDS
        progress = UploadProgress(Stage.TRANSFER, 1, 2)
        mine, theirs = (
            queue.extend(side, lease_ns=lease_ns, progress={ref.task_id: progress for ref in side[:2]})
            for queue, side in self.sides()
        )
        assert self.named(mine) == theirs

    def _begin(self, _data: st.DataObject) -> None:
        mine, theirs = (queue.begin(side) for queue, side in self.sides())
        assert self.named(mine) == theirs

    def _content(self, data: st.DataObject) -> None:
        if not self.refs:
            return
        ref = data.draw(st.sampled_from(self.refs))
        state = data.draw(st.sampled_from([{"parts": [1]}, None]))
        sha, size = data.draw(st.sampled_from(SHAS)), data.draw(st.integers(1, 2))
        answers = [
            (queue.has_content_of_size(own, size), queue.save_resume_state(own, state), _reserve(queue, own, sha))
            for queue, own in ((self.store, ref.store), (self.model, ref.model))
        ]
        assert answers[0] == answers[1]
        self.note("content was shared", if_=bool(answers[0][2] and answers[0][2][1]))

    def sides(self) -> tuple[tuple[TaskStore, list[ClaimRef]], tuple[TaskStore, list[ClaimRef]]]:
        """All claims that are remembered, as the store and as the model name them."""
        return (self.store, [ref.store for ref in self.refs]), (self.model, [ref.model for ref in self.refs])

    @rule(data=st.data(), number=st.integers(0, _PROCESSES - 1), calm=st.booleans(), work=plans)
    def work_off(self, data: st.DataObject, number: int, calm: bool, work: list[Plan]) -> None:  # noqa: FBT001 - of Hypothesis
        """Claim, and settle what came."""
        if calm:
            self.calm_down()
        theirs, mine = self.workers[number]
        drawn = data.draw(plain_requests())
        request = ClaimRequest(worker_id=mine, **drawn)
        taken = self.claim_both(number, request, attrs.evolve(request, worker_id=theirs))
        refs = self.refs[len(self.refs) - taken :]
        self.settle_both(number, list(zip(itertools.cycle(work), refs, strict=False)))

    # ---- people: one rule for all that is seldom done, or it would be done more often than work

    @rule(data=st.data(), what=st.sampled_from(_CONTROL))
    def control(self, data: st.DataObject, what: str) -> None:
        """Something that a person asks for, or what follows a delivery."""
        getattr(self, f"_{what}")(data)

    def _cancel(self, data: st.DataObject) -> None:
        selection = data.draw(selections)
        assert self.store.cancel(selection) == self.model.cancel(selection)

    def _retry(self, data: st.DataObject) -> None:
        selection = data.draw(selections)
        (retried, skipped), theirs = self.store.retry(selection), self.model.retry(selection)
        assert tuple(self.ids[task_id] for task_id in retried) == theirs[0]
        assert {self.ids[task_id]: why for task_id, why in skipped.items()} == theirs[1]
        self.note("tasks were retried", if_=bool(retried))

    def _list(self, data: st.DataObject) -> None:
        selection = data.draw(selections)
        mine = [self.same(task) for task in self.store.tasks(selection, limit=5)]
        assert mine == list(self.model.tasks(selection, limit=5))

    def _pause(self, data: st.DataObject) -> None:
        (scope, value), until = data.draw(parties), data.draw(st.none() | delays)
        until_ns = None if until is None else self.clock.now_ns() + until
        suspect = data.draw(st.sampled_from([None, *sorted(self.ids)[-3:]]))
        automatic = data.draw(st.booleans())
        pause = Pause(scope=scope, value=value, until_ns=until_ns, automatic=automatic, task_id=suspect)
        self.store.pause(pause)
        self.model.pause(self.pause_of(pause))

    def _resume(self, data: st.DataObject) -> None:
        party = data.draw(parties)
        assert self.store.resume(*party) == self.model.resume(*party)

    def _purge(self, data: st.DataObject) -> None:
        selection, age = data.draw(selections), data.draw(st.integers(0, 3))
        before = self.clock.now_ns() - age * NANOSECONDS
        purged = self.store.purge(selection, before_ns=before)
        assert purged == self.model.purge(selection, before_ns=before)
        self.note("tasks were purged", if_=purged > 0)

    def _move(self, data: st.DataObject) -> None:
        route, (old, new, _) = data.draw(st.sampled_from(ROUTES[:3])), data.draw(st.permutations(ASSETS))
        moved = self.same(self.store.move(route, old, new))
        assert moved == self.model.move(route, old, new)
        self.note("a task went with its file", if_=moved is not None)

    def _act(self, _data: st.DataObject) -> None:
        for task in self.store.pending_actions(ROUTES, limit=1):
            self.note("an action was owed")
            assert self.store.finish_action(task.id) == self.model.finish_action(self.ids[task.id])
        for task in self.store.unfinished(ROUTES, limit=1):
            self.note("an upload was left unfinished")
            self.store.finish_unfinished(task.id)
            self.model.finish_unfinished(self.ids[task.id])

    # ---- time, and the ends of processes

    @rule(
        what=st.sampled_from(["pass", "pass", "pass", "set", "suspend", "reboot"]),
        seconds=st.sampled_from([0.5, 1, 2, 3, 4, 8, 45]),
        leap=st.sampled_from([-DAY, -3, 3, DAY]),
    )
    def time(self, what: str, seconds: float, leap: int) -> None:
        """Passes; or the wall clock is set, the machine sleeps, or it starts again."""
        if what == "pass":
            self.clock.advance(seconds)
        elif what == "set":
            self.clock.advance_wall(leap)
        elif what == "suspend":
            self.clock.advance_boot(abs(leap))
            self.clock.advance_wall(abs(leap))
        else:
            self.clock.reboot()

    @rule(
        what=st.sampled_from(["end", "die", "die", "die on", "take back"]),
        number=st.integers(0, _PROCESSES - 1),
        count=st.integers(2, 7),
    )
    def processes(self, what: str, number: int, count: int) -> None:
        """One ends or dies, or its peers look for the dead."""
        if what == "end":
            self.end_in_order(number)
        elif what == "die":
            self.die(number)
        elif what == "die on":
            self.die_again_and_again(count)
        else:
            self.take_back()

    def take_back(self) -> None:
        """With the policy of claims: one object told another one would take back by that from then on."""
        policy: dict[str, Any] = {"dead_after": DEAD_AFTER, "backoff_ns": CRASH_BACKOFF_NS}
        assert self.store.take_back(**policy) == self.model.take_back(**policy)

    def end_in_order(self, number: int) -> None:
        """A worker says goodbye, and another one comes."""
        theirs, mine = self.workers[number]
        self.stores[number].unregister_worker(mine)
        self.model.unregister_worker(theirs)
        self.workers[number] = self.model.register_worker(), self.stores[number].register_worker()

    def die(self, number: int) -> None:
        """A process is killed, and another one started."""
        worker = self.workers[number][0]
        jobs = self.model.jobs.live()
        held = {ClaimRef(job.number, job.hold.token) for job in jobs if job.hold and job.hold.worker == worker}
        self.note("a process died over its work", if_=bool(held))
        self.kill_process(number, [ref.store for ref in self.refs if ref.model in held])
        self.model.lose_worker(worker)
        self.refs = [ref for ref in self.refs if ref.worker != worker]
        self.clock.advance(1)
        self.stores[number] = self.open_process(number)
        self.floors[number] = []
        self.workers[number] = self.model.register_worker(), self.stores[number].register_worker()

    def die_again_and_again(self, deaths: int) -> None:
        """Whoever takes a task dies on it, and takes the one that others have died on where there is one."""
        self.calm_down()
        for _ in range(deaths):
            self.clock.advance(45)
            theirs, mine = self.workers[0]
            request = ClaimRequest(
                worker_id=mine,
                routes=ROUTES,
                limit=1,
                lease_ns=LEASE_NS,
                longest_delay_ns=60 * NANOSECONDS,
                alone=any(job.crashes > 1 for job in self.model.jobs.live()),
            )
            self.claim_both(0, request, attrs.evolve(request, worker_id=theirs))
            self.die(0)

    def calm_down(self) -> None:
        """Nothing is paused, and most of it is due."""
        self.clock.advance(8)
        for pause in self.model.pauses():
            assert self.store.resume(pause.scope, pause.value) == self.model.resume(pause.scope, pause.value)


def _reserve(queue: TaskStore, ref: ClaimRef, sha256: str) -> Reservation | None:
    try:
        return queue.reserve_content(ref, sha256)
    except LeaseLost:
        return None
