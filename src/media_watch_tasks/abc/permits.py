"""Permits: limits that hold over all processes that share a database."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Permits"]


class Permits(ABC):
    """Places and turns under a name, for all processes that use the same stores. Thread-safe.

    Every caller names the same numbers: they are settings of the programs, not of the database.

    Raises, from every method:
        StoreError: the database cannot be reached, or its folder cannot be written.
    """

    @abstractmethod
    def take_place(self, name: str, *, places: int) -> int | None:
        """Take one of so many places; its number (from 0), or None while all are taken.

        It is taken until `give_back`, or until the process dies, however it dies.
        """

    @abstractmethod
    def give_back(self, name: str, place: int) -> None:
        """Free a place that this object has taken. Nothing happens if it was lost meanwhile."""

    @abstractmethod
    def take_turn(self, name: str, *, turns: int, per_ns: int, longest_ns: int) -> tuple[bool, int]:
        """Reserve the next turn, if it is at most `longest_ns` away: (whether it is reserved, ns until it).

        Reserved turns lie so that in any stretch of `per_ns` there are at most `turns` of them. A turn that is further
        away is not reserved, and nothing is written.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back everything, as the death of the process would. A second call does nothing."""
