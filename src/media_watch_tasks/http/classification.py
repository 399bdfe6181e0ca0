"""What a status means for the file: one table for all uploaders."""

from __future__ import annotations

import email.utils
import http
from datetime import UTC, datetime, timedelta

from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import (
    AlreadyExists,
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    MediaWatchError,
    PermanentError,
    RateLimited,
    TransientError,
)
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.origins import shown
from media_watch_tasks.http.retry_after import parse_retry_after

__all__ = ["error_for", "retry_delay"]

_UNAUTHENTICATED = frozenset({401, 407})
_EXISTS = frozenset({409, 412})
_TOO_MANY = 429
_FULL = 507
# Request Timeout, Misdirected Request, Locked (WebDAV), Too Early, Too Many Requests, Checksum Mismatch (tus)
_PASSING = frozenset({408, 421, 423, 425, _TOO_MANY, 460})


def retry_delay(answer: Answer, *, clock: Clock) -> timedelta | None:
    """What the header Retry-After of an answer asks for; None where it asks for nothing usable.

    A date is compared with the date of the answer, if it has one: then it does not matter how our clock is set.
    """
    sent = _date(answer.headers.get("date"))
    return parse_retry_after(answer.headers.get("retry-after"), now=sent or clock.now())


def error_for(answer: Answer, *, clock: Clock) -> MediaWatchError:  # noqa: PLR0911 - a table: one return a row
    """The error that a status outside of the expected ones means. Its text names no header, body or query string.

    3xx and an unexpected 2xx: `ConfigurationError`. 401, 407: `AuthenticationRequiredError` of the destination.
    409, 412: `AlreadyExists`, which alone is no proof of delivery. 429 with a usable Retry-After: `RateLimited`;
    without one, and 408, 421, 423, 425, 460, 5xx: `TransientError` with the Retry-After. 507: `DestinationFull`. All
    other 4xx: `PermanentError`.
    """
    status = answer.status
    said = f"{answer.method} {shown(answer.url)} was answered {status} {_phrase(status)}".rstrip()
    delay = retry_delay(answer, clock=clock)
    if status in _UNAUTHENTICATED:
        return AuthenticationRequiredError(f"{said}: sign in again", party="destination")
    if status in _EXISTS:
        return AlreadyExists(said)
    if status == _FULL:
        return DestinationFull(f"{said}; make room there")
    if status == _TOO_MANY and delay is not None:
        return RateLimited(said, until=clock.now() + delay)
    if status in _PASSING or status >= 500:  # noqa: PLR2004 - the class of server errors
        return TransientError(said, retry_after=delay)
    if status >= 400:  # noqa: PLR2004 - the class of client errors
        return PermanentError(said)
    if status >= 300:  # noqa: PLR2004 - the class of redirects
        return ConfigurationError(f"{said}{_target(answer)}; redirects are never followed: give the right URL")
    return ConfigurationError(f"{said}, which is none of the expected statuses; name it in `expected` if it means done")


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _target(answer: Answer) -> str:
    try:
        target = answer.location
    except ConfigurationError:
        target = None
    return f" (to {shown(target)})" if target else ""


def _date(text: str | None) -> datetime | None:
    """The header Date of an answer, aware; None if it has none that can be read."""
    try:
        date = email.utils.parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return None if date is None else date.replace(tzinfo=date.tzinfo or UTC)
