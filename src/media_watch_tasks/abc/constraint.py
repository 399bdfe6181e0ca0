"""Constraint: a condition of the surroundings under which tasks may run."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Constraint"]


class Constraint(ABC):
    """Asked before tasks are claimed. Thread-safe and quick (well under a second)."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A stable word; tasks name the constraints they ask for by it."""

    @abstractmethod
    def unmet(self) -> str | None:
        """None while the condition is met, else why it is not, for people. An exception counts as unknown."""
