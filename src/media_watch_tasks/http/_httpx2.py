"""Requests over httpx2, or past it where that makes no difference. Importing this module needs the extra `http`.

A request by httpx2 costs more than half a millisecond of Python. Where the settings are its defaults, ours are written
to connections of our own (`DirectRequests`), to servers that it would reach in no other way: no proxy, and the
authorities that it trusts. A download, an unusual URL, and whatever a client of the application sends, go through it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import httpcore2
import httpx2

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, DestinationOfflineError, MediaWatchError, TransientError
from media_watch_tasks.http._attentive import AttentiveBackend, attending, is_attended
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.bodies import Body
from media_watch_tasks.http.direct import DirectRequests, Way
from media_watch_tasks.http.heard import GarbledError, Heard
from media_watch_tasks.http.origins import shown
from media_watch_tasks.http.outgoing import LateError, LostError, StallError, WireError
from media_watch_tasks.http.timeouts import HttpTimeouts
from media_watch_tasks.http.wires import ConnectError

__all__ = ["Call", "check_client", "direct_requests", "new_client", "perform"]

_LARGEST_ANSWER = 1 << 20
_READ = 64 * 1024
_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.http2", "httpcore2.proxy")


class _Quiet(logging.Filter):
    """httpx2 logs whole URLs, and httpcore2 whole headers: not those of our requests, which hold signatures."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - whatever it says
        return not is_attended()


_quiet = _Quiet()


def new_client(**settings: Any) -> httpx2.Client:  # noqa: ANN401 - the settings of httpx2.Client
    """A client with our network layer; the settings are those of `httpx2.Client` (verify, cert, proxy …).

    It follows no redirect, has no limit on connections, and keeps idle ones for 4 seconds: most servers close them
    after 5, and a request that meets a closing connection fails.
    """
    settings.setdefault("limits", httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=4))
    client = httpx2.Client(follow_redirects=False, **settings)
    # httpcore2 takes a network backend, and httpx2 has no way to hand it over.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - as said above
        pool = getattr(transport, "_pool", None)
        if isinstance(pool, httpcore2.ConnectionPool):
            pool._network_backend = AttentiveBackend()  # noqa: SLF001 - as said above
    return client


def check_client(client: object) -> httpx2.Client:
    """The client if it is one of httpx2's."""
    if not isinstance(client, httpx2.Client):
        raise ConfigurationError(f"client must be an httpx2.Client, not {type(client).__name__}")
    return client


def direct_requests(client: httpx2.Client) -> DirectRequests:
    """Requests past a client that has the default settings, to where it would go by itself."""

    def way(url: str) -> Way | None:
        transport = client._transport_for_url(httpx2.URL(url))  # noqa: SLF001 - httpx2 tells nobody where there is a proxy
        pool = getattr(transport, "_pool", None)
        if transport is not client._transport or type(pool) is not httpcore2.ConnectionPool:  # noqa: SLF001 - as above
            return None
        if url.startswith("http:"):
            return Way(None)
        context = pool._ssl_context  # noqa: SLF001 - nor what it trusts
        if context is None:
            return None
        context.set_alpn_protocols(["http/1.1"])
        return Way(context)

    return DirectRequests(way)


@attrs.frozen(kw_only=True, eq=False)
class Call:
    """One request."""

    method: str
    url: str = attrs.field(repr=shown)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: Body | None = None
    merge: bool = False
    """Add what the client adds to its requests: only for its own origin."""
    sink: Callable[[bytes], object] | None = None
    """Takes the body of an answer with status 200 or 206, whatever its length."""


def perform(
    client: httpx2.Client,
    call: Call,
    *,
    timeouts: HttpTimeouts,
    cancel: CancelToken | None,
    direct: DirectRequests | None = None,
) -> Answer:
    """Send it, and read the answer. Raises nothing of httpx2's.

    Raises:
        DestinationOfflineError: no connection could be made.
        TransientError: a time-out, a reset, an answer that is no HTTP.
        ConfigurationError: a header that cannot be sent.
        OperationCancelled, and anything that the body or the sink raises, unchanged.
    """
    try:
        if direct is not None and call.sink is None:
            heard = direct.perform(
                call.method, call.url, headers=call.headers, body=call.body, timeouts=timeouts,
                wanted=_always if cancel is None else cancel.raise_if_cancelled,
            )  # fmt: skip
            if heard is not None:
                return _understood(call, heard)
        return _perform(client, call, timeouts, cancel)
    except (WireError, GarbledError) as error:
        raise _unanswered(call, error, timeouts) from error


def _always() -> None:
    """Whoever gave no token waits for the answer."""


def _understood(call: Call, heard: Heard) -> Answer:
    body = heard.body
    coding = heard.headers.get("content-encoding", "identity")
    if body and coding != "identity":  # which nobody asked for
        try:
            body = httpx2.Response(200, headers={"content-encoding": coding}, content=body).content
        except httpx2.DecodingError:
            raise GarbledError(f"its body is no {coding}") from None
    return Answer(call.method, call.url, heard.status, heard.headers, body[:_LARGEST_ANSWER], truncated=heard.truncated)


def _unanswered(call: Call, error: Exception, timeouts: HttpTimeouts) -> MediaWatchError:
    what = f"{call.method} {shown(call.url)}"
    match error:
        case ConnectError(late=True):
            return DestinationOfflineError(f"{what}: no connection within {timeouts.connect.total_seconds():g} s")
        case ConnectError():
            return DestinationOfflineError(f"{what}: no connection: {error}")
        case StallError():
            stall = timeouts.stall.total_seconds()
            return TransientError(f"{what}: stalled, not one byte was taken for {stall:g} s")
        case LateError():
            answer = timeouts.answer.total_seconds()
            return TransientError(f"{what}: everything was sent, no answer within {answer:g} s")
        case LostError():
            when = "after everything was sent" if call.body is None or call.body.complete else "while sending"
            return TransientError(f"{what}: the connection was lost {when} ({error})")
    return TransientError(f"{what}: the answer cannot be understood: {error}")


def _perform(client: httpx2.Client, call: Call, timeouts: HttpTimeouts, cancel: CancelToken | None) -> Answer:
    _install_quiet()
    what = f"{call.method} {shown(call.url)}"
    answer_seconds = None if call.sink is not None else timeouts.answer.total_seconds()
    try:
        with attending(cancel, answer_seconds):
            return _sent_by(client, call, timeouts)
    except httpx2.ConnectTimeout as error:
        raise ConnectError("no connection in time", late=True) from error
    except httpx2.ConnectError as error:
        raise ConnectError(str(error)) from error
    except httpx2.ProxyError:
        raise DestinationOfflineError(f"{what}: the proxy makes no connection") from None
    except httpx2.PoolTimeout as error:
        raise TransientError(f"{what}: the client has no free connection") from error
    except httpx2.WriteTimeout as error:
        raise StallError("the other side takes nothing") from error
    except httpx2.ReadTimeout as error:
        raise LateError("no whole answer in time") from error
    except (httpx2.LocalProtocolError, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        # Their texts quote the header or URL.
        raise ConfigurationError(f"{what}: a header or the URL cannot be sent as it is") from None
    except httpx2.HTTPError as error:
        raise LostError(type(error).__name__, sending=call.body is not None and not call.body.complete) from error


def _sent_by(client: httpx2.Client, call: Call, timeouts: HttpTimeouts) -> Answer:
    content: Iterator[bytes] | None = None
    pieces = None if call.body is None else iter(call.body)
    headers = dict(call.headers)
    if call.body is not None and pieces is not None:
        headers["Content-Length"] = str(call.body.length)
        content = map(bytes, pieces)
    timeout = httpx2.Timeout(
        connect=timeouts.connect.total_seconds(),
        write=timeouts.stall.total_seconds(),
        read=timeouts.answer.total_seconds() if call.sink is None else timeouts.stall.total_seconds(),
        pool=timeouts.answer.total_seconds(),
    )
    if call.merge:
        request = client.build_request(call.method, call.url, headers=headers, content=content, timeout=timeout)
    else:
        extensions = {"timeout": timeout.as_dict()}
        request = httpx2.Request(call.method, call.url, headers=headers, content=content, extensions=extensions)
    auth: Any = httpx2.USE_CLIENT_DEFAULT if call.merge else None
    try:
        response = client.send(request, auth=auth, follow_redirects=False, stream=True)
        with contextlib.closing(response):
            return _answer(call, response)
    finally:
        # A body that was not taken to its end holds an open stream of the source.
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _answer(call: Call, response: httpx2.Response) -> Answer:
    taken = call.sink if call.sink is not None and response.status_code in {200, 206} else None
    parts: list[bytes] = []
    size = 0
    truncated = False
    for part in response.iter_bytes(_READ):
        if taken is not None:
            taken(part)
            continue
        parts.append(part)
        size += len(part)
        if size > _LARGEST_ANSWER:
            truncated = True
            break
    return Answer(
        method=call.method,
        url=call.url,
        status=response.status_code,
        headers=dict(response.headers.items()),
        body=b"".join(parts)[:_LARGEST_ANSWER],
        truncated=truncated,
    )


def _install_quiet() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_quiet)
