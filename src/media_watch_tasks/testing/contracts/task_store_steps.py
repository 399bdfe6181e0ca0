"""What the state machine of the TaskStore draws from: few assets, few versions, short times: they shall collide."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.settlements import (
    Cancelled,
    Dead,
    Delivered,
    Failed,
    PauseScope,
    Released,
    Settlement,
    Superseded,
)
from media_watch_tasks.model.shares import Share
from media_watch_tasks.model.tasks import ClaimRef, NewTask, TaskSelection, TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt

__all__ = [
    "ASSETS",
    "DAY",
    "LEASE_NS",
    "ROUTES",
    "SHAS",
    "Plan",
    "delays",
    "new_tasks",
    "parties",
    "plain_requests",
    "plans",
    "requests",
    "selections",
]

ROUTES = tuple(Route(source, destination) for source in ("s1", "s2") for destination in ("d1", "d2"))
ASSETS = (b"a", b"b.mov", b"in/c\xff")
SHAS = ("11" * 32, "11" * 32, "22" * 32)
DAY = 86_400
_TAGS = ("x", "y")
_SHARES = (Share(tags={"x"}), Share(without_tags={"x"}), Share(kinds={MediaKind.VIDEO}, without_tags={"y"}))
_LONGEST_DELAY_NS = 60 * NANOSECONDS
"""Longer than any wait that a store chooses by itself: when it notices one that is longer is its own affair."""
LEASE_NS = 3 * NANOSECONDS

_fingerprints = st.builds(Fingerprint, st.integers(1, 2), st.integers(1, 2))
_tags = st.frozensets(st.sampled_from(_TAGS))
_constraints = st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"power"}), frozenset({"power", "net"})])
_some_routes = st.just(ROUTES) | st.sets(st.sampled_from(ROUTES), min_size=1).map(lambda some: tuple(sorted(some)))
_receipts = st.builds(
    UploadReceipt,
    st.just("there"),
    sha256=st.sampled_from([*SHAS, None]),
    deduplicated=st.sampled_from([False, False, False, True]),
)

delays = st.integers(-2, 6).map(lambda seconds: seconds * NANOSECONDS)
"""Nanoseconds from now; past ones too."""

selections = st.just(TaskSelection()) | st.builds(
    TaskSelection,
    routes=st.none() | _some_routes,
    asset_ids=st.none() | st.frozensets(st.sampled_from(ASSETS), max_size=2),
    states=st.none() | st.frozensets(st.sampled_from(list(TaskState)), max_size=3),
    tag=st.none() | st.sampled_from(_TAGS),
)

parties = st.sampled_from(
    [
        (PauseScope.ALL, ""),
        *((PauseScope.TAG, tag) for tag in _TAGS),
        (PauseScope.SOURCE, "s1"),
        (PauseScope.DESTINATION, "d1"),
        (PauseScope.DESTINATION, "d1"),
    ]
)


def new_tasks(now_ns: int) -> st.SearchStrategy[list[NewTask]]:
    """Up to four tasks of three of the routes."""
    one = st.builds(
        NewTask,
        route=st.sampled_from(ROUTES[:3]),
        asset_id=st.sampled_from(ASSETS),
        fingerprint=_fingerprints,
        due_ns=st.sampled_from([-2, -1, -1, 0, 1, 6]).map(lambda seconds: now_ns + seconds * NANOSECONDS),
        priority=st.integers(-1, 1),
        tags=_tags,
        constraints=_constraints,
        force=st.sampled_from([False, False, False, True]),
    )
    return st.lists(one, min_size=1, max_size=4)


_PLAIN = {
    "routes": st.just(ROUTES),
    "limit": st.integers(1, 4),
    "lease_ns": st.just(LEASE_NS),
    "longest_delay_ns": st.just(_LONGEST_DELAY_NS),
}


def plain_requests() -> st.SearchStrategy[dict[str, Any]]:
    """The arguments of a `ClaimRequest` but for the worker, as a worker asks that is free to do anything."""
    return st.fixed_dictionaries(_PLAIN)


def requests(tokens: list[int]) -> st.SearchStrategy[dict[str, Any]]:
    """With every limitation there is; `floor` is the place of a token in this list."""
    return st.fixed_dictionaries(
        _PLAIN
        | {
            "routes": _some_routes,
            "unmet": st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"power"}), frozenset({"net"})]),
            "begin": st.sampled_from([True, True, False]),
            "force": st.sampled_from([False, False, True]),
            "alone": st.sampled_from([False, False, False, True]),
            "floor": st.none() | (st.sampled_from(range(len(tokens))) if tokens else st.nothing()),
            "share": st.none() | st.sampled_from(_SHARES),
        }
    )


@attrs.frozen
class Plan:
    """A settlement to be made once a claim is known."""

    kind: str
    delay: int
    found: Fingerprint
    receipt: UploadReceipt
    action: str | None
    wait: WaitReason
    right: bool
    """False: with a token that was never given for the task."""

    def of(self, ref: ClaimRef, now_ns: int) -> Settlement:
        """The settlement of this claim."""
        ref = ref if self.right else ClaimRef(ref.task_id, ref.token + 1_000_000)
        kinds: dict[str, Settlement] = {
            "delivered": Delivered(ref=ref, receipt=self.receipt, action=self.action),
            "failed": Failed(ref=ref, retry_ns=now_ns + self.delay, error="e"),
            "dead": Dead(ref=ref, reason="permanent", error="d"),
            "released": Released(ref=ref, due_ns=now_ns + self.delay, wait=self.wait, note="n"),
            "put back": Released(ref=ref),
            "cancelled": Cancelled(ref=ref, reason="gone"),
            "superseded": Superseded(ref=ref, found=self.found, due_ns=now_ns + self.delay),
        }
        return kinds[self.kind]


_KINDS = ["delivered", "failed", "delivered", "dead", "delivered", "released", "put back", "cancelled", "superseded"]

plans = st.lists(
    st.builds(
        Plan,
        kind=st.sampled_from(_KINDS),
        delay=delays,
        found=_fingerprints,
        receipt=_receipts,
        action=st.sampled_from([None, "delete"]),
        wait=st.sampled_from([WaitReason.SETTLING, WaitReason.SNOOZED]),
        right=st.sampled_from([True, True, True, True, False]),
    ),
    min_size=1,
    max_size=4,
)
