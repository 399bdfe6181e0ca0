"""When the next of so many turns in any stretch of time is."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["next_turn"]


def next_turn(reserved: Sequence[int], *, now_ns: int, turns: int, per_ns: int) -> tuple[int, list[int]]:
    """(the next turn, the reserved turns to keep with it), from turns that are reserved, in order.

    Turns further ahead than they could have been reserved show that the clock was set back; they count for nothing.
    """
    latest = [turn for turn in reserved if turn - now_ns <= per_ns * (1 + len(reserved) // turns)][-turns:]
    turn = max(now_ns, latest[-1] if latest else now_ns, latest[0] + per_ns if len(latest) == turns else now_ns)
    return turn, [*latest, turn][-turns:]
