"""The constraints of a manager: what they say now, and what those count as that cannot say."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from media_watch_tasks.abc.constraint import Constraint
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.values import Value

__all__ = ["Conditions", "ConditionsSeen"]

_log = logging.getLogger(__name__)
_NOTHING: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(eq=False, repr=False)
class ConditionsSeen(Value):
    """One look at all constraints: names and what was said."""

    unmet: Mapping[str, str] = _NOTHING
    """Tasks that ask for one of these are passed by."""
    unknown: Mapping[str, str] = _NOTHING
    """These could not say; where unknown counts as unmet they stand in `unmet` too."""


class Conditions:
    """Asks the constraints. Thread-safe."""

    def __init__(self, constraints: Sequence[Constraint], *, unknown_is_met: bool) -> None:
        self._constraints = tuple((constraint.name, constraint) for constraint in constraints)
        self._unknown_is_met = unknown_is_met
        self._lock = threading.Lock()
        self._logged: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._constraints)

    def look(self) -> ConditionsSeen:
        """What every constraint says now."""
        unmet: dict[str, str] = {}
        unknown: dict[str, str] = {}
        for name, constraint in self._constraints:
            try:
                said = constraint.unmet()
                if said is not None:
                    _add(unmet, name, redact(said))
            except Exception as error:  # noqa: BLE001 - a constraint is foreign code: what it raises means "unknown"
                why = redact(str(error)) or type(error).__name__
                _add(unknown, name, why)
                if not self._unknown_is_met:
                    _add(unmet, name, f"unknown: {why}")
                self._log_once(name, why, error)
        with self._lock:
            self._logged = {name: why for name, why in self._logged.items() if name in unknown}
        return ConditionsSeen(MappingProxyType(unmet), MappingProxyType(unknown))

    def _log_once(self, name: str, why: str, error: Exception) -> None:
        """Constraints are asked every second: a log line for each would hide all others."""
        with self._lock:
            known, self._logged[name] = self._logged.get(name), why
        if known != why:
            lines = "".join(traceback.format_exception(error)).splitlines()
            _log.warning("constraint cannot say: %s", "\n".join(map(redact, lines)), extra={"constraint": name})


def _add(said: dict[str, str], name: str, text: str) -> None:
    """Several constraints may have one name: then all of them have to be met."""
    said[name] = f"{said[name]}; {text}" if name in said else text
