"""HttpSession: requests to one destination, with its credentials, time-outs and classification."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Collection, Mapping
from json import dumps
from types import TracebackType
from typing import Any, Self

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError, MissingDependencyError, TransientError
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.authentication import BasicAuth, HttpAuth, SingleFlightAuth, as_auth, asked
from media_watch_tasks.http.bodies import Body
from media_watch_tasks.http.classification import error_for
from media_watch_tasks.http.origins import origin_of, shown, split_url
from media_watch_tasks.http.timeouts import HttpTimeouts

__all__ = ["DONE", "BytesBody", "Headers", "HttpSession", "new_client"]

_log = logging.getLogger(__name__)

DONE = frozenset({200, 201, 204})
"""Statuses that mean that it is done, by default. 202 says that it is not done yet."""

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Headers, or a callable that gives them, called at each request."""

_UNAUTHORIZED = 401
_FORBIDDEN_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|^\s|\s$")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BASE = {"User-Agent": "media-watch-tasks", "Accept": "*/*", "Accept-Encoding": "identity"}


class BytesBody:
    """A short body that is at hand."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._complete = False

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self._data)

    @property
    def complete(self) -> bool:
        """True once the last iteration has had its last byte taken."""
        return self._complete

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of bytes
        self._complete = False
        if self._data:
            yield self._data
        self._complete = True


def new_client(**settings: Any) -> Any:  # noqa: ANN401 - the settings of httpx2.Client, and one of those
    """An `httpx2.Client` with settings of its own (`verify=`, `cert=`, `proxy=` …), for the parameter `client`.

    It notices early answers and cancellation, which a client of httpx2's own making does not: that one sends a body to
    its end, unless the server closes the connection, and waits for an answer until it times out.

    Raises:
        MissingDependencyError: httpx2 is not installed.
    """
    return _backend("new_client").new_client(**settings)


def _backend(feature: str) -> Any:  # noqa: ANN401 - a module that may be missing
    try:
        from media_watch_tasks.http import _httpx2  # noqa: PLC0415 - optional, see the extra `http`
    except ImportError as error:
        raise MissingDependencyError(feature, package="httpx2", extra="http") from error
    return _httpx2


class HttpSession:
    """Requests to a destination. Thread-safe.

    Credentials (`auth`, `headers`, user info in the URL, what an injected client adds) go to the origin of `url` alone.
    Redirects are never followed. A 401 of that origin asks `auth` for newer credentials, once for all threads, and the
    request is sent again.

    Args:
        url: any URL of the destination.
        feature: who needs it, for the message where httpx2 is missing.
        auth: credentials; (user, password) for Basic authentication.
        headers: put on every request to the origin; may hold secrets.
        client: an `httpx2.Client` of the application, see `new_client`; it is not closed here.
        timeouts: limits of a request.
        clock: for Retry-After and for waits between refreshes.

    Raises:
        MissingDependencyError: httpx2 is not installed.
        ConfigurationError: a setting that makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        feature: str,
        auth: HttpAuth | tuple[str, str] | None = None,
        headers: Headers | None = None,
        client: object | None = None,
        timeouts: HttpTimeouts | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._backend = _backend(feature)
        bare, user, password = split_url(url)
        if user is not None and auth is not None:
            raise ConfigurationError("credentials stand in the URL and in auth: give them once")
        chosen = BasicAuth(user, password or "") if user is not None else as_auth(auth)
        if headers is not None and not callable(headers) and not isinstance(headers, Mapping):
            raise ConfigurationError(f"headers must be a mapping or a callable, not {type(headers).__name__}")
        if isinstance(headers, Mapping):
            _checked(headers)
        self.clock = clock or SystemClock()
        self._origin = origin_of(bare)
        self._auth = None if chosen is None else SingleFlightAuth(chosen, clock=self.clock)
        self._headers = headers
        self._timeouts = timeouts or HttpTimeouts()
        self._owns_client = client is None
        self._client = self._backend.new_client() if client is None else self._backend.check_client(client)
        self._direct = self._backend.direct_requests(self._client) if client is None else None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: Body | bytes | None = None,
        json: object = None,
        expected: Collection[int] = DONE,
        cancel: CancelToken | None = None,
        authenticated: bool = True,
        sink: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """Send a request, and return its answer if the status is an expected one.

        Args:
            method: PUT, POST and so on.
            url: absolute.
            headers: of this request, asked for anew if it is sent again; they go to any origin: no credentials.
            body: sent with its length; a `Body` is iterated anew if the request has to be sent again.
            json: sent as the body, instead.
            expected: every other status raises what `error_for` makes of it.
            cancel: ends a wait within a quarter of a second.
            authenticated: False leaves the credentials out, also for the own origin (a presigned URL).
            sink: takes the body of a 200 or 206 of any length, instead of the answer.

        Raises:
            DestinationOfflineError: no connection could be made.
            TransientError: a time-out, a reset, an answer that is no HTTP, or a good status before all was sent.
            AuthenticationRequiredError: refused, and no newer credentials helped.
            ConfigurationError, PermanentError, AlreadyExists, RateLimited, DestinationFull: see `error_for`.
            OperationCancelled, and anything that the body raises, unchanged.
        """
        if cancel is not None:
            cancel.raise_if_cancelled()
        if json is not None:
            body = dumps(json).encode()
        sent = BytesBody(body) if isinstance(body, bytes) else body
        own = authenticated and self._is_own(url)
        given = headers or {}
        basic = _BASE if json is None else _BASE | {"Content-Type": "application/json"}

        def send() -> tuple[Answer, int | None]:
            return self._send(method, url, basic, headers=given, body=sent, own=own, cancel=cancel, sink=sink)

        answer, generation = send()
        if (
            answer.status == _UNAUTHORIZED
            and generation is not None
            and self._auth is not None
            and self._auth.refused(generation)
        ):
            answer, _ = send()
        if answer.status not in expected:
            raise error_for(answer, clock=self.clock)
        if sent is not None and not sent.complete and answer.status < 300:  # noqa: PLR2004 - the class of good statuses
            raise TransientError(f"{method} {shown(url)} was answered {answer.status} before everything was sent")
        return answer

    def close(self) -> None:
        """Close the connections, unless the client is the application's. May be called again."""
        if self._direct is not None:
            self._direct.close()
        if self._owns_client:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<HttpSession {'://'.join(self._origin[:2])}>"

    def _is_own(self, url: str) -> bool:
        return origin_of(url) == self._origin

    def _send(
        self,
        method: str,
        url: str,
        basic: Mapping[str, str],
        *,
        headers: Headers,
        body: Body | None,
        own: bool,
        cancel: CancelToken | None,
        sink: Callable[[bytes], object] | None,
    ) -> tuple[Answer, int | None]:
        generation = None
        merged = dict(basic)
        if own:
            if self._headers is not None:
                _set(merged, asked(self._headers) if callable(self._headers) else self._headers)
            if self._auth is not None:
                generation, credentials = self._auth.current()
                _set(merged, credentials)
        _set(merged, asked(headers) if callable(headers) else headers)
        _checked(merged)
        call = self._backend.Call(
            method=method, url=url, headers=merged, body=body, merge=own and not self._owns_client, sink=sink
        )
        answer: Answer = self._backend.perform(
            self._client, call, timeouts=self._timeouts, cancel=cancel, direct=self._direct
        )
        _log.debug("request answered", extra={"method": method, "url": shown(url), "status": answer.status})
        return answer, generation


def _set(headers: dict[str, str], more: Mapping[str, str]) -> None:
    """Names are compared without regard to case, so that a header is never sent twice."""
    for name, value in more.items():
        for known in [known for known in headers if known.lower() == name.lower()]:
            del headers[known]
        headers[name] = value


def _checked(headers: Mapping[str, str]) -> None:
    """Refuse what the client would refuse with a text that quotes the value, which may be a secret."""
    for name, value in headers.items():
        if not isinstance(name, str) or not _is_token(name):
            raise ConfigurationError("the name of a header holds characters that cannot be sent")
        if not isinstance(value, str) or not _is_sendable(value):
            raise ConfigurationError(
                f"the value of the header {name} must be ASCII text without control characters or outer spaces"
            )


@functools.lru_cache(256)
def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


def _is_sendable(value: str) -> bool:
    # Most values have nothing to be looked for, and to know that is five times as fast as to look.
    usual = value.isascii() and value.isprintable() and value == value.strip(" ")
    return usual or (value.isascii() and _FORBIDDEN_IN_VALUES.search(value) is None)
