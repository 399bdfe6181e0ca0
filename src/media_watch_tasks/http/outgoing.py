"""Outgoing: a request as it goes over a connection, and what may become of it instead of being answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

__all__ = ["LateError", "LostError", "Outgoing", "StallError", "WireError"]


class WireError(Exception):
    """The request was not answered."""


class StallError(WireError):
    """The other side takes nothing."""


class LateError(WireError):
    """No whole answer came in time."""


class LostError(WireError):
    """The connection ended before the answer did."""

    def __init__(self, text: str, *, sending: bool) -> None:
        super().__init__(text)
        self.sending = sending
        """Not everything had been sent: the other side may have said why, which got lost with the connection."""


@attrs.frozen(kw_only=True)
class Outgoing:
    """A request."""

    head: bytes
    """Everything before the body, with its length."""
    length: int = 0
    """Bytes of the body."""
    pieces: Iterator[bytes | memoryview] = attrs.field(factory=lambda: iter(()))
    """The body; a piece is good until the next one is asked for. What it raises is raised; the connection ends then."""
    is_head: bool = False
    """The method is HEAD, whose answers have no body."""
    ask_first: bool = False
    """The head says `Expect: 100-continue`: a refusal is heard before the body is sent."""
    stall_seconds: float
    """The longest time in which the other side takes not one byte."""
    answer_seconds: float
    """From the last byte sent until the whole answer is there."""
    wanted: Callable[[], object]
    """Called at least four times a second; raises where nobody waits any more."""
