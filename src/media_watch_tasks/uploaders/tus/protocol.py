"""The requests of tus 1.0.0 (https://tus.io/protocols/resumable-upload), each of them alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, PermanentError, TransientError
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.classification import error_for
from media_watch_tasks.http.origins import origin_of, shown
from media_watch_tasks.http.session import HttpSession
from media_watch_tasks.uploaders.tus.portions import Portion

__all__ = ["Created", "Offered", "TusProtocol", "UploadGone"]

_VERSION = {"Tus-Resumable": "1.0.0"}
_BYTES = {"Content-Type": "application/offset+octet-stream"}
_GONE = frozenset({403, 404, 410})
"""What a HEAD may answer where there is no such upload (any more)."""
_CONFLICT, _UNSUPPORTED, _MISMATCH = 409, 412, 460
_ALGORITHMS = ("sha256", "sha1", "md5")
"""What we can compute, the best first; servers have to know sha1."""
_METADATA_NAME = re.compile(r"[\x21-\x2b\x2d-\x7e]+")


@attrs.frozen
class Offered:
    """What a server can do."""

    extensions: frozenset[str] = frozenset()
    checksum: str | None = None
    """The best algorithm that both sides know."""
    max_size: int | None = None
    """Bytes."""


@attrs.frozen
class Created:
    """A new upload."""

    url: str = attrs.field(repr=shown)
    offset: int
    """Bytes that arrived with its creation."""


class UploadGone(Exception):  # noqa: N818 - a finding
    """The server has no such upload any more."""


class TusProtocol:
    """One server. Thread-safe."""

    def __init__(self, session: HttpSession, url: str, *, allowed_origins: Iterable[str]) -> None:
        self._session = session
        self._url = url
        self._origins = {origin_of(url), *map(origin_of, allowed_origins)}
        self._offered: Offered | None = None

    def offered(self, cancel: CancelToken | None = None, *, again: bool = False) -> Offered:
        """What the server offers (OPTIONS), asked for once. A server that does not say is taken to offer nothing.

        Raises:
            ConfigurationError: it does not speak version 1.0.0, or redirects.
        """
        if self._offered is None or again:
            expected = {200, 204, 400, 403, 404, 405, 501}
            answer = self._session.request("OPTIONS", self._url, expected=expected, cancel=cancel)
            self._offered = _offered(answer)
        return self._offered

    def create(
        self, size: int, metadata: Mapping[str, str], *, key: str, first: Portion | None, cancel: CancelToken
    ) -> Created:
        """Begin an upload (POST); `first` goes with it where the server offers that.

        Raises:
            PermanentError: too large for the server.
            TransientError: what arrived is not what was sent.
            ConfigurationError: it names no place for the upload, or one of another origin.
        """
        headers = {
            **_VERSION,
            "Upload-Length": str(size),
            "Upload-Metadata": _encoded(metadata),
            "Idempotency-Key": key,
        }
        if first is not None:
            headers |= _BYTES | self._checksum(first)
        expected = {201, _UNSUPPORTED, _MISMATCH}
        answer = self._session.request("POST", self._url, headers=headers, body=first, expected=expected, cancel=cancel)
        self._refuse_unsupported(answer)
        if answer.status == _MISMATCH:
            raise TransientError(f"POST {shown(self._url)}: the server got other bytes than were sent (460)")
        location = answer.location
        if location is None:
            raise ConfigurationError(f"POST {shown(self._url)} was answered 201 without Location: is it a tus server?")
        offset = _number(answer, "upload-offset") if first is not None else None
        return Created(self.checked(location), 0 if offset is None else offset)

    def checked(self, url: str) -> str:
        """The URL of an upload, if it may be trusted with the file."""
        if origin_of(url) not in self._origins:
            raise ConfigurationError(
                f"the server names an upload at {shown(url)}, another origin than {shown(self._url)}: if that is right,"
                " say so in allowed_origins; if it names http for https, mend the proxy before it"
            )
        return url

    def offset(self, url: str, size: int, cancel: CancelToken | None) -> int | None:
        """How many bytes of an upload have arrived (HEAD); None where it is gone, or of another length."""
        answer = self._session.request(
            "HEAD", url, headers=_VERSION, expected={200, 204, _UNSUPPORTED, *_GONE}, cancel=cancel
        )
        self._refuse_unsupported(answer)
        if answer.status in _GONE:
            return None
        offset, length = _number(answer, "upload-offset"), _number(answer, "upload-length")
        if offset is None:
            raise TransientError(f"HEAD {shown(url)}: the answer has no Upload-Offset")
        return None if length not in {None, size} or offset > size else offset

    def patch(self, url: str, offset: int, portion: Portion, cancel: CancelToken) -> int:
        """Send bytes; the new offset.

        Raises:
            UploadGone: 404 or 410.
            TransientError: the server's offset is another one (409), or it got other bytes than were sent (460).
        """
        headers = {**_VERSION, **_BYTES, "Upload-Offset": str(offset), **self._checksum(portion)}
        expected = {200, 204, 404, _CONFLICT, 410, _UNSUPPORTED, _MISMATCH}
        answer = self._session.request("PATCH", url, headers=headers, body=portion, expected=expected, cancel=cancel)
        self._refuse_unsupported(answer)
        if answer.status in _GONE:
            raise UploadGone
        if answer.status == _CONFLICT:
            raise TransientError(f"PATCH {shown(url)}: the server's offset is not {offset} (409)")
        if answer.status == _MISMATCH:
            raise TransientError(f"PATCH {shown(url)}: the server got other bytes than were sent (460)")
        found = _number(answer, "upload-offset")
        if found is None or found != offset + portion.length:
            raise TransientError(f"PATCH {shown(url)}: offset {found} after {portion.length} bytes from {offset} on")
        return found

    def terminate(self, url: str) -> None:
        """Remove an unfinished upload (DELETE); one that is gone, or a server that cannot do it, is no error."""
        expected = {200, 204, 400, 403, 404, 405, 410, 501}
        self._session.request("DELETE", url, headers=_VERSION, expected=expected)

    def _checksum(self, portion: Portion) -> dict[str, str]:
        algorithm = None if self._offered is None else self._offered.checksum
        return {} if algorithm is None else {"Upload-Checksum": portion.checksum(algorithm)}

    def _refuse_unsupported(self, answer: Answer) -> None:
        if answer.status == _UNSUPPORTED:
            versions = answer.headers.get("tus-version", "")[:50]
            raise ConfigurationError(
                f"{shown(answer.url)} does not speak tus 1.0.0 (it speaks {versions!r})"
            ) from error_for(answer, clock=self._session.clock)


def _offered(answer: Answer) -> Offered:
    versions = _list(answer, "tus-version")
    if versions and "1.0.0" not in versions:
        raise ConfigurationError(f"{shown(answer.url)} speaks tus {', '.join(sorted(versions))}, and not 1.0.0")
    extensions = _list(answer, "tus-extension")
    known = _list(answer, "tus-checksum-algorithm") if "checksum" in extensions else frozenset()
    checksum = next((name for name in _ALGORITHMS if name in known), None)
    return Offered(extensions, checksum, _number(answer, "tus-max-size"))


def _list(answer: Answer, name: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in answer.headers.get(name, "").split(",") if part.strip())


def _number(answer: Answer, name: str) -> int | None:
    text = answer.headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None  # noqa: PLR2004 - an int64 has 19 digits


def _encoded(metadata: Mapping[str, str]) -> str:
    pairs = []
    for name, value in metadata.items():
        if not _METADATA_NAME.fullmatch(name):
            raise PermanentError(f"the name {name!r} of tus metadata must be ASCII without spaces and commas")
        text = base64.b64encode(value.encode("utf-8", "replace")).decode("ascii")
        pairs.append(f"{name} {text}".rstrip())
    return ",".join(pairs)
