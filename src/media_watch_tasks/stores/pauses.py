"""What the pauses of a store stop at a given moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Pause, PauseScope

__all__ = ["PauseBook"]


class PauseBook:
    """The pauses of a store, and what follows from them. It holds no clock: every question names the wall time.

    One thread may change it while others ask: the dict inside is replaced, never changed.
    """

    def __init__(self, pauses: Iterable[Pause] = ()) -> None:
        self._pauses: dict[tuple[PauseScope, str], Pause] = {_name(pause): pause for pause in pauses}

    def put(self, pause: Pause) -> None:
        """Set or replace a pause."""
        self._pauses = {**self._pauses, _name(pause): pause}

    def remove(self, scope: PauseScope, value: str) -> Pause | None:
        """Forget a pause; the one that was there."""
        found = self._pauses.get((scope, value))
        self._pauses = {name: pause for name, pause in self._pauses.items() if name != (scope, value)}
        return found

    def __bool__(self) -> bool:
        return bool(self._pauses)

    def listed(self, now_ns: int) -> Sequence[Pause]:
        """The pauses in force, and the automatic ones of parties whose time is over: their rounds still count."""
        return tuple(pause for _, pause in sorted(self._pauses.items()) if not _is_past(pause, now_ns))

    def past(self, now_ns: int) -> Sequence[Pause]:
        """The pauses that ended by themselves and can be forgotten."""
        return tuple(pause for pause in self._pauses.values() if _is_past(pause, now_ns))

    def held_tags(self, now_ns: int) -> frozenset[str]:
        """The tags that are paused."""
        return frozenset(
            pause.value for pause in self._pauses.values() if pause.scope is PauseScope.TAG and _in_force(pause, now_ns)
        )

    def stops(self, route: Route, now_ns: int) -> bool:
        """True if everything, the source or the destination of the route is paused."""
        return any(
            _in_force(pause, now_ns)
            for pause in (
                self._pauses.get((PauseScope.ALL, "")),
                self._pauses.get((PauseScope.SOURCE, route.source_id)),
                self._pauses.get((PauseScope.DESTINATION, route.destination_id)),
            )
            if pause is not None
        )

    def half_open(self, destination_id: str, now_ns: int) -> Pause | None:
        """The automatic pause of a destination that is over: one task at a time is tried until one is delivered."""
        pause = self._pauses.get((PauseScope.DESTINATION, destination_id))
        return pause if pause is not None and pause.automatic and not _in_force(pause, now_ns) else None

    def ended_by_delivery(self, route: Route, now_ns: int) -> Sequence[Pause]:
        """The automatic pauses that a delivery on this route ends: those of its parties whose time is over."""
        found = (
            self._pauses.get((PauseScope.SOURCE, route.source_id)),
            self._pauses.get((PauseScope.DESTINATION, route.destination_id)),
        )
        return tuple(pause for pause in found if pause is not None and pause.automatic and not _in_force(pause, now_ns))

    def next_change_ns(self, now_ns: int) -> int | None:
        """The next wall time at which a pause ends by itself; None if none does."""
        ends = [pause.until_ns for pause in self._pauses.values() if pause.until_ns is not None]
        return min((end for end in ends if end > now_ns), default=None)


def _name(pause: Pause) -> tuple[PauseScope, str]:
    return pause.scope, pause.value


def _in_force(pause: Pause, now_ns: int) -> bool:
    return pause.until_ns is None or pause.until_ns > now_ns


def _is_past(pause: Pause, now_ns: int) -> bool:
    keeps_rounds = pause.automatic and pause.scope in {PauseScope.SOURCE, PauseScope.DESTINATION}
    return not keeps_rounds and not _in_force(pause, now_ns)
