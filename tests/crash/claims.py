"""Who held which task, and when, as the traces of several processes tell it."""

from __future__ import annotations

import itertools
from collections import defaultdict

import attrs
from tests.crash.marks import Mark


@attrs.frozen(order=True)
class Held:
    """A claim. It was held at least between these two times: longer in truth, as both were noted inside."""

    from_ns: int
    until_ns: int
    token: int
    pid: int


def held_claims(marks: list[Mark], killed_ns: dict[int, int]) -> dict[int, list[Held]]:
    """By task, in order.

    Args:
        marks: of all processes, which share the monotonic clock.
        killed_ns: when each process was killed; what it held and had not begun to settle ended then. Processes that
            are not named live, and hold it until the last mark.
    """
    ends: dict[tuple[int, int, int], int] = {}
    for mark in marks:
        if mark.phase == "settling":
            task_id, token, _ = mark.detail.split(":")
            ends.setdefault((mark.pid, int(task_id), int(token)), mark.at_ns)
    held: defaultdict[int, list[Held]] = defaultdict(list)
    for mark in marks:
        if mark.phase == "claimed":
            task_id, token, _ = mark.detail.split(":")
            claim = (mark.pid, int(task_id), int(token))
            held[int(task_id)].append(
                Held(mark.at_ns, ends.get(claim, killed_ns.get(mark.pid, marks[-1].at_ns)), int(token), mark.pid)
            )
    return {task_id: sorted(claims) for task_id, claims in held.items()}


def double_claims(held: dict[int, list[Held]]) -> list[tuple[int, Held, Held]]:
    """Tasks that two had at one time, or that were given out twice under one token."""
    return [
        (task_id, earlier, later)
        for task_id, claims in held.items()
        for earlier, later in itertools.pairwise(claims)
        if later.from_ns < earlier.until_ns or later.token <= earlier.token
    ]
