"""Credentials of a destination, and their renewal: asked for once, however many threads need it."""

from __future__ import annotations

import base64
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from media_watch_tasks.clock import Clock, to_ns
from media_watch_tasks.errors import AuthenticationRequiredError, ConfigurationError, MediaWatchError

__all__ = ["BasicAuth", "BearerAuth", "HttpAuth", "SingleFlightAuth", "as_auth", "asked"]

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)
_ASK_AGAIN_AFTER = timedelta(seconds=5)


class HttpAuth(ABC):
    """Credentials that are put on every request to the destination's own origin, and on no other.

    They are asked for at each request and kept nowhere. Called from several threads at once.
    """

    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """The headers that carry the credentials, as they are now."""

    def refresh(self) -> bool:
        """Called once when the destination refuses them (401), while all threads that need them wait.

        True: there are newer ones, the request is sent again. False: somebody has to sign in; the destination pauses.
        """
        return False


class BasicAuth(HttpAuth):
    """User name and password (RFC 7617, UTF-8)."""

    def __init__(self, user: str, password: str) -> None:
        if ":" in user:
            raise ConfigurationError("a user name for Basic authentication must not hold a colon")
        text = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        self._headers = {"Authorization": f"Basic {text}"}

    def headers(self) -> Mapping[str, str]:
        """The header Authorization."""
        return self._headers

    def __repr__(self) -> str:
        return "BasicAuth(***)"


class BearerAuth(HttpAuth):
    """A token (RFC 6750), and how to get a newer one.

    Args:
        token: the token, or a callable that gives the present one, called at each request.
        refresh: called once when the token is refused; returns the new token, or None where `token` is a callable that
            will give it now. It raises where there is no newer one: the destination then pauses.
    """

    def __init__(self, token: str | Callable[[], str], *, refresh: Callable[[], str | None] | None = None) -> None:
        self._token = token
        self._refresh = refresh

    def headers(self) -> Mapping[str, str]:
        """The header Authorization."""
        token = self._token
        return {"Authorization": f"Bearer {token if isinstance(token, str) else token()}"}

    def refresh(self) -> bool:
        """Ask the hook, if there is one."""
        if self._refresh is None:
            return False
        fresh = self._refresh()
        if fresh is not None:
            self._token = fresh
        elif isinstance(self._token, str):
            return False
        return True

    def __repr__(self) -> str:
        return "BearerAuth(***)"


class SingleFlightAuth:
    """One refresh for all threads whose requests were refused with the same credentials.

    After a refresh that failed, the hook is left alone for 5 seconds: requests that were under way do not ask it again.
    """

    def __init__(self, auth: HttpAuth, *, clock: Clock) -> None:
        self._auth = auth
        self._clock = clock
        self._lock = threading.Lock()
        self._generation = 0
        self._renewed = False
        self._not_before_ns: int | None = None

    def current(self) -> tuple[int, Mapping[str, str]]:
        """A number that names the present credentials, and their headers.

        Raises:
            AuthenticationRequiredError: the application's callable has none.
        """
        generation = self._generation
        return generation, asked(self._auth.headers)

    def refused(self, generation: int) -> bool:
        """The destination refused these credentials; True if there are others by now."""
        with self._lock:
            if generation != self._generation:
                return self._renewed
            if self._not_before_ns is not None and self._clock.monotonic_ns() < self._not_before_ns:
                return False
            try:
                self._renewed = bool(asked(self._auth.refresh))
            except AuthenticationRequiredError:
                self._failed()
                raise
            if self._renewed:
                self._generation += 1
                self._not_before_ns = None
            else:
                self._failed()
            return self._renewed

    def _failed(self) -> None:
        self._renewed = False
        self._generation += 1
        self._not_before_ns = self._clock.monotonic_ns() + to_ns(_ASK_AGAIN_AFTER)


def asked(call: Callable[[], _Result]) -> _Result:
    """Call what the application gave: whatever it raises that is none of ours means that there are no credentials now.

    The text of a foreign exception may hold what must not be shown, and is not.
    """
    try:
        return call()
    except AuthenticationRequiredError as error:
        error.party = "destination"
        raise
    except MediaWatchError:
        raise
    except Exception as error:  # noqa: BLE001 - the application's own code
        kind = type(error).__name__
        _log.warning("credentials could not be had", extra={"error_type": kind})
        text = f"no credentials: {kind} in the application's hook"
        raise AuthenticationRequiredError(text, party="destination") from None


def as_auth(auth: HttpAuth | tuple[str, str] | None) -> HttpAuth | None:
    """What a constructor was given, checked. Raises `ConfigurationError`; its text holds no secret."""
    if auth is None or isinstance(auth, HttpAuth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, str) for part in auth):  # noqa: PLR2004 - user, password
        return BasicAuth(*auth)
    raise ConfigurationError(f"auth must be an HttpAuth or (user, password), not {type(auth).__name__}")
