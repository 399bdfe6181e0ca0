"""When the next of so many turns in any stretch of time is."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["next_turn"]


def next_turn(
    reserved: Sequence[int], *, now_ns: int, turns: int, per_ns: int, longest_ns: int
) -> tuple[int, list[int]]:
    """(the next turn, the reserved turns to keep with it), from turns that are reserved, in order.

    Turns further ahead than any is reserved show that the clock was set back; they count for nothing.
    """
    latest = [turn for turn in reserved if turn - now_ns <= longest_ns + per_ns][-turns:]
    turn = max([now_ns, *latest[-1:]])
    if len(latest) == turns:
        turn = max(turn, latest[0] + per_ns)
    return turn, [*latest, turn][-turns:]
