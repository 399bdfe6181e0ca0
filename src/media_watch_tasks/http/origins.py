"""URLs: which server one names, and how it may be shown."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from media_watch_tasks.errors import ConfigurationError

__all__ = ["Origin", "SplitUrl", "absolute", "origin_of", "same_origin", "shown", "split_url"]

_UNQUOTED = re.compile(r"[\x00- \x7f]")
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454): credentials stay with one."""

    scheme: str
    host: str
    port: int


class SplitUrl(NamedTuple):
    """A URL without user info, and the user info that it had."""

    url: str
    user: str | None
    password: str | None


def origin_of(url: str) -> Origin:
    """The origin of an absolute URL.

    Raises:
        ConfigurationError: it is not an http or https URL with a host. The text of it is not shown: it may be secret.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("a URL cannot be read: its host or port is malformed") from None
    if scheme not in _PORTS or not host:
        raise ConfigurationError("a URL must begin with http:// or https:// and name a host")
    if _UNQUOTED.search(url):
        raise ConfigurationError("a URL must not hold spaces or control characters; quote them as %20 and so on")
    return Origin(scheme, host.lower(), port or _PORTS[scheme])


def same_origin(one: str, other: str) -> bool:
    """True if both URLs name the same scheme, host and port."""
    return origin_of(one) == origin_of(other)


def split_url(url: str) -> SplitUrl:
    """The URL without `user:password@`, and both unquoted. Raises as `origin_of` does."""
    origin_of(url)
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    user = None if parts.username is None else unquote(parts.username)
    return SplitUrl(bare, user, None if parts.password is None else unquote(parts.password))


def absolute(base: str, reference: str) -> str:
    """The URL that a `Location` names, relative to the URL that was asked. Raises as `origin_of` does."""
    try:
        url = urljoin(base, reference)
    except ValueError:
        raise ConfigurationError("the server named a URL that cannot be read") from None
    origin_of(url)
    return url


def shown(url: str) -> str:
    """The URL without user info, query and fragment: for messages, logs and receipts."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
