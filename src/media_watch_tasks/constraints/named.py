"""The name that a constraint is asked for by."""

from __future__ import annotations

from media_watch_tasks.abc.constraint import Constraint
from media_watch_tasks.errors import ConfigurationError

__all__ = ["NamedConstraint"]


class NamedConstraint(Constraint):
    """A constraint with the name it was given. Names are stored with tasks: keep one from run to run."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name or name != name.strip():
            raise ConfigurationError(f"the name of a constraint must be a word, not {name!r}")
        self._name = name

    @property
    def name(self) -> str:
        """What tasks ask for, in `TaskManagerOptions.constraints`."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}>"
