"""HttpTimeouts: how long each part of a request may take."""

from __future__ import annotations

from datetime import timedelta

import attrs

from media_watch_tasks.errors import ConfigurationError

__all__ = ["HttpTimeouts"]


def _positive(_instance: object, attribute: attrs.Attribute[timedelta], value: timedelta) -> None:
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ConfigurationError(f"HttpTimeouts.{attribute.name} must be a timedelta above zero, not {value!r}")


@attrs.frozen(kw_only=True)
class HttpTimeouts:
    """Limits of one request; a whole upload has none, as long as it moves."""

    connect: timedelta = attrs.field(default=timedelta(seconds=15), validator=_positive)
    """Until the connection stands, and again until TLS does."""
    stall: timedelta = attrs.field(default=timedelta(seconds=60), validator=_positive)
    """While sending: the longest time in which the other side takes not one byte."""
    answer: timedelta = attrs.field(default=timedelta(minutes=5), validator=_positive)
    """From the last byte sent until the whole answer is there: servers hash, scan and sync in it."""
