"""Condition: anything that the application can say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from media_watch_tasks.clock import Clock
from media_watch_tasks.constraints.look import PATIENCE, Look
from media_watch_tasks.constraints.named import NamedConstraint

__all__ = ["Condition"]


class Condition(NamedConstraint):
    """A constraint made of a callable.

        Condition("not on air", lambda: not studio.recording)

    The callable returns True while the condition is met. False, or a text that says why, while it is not. Everything
    else that it does counts as unknown: an exception, another value (also None, which is what a forgotten `return`
    gives), and no answer in time. It is called in a thread of its own, one call at a time.

    Args:
        name: what tasks ask for.
        ask: the callable.
        keep_for: how long an answer is given again without a call, where a call costs something.
        patience: how long one answer is waited for, in real time. The run of the queue stands still meanwhile.
        clock: what `keep_for` is measured with.

    Raises:
        ConfigurationError: an empty name, something that cannot be called, or a time that is too short.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], bool | str],
        *,
        keep_for: timedelta = timedelta(0),
        patience: timedelta = PATIENCE,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name)
        self._look = Look(ask, keep_for=keep_for, patience=patience, clock=clock)

    def unmet(self) -> str | None:
        """What the callable says.

        Raises:
            TimeoutError: it does not answer in time.
            TypeError: it answers with neither a truth value nor a text.
            Exception: whatever it raises itself.
        """
        said = self._look.answer()
        if isinstance(said, str) and said:
            return said
        if isinstance(said, bool):
            return None if said else f"{self.name} is not so now"
        raise TypeError(f"the callable of {self.name!r} must return True, False or a text, not {said!r}")
