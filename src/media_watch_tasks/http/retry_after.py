"""Retry-After: how long the other side asks to be left alone (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime, timedelta

__all__ = ["LONGEST_WAIT", "parse_retry_after"]

LONGEST_WAIT = timedelta(days=366)
"""Whatever is asked for beyond this counts as this; the manager caps it further (`retry_after_cap`)."""
_SECONDS = re.compile(r"[0-9]{1,20}")


def parse_retry_after(text: str | None, *, now: datetime) -> timedelta | None:
    """The delay that the header names, at most `LONGEST_WAIT`.

    Args:
        text: the header's value, a number of seconds or a date; None where there is none.
        now: aware; a date counts from here.

    Returns:
        None where it says nothing usable: no header, garbage, zero, or a date that has passed. Zero would win over the
        back-off, and spend all attempts of a task within a second.
    """
    if text is None:
        return None
    text = text.strip()
    if _SECONDS.fullmatch(text):
        seconds = int(text)
        delay = LONGEST_WAIT if seconds > LONGEST_WAIT.total_seconds() else timedelta(seconds=seconds)
    else:
        date = _http_date(text)
        if date is None:
            return None
        delay = min(date - now, LONGEST_WAIT)
    return delay if delay > timedelta(0) else None


def _http_date(text: str) -> datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
