"""HttpByteSource: random access to a file behind HTTP, by range requests (RFC 9110, 14)."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    MediaWatchError,
    PermanentError,
    SourceOfflineError,
    TransientError,
)

__all__ = ["HttpByteSource"]

_FIRST = 64 * 1024
_PARTIAL, _OK, _RANGE_REFUSED = 206, 200, 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_GONE = frozenset({404, 410})
_LATER = frozenset({408, 425, 429})


class HttpByteSource(ByteSource):
    """Reads a file by its URL. Opening it is one request, which brings the size and the first 64 KiB.

    One connection is kept for all ranges, and made anew once where the server has closed it meanwhile. Redirects are
    not followed: they would carry the headers to whoever the answer names. A query string (a signature) appears in no
    message.

    Raises (at construction):
        ConfigurationError: no http or https URL, or one that holds a password.
        SourceOfflineError: no connection can be made.
        AssetNotFound: 404 or 410.
        AuthenticationRequiredError: 401.
        PermanentError: another status, or a server that knows no ranges.
        TransientError: 408, 425, 429, 5xx, or a connection that breaks.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, timeout: float = 30.0) -> None:
        """Ask for the beginning of the file.

        Args:
            url: where the file is.
            headers: sent with every request, credentials for example.
            timeout: seconds without a byte after which a connection counts as broken.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"a byte source needs an http or https URL, not {parts.scheme or 'no'!r} scheme")
        if parts.username or parts.password:
            raise ConfigurationError("credentials belong into the headers, not into the URL")
        self._display = f"{parts.scheme}://{parts.netloc}{parts.path}"
        # The module takes a while to import, and few programs need it.
        self._client: Any = importlib.import_module("http.client")
        kind = self._client.HTTPSConnection if parts.scheme == "https" else self._client.HTTPConnection
        self._connection: Any = kind(parts.hostname, parts.port, timeout=timeout)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {**(headers or {}), "Accept-Encoding": "identity"}
        self._tag: str | None = None
        self._size = -1
        try:
            self._head = self._ranged(0, _FIRST)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `ByteSource`. `AssetChanged` if the server has another version by now."""
        if offset < 0 or length < 0:
            raise ValueError(f"a range begins at 0 or later and is not shorter than 0 bytes: {offset}, {length}")
        length = max(0, min(length, self._size - offset))
        if offset + length <= len(self._head) or not length:
            return self._head[offset : offset + length]
        return self._ranged(offset, length)

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._connection.close()

    def _ranged(self, offset: int, length: int) -> bytes:
        headers = {**self._headers, "Range": f"bytes={offset}-{offset + length - 1}"}
        if self._tag is not None:
            headers["If-Match"] = self._tag
        answer, body = self._ask(headers)
        if answer.status == _RANGE_REFUSED and self._size < 0 and answer.getheader("Content-Range") == "bytes */0":
            self._size = 0
            return b""
        if answer.status != _PARTIAL:
            raise self._refused(answer)
        found = _CONTENT_RANGE.fullmatch(answer.getheader("Content-Range") or "")
        if found is None or int(found[1]) != offset:
            raise PermanentError(f"{self._display}: the server answers a range with something else")
        self._require_version(int(found[3]), answer.getheader("ETag"))
        if len(body) != min(length, self._size - offset):
            raise TransientError(f"{self._display}: an answer of {len(body)} bytes where {length} were asked for")
        return bytes(body)

    def _require_version(self, size: int, tag: str | None) -> None:
        if self._size < 0:
            self._size = size
            # A weak tag names no bytes: the server would refuse it in If-Match.
            self._tag = tag if tag and not tag.startswith("W/") else None
        elif size != self._size or (self._tag is not None and tag not in {None, self._tag}):
            raise AssetChanged(f"{self._display} is another version: {size} bytes, not {self._size}")

    def _ask(self, headers: Mapping[str, str]) -> tuple[Any, bytes]:
        reused = self._connection.sock is not None
        try:
            return self._once(headers)
        except (OSError, self._client.HTTPException) as error:
            self._connection.close()
            if not reused:
                raise self._broken(error) from error
        try:
            return self._once(headers)
        except (OSError, self._client.HTTPException) as error:
            self._connection.close()
            raise self._broken(error) from error

    def _once(self, headers: Mapping[str, str]) -> tuple[Any, bytes]:
        self._connection.request("GET", self._target, headers=headers)
        answer = self._connection.getresponse()
        if answer.status == _PARTIAL:
            return answer, answer.read()
        # What else it says is not wanted, and may be the whole file.
        self._connection.close()
        return answer, b""

    def _broken(self, error: Exception) -> MediaWatchError:
        reason = f"{self._display}: {type(error).__name__}"
        no_connection = self._size < 0 and isinstance(error, OSError) and not isinstance(error, TimeoutError)
        return SourceOfflineError(reason) if no_connection else TransientError(reason)

    def _refused(self, answer: Any) -> MediaWatchError:  # noqa: ANN401 - a module that is imported late
        status = int(answer.status)
        says = f"{self._display}: the server answers {status}"
        if status in _GONE:
            return AssetNotFound(says)
        if status in {412, _RANGE_REFUSED}:
            return AssetChanged(f"{says}: it is another version")
        if status == 401:  # noqa: PLR2004 - Unauthorized
            return AuthenticationRequiredError(says, party="source")
        if status in _LATER or status >= 500:  # noqa: PLR2004 - server errors
            return TransientError(says)
        if status == _OK:
            return PermanentError(f"{says}: it knows no ranges")
        return PermanentError(says)
