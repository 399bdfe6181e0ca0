"""Permits of one process, for tests."""

from __future__ import annotations

import threading

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.turns import next_turn

__all__ = ["MemoryPermits"]


class MemoryPermits(Permits):
    """Places and turns that the threads of one process share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: dict[str, set[int]] = {}
        self._turns: dict[str, list[int]] = {}

    def take_place(self, name: str, *, places: int) -> int | None:
        """See `Permits`."""
        with self._lock:
            taken = self._taken.setdefault(name, set())
            place = next((place for place in range(places) if place not in taken), None)
            if place is not None:
                taken.add(place)
            return place

    def give_back(self, name: str, place: int) -> None:
        """See `Permits`."""
        with self._lock:
            self._taken.get(name, set()).discard(place)

    def take_turn(self, name: str, *, turns: int, per_ns: int, longest_ns: int) -> tuple[bool, int]:
        """See `Permits`."""
        now = self._clock.monotonic_ns()
        with self._lock:
            turn, kept = next_turn(self._turns.get(name, ()), now_ns=now, turns=turns, per_ns=per_ns)
            if turn - now > longest_ns:
                return False, turn - now
            self._turns[name] = kept
        return True, turn - now

    def close(self) -> None:
        """See `Permits`."""
        with self._lock:
            self._taken.clear()
