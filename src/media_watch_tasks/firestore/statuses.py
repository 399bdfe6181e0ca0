"""What a gRPC status of Firestore means: one place for all of them.

* UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED, INTERNAL, UNKNOWN and all others: again, within seconds, then later.
* RESOURCE_EXHAUSTED: again, slower; then the destination pauses.
* INVALID_ARGUMENT, OUT_OF_RANGE, RESOURCE_EXHAUSTED for the size of the message: this document, never.
* UNAUTHENTICATED, PERMISSION_DENIED: the destination pauses until a person has mended it.
* NOT_FOUND, FAILED_PRECONDITION, ALREADY_EXISTS: there is no database, or none of this kind; the destination pauses.
* UNIMPLEMENTED: the settings are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import Enum

from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationOfflineError,
    MediaWatchError,
    PermanentError,
    RateLimited,
    TransientError,
)
from media_watch_tasks.model.redaction import redact

__all__ = ["Verdict", "classified", "verdict_on"]

_PAUSE = timedelta(minutes=1)


class Verdict(Enum):
    """What is to be done about a call that failed."""

    AGAIN = "again"
    """The same, in a moment: it may or may not have been applied, and is safe to repeat."""
    SLOWER = "slower"
    """The same, with more patience."""
    DOCUMENT = "document"
    """A document of the batch is refused: the others are sent without it."""
    DESTINATION = "destination"
    """Nothing can be written now."""


_VERDICTS = {
    "RESOURCE_EXHAUSTED": Verdict.SLOWER,
    "INVALID_ARGUMENT": Verdict.DOCUMENT,
    "OUT_OF_RANGE": Verdict.DOCUMENT,
    "UNAUTHENTICATED": Verdict.DESTINATION,
    "PERMISSION_DENIED": Verdict.DESTINATION,
    "NOT_FOUND": Verdict.DESTINATION,
    "FAILED_PRECONDITION": Verdict.DESTINATION,
    "ALREADY_EXISTS": Verdict.DESTINATION,
    "UNIMPLEMENTED": Verdict.DESTINATION,
}
# gRPC has one status for "too often" and "too large", and no other sign to tell them apart: these are the words of its
# implementations in C++, Java and Go.
_TOO_LARGE = ("exceeds maximum size", "larger than max")


def verdict_on(status: str, message: str) -> Verdict:
    """What is to be done, by the name of the status; statuses that nobody knows are tried again."""
    if status == "RESOURCE_EXHAUSTED" and any(words in message for words in _TOO_LARGE):
        return Verdict.DOCUMENT
    return _VERDICTS.get(status, Verdict.AGAIN)


def classified(status: str, message: str, *, doing: str, clock: Clock) -> MediaWatchError:
    """The exception for a call that is given up."""
    text = f"Firestore: {doing}: {status}: {redact(message)}"
    match verdict_on(status, message):
        case Verdict.AGAIN:
            return TransientError(text)
        case Verdict.SLOWER:
            return RateLimited(f"{text}; it asks for a pause", until=clock.now() + _PAUSE)
        case Verdict.DOCUMENT:
            return PermanentError(text)
        case Verdict.DESTINATION:
            return _OF_DESTINATION[status](text)


def _authentication(text: str) -> MediaWatchError:
    return AuthenticationRequiredError(
        f"{text}; give valid credentials with the role roles/datastore.user (gcloud auth application-default login, or "
        "credentials_file=)",
        party="destination",
    )


def _offline(text: str) -> MediaWatchError:
    return DestinationOfflineError(f"{text}; does the database exist, in Native mode?")


_OF_DESTINATION: dict[str, Callable[[str], MediaWatchError]] = {
    "UNAUTHENTICATED": _authentication,
    "PERMISSION_DENIED": _authentication,
    "NOT_FOUND": _offline,
    "FAILED_PRECONDITION": _offline,
    "ALREADY_EXISTS": _offline,
    "UNIMPLEMENTED": ConfigurationError,
}
