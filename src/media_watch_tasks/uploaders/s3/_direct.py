"""Direct: the requests that carry bytes, sent without botocore where that makes no difference but time.

A call of botocore costs about two milliseconds of Python, most of it for what is the same in every call. Here that is
learned once for each kind of request (`_learning`) and then only the rest is written. Addresses, signatures, headers
and credentials stay what botocore made of the settings; whatever is out of the ordinary is handed back to it.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.client import responses
from typing import Any, Protocol
from urllib.parse import urlsplit

from media_watch_tasks.http.heard import Heard
from media_watch_tasks.uploaders.s3._boto3 import ERRORS, exceptions, quiet, tls_context
from media_watch_tasks.uploaders.s3._learning import learn, listen
from media_watch_tasks.uploaders.s3._line import Line, SendingFailed
from media_watch_tasks.uploaders.s3.shapes import Keys, Shape, Writing, kind_of
from media_watch_tasks.uploaders.s3.signing import Signer

__all__ = ["Direct", "Pieces"]

_ASK_FIRST = 1 << 20
"""Bytes: what is smaller is sent at once; a refusal that cuts it off is asked for again."""
_OPERATIONS = {"put_object": "PutObject", "upload_part": "UploadPart"}
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_CODE, _MESSAGE = re.compile(rb"<Code>(.*?)</Code>", re.DOTALL), re.compile(rb"<Message>(.*?)</Message>", re.DOTALL)
_REDIRECTS = range(300, 400)
_OK, _SERVER = 200, 500
_PORTS = {"http": 80, "https": 443}


class Pieces(Protocol):
    """A body in memory."""

    def __len__(self) -> int: ...

    def pieces(self) -> Iterator[memoryview]:
        """All of it, from its beginning."""

    def raise_if_stopped(self) -> None:
        """Raise where nothing of it shall be sent any more."""


class Direct:
    """For one client. Thread-safe."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - boto3 makes the class of a client at run time
        self._client = client
        self._signer = Signer()
        self._lock = threading.Lock()
        self._known: dict[tuple[object, ...], tuple[Line, Shape] | None] = {}
        self._lines: dict[str, Line] = {}
        self._off = False
        try:
            listen(client)
            self._credentials = client._request_signer._credentials  # noqa: SLF001 - botocore has no other way to them
            retries = client.meta.config.retries or {}
        except AttributeError:
            self._off = True
        else:
            self._once = retries.get("total_max_attempts") == 1 or retries.get("max_attempts") == 0

    def call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """As the client's method; None where that shall be called, with a body that begins anew.

        Raises:
            botocore.exceptions.ClientError: a refusal.
            botocore.exceptions.HTTPClientError: no answer, where the client is not to try again.
            anything else that the body raises.
        """
        body: Any = parameters.get("Body")
        if self._off or operation not in _OPERATIONS or not hasattr(body, "pieces"):
            return None
        keys: Keys | None = self._credentials.get_frozen_credentials() if self._credentials is not None else None
        found = self._way(operation, parameters, keys)
        if keys is None or found is None:
            return None
        line, shape = found
        ask_first = len(body) > _ASK_FIRST
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())  # S3 compares it with the real time
        sha256 = base64.b64decode(parameters["ChecksumSHA256"]).hex()
        how = Writing(size=len(body), sha256=sha256, date=date, ask_first=ask_first)
        head = shape.write(parameters, how, keys, self._signer)
        if head is None:
            return None
        try:
            answer = line.exchange(
                head, body.pieces(), length=len(body), ask_first=ask_first, wanted=body.raise_if_stopped
            )
        except SendingFailed as error:
            if self._once and ask_first:
                raise exceptions.ConnectionClosedError(endpoint_url=line.url, error=error) from error
            return None
        except exceptions.HTTPClientError:
            if self._once:
                raise
            return None
        return self._understood(operation, answer)

    def close(self) -> None:
        """Close what is open and not in use."""
        for line in list(self._lines.values()):
            line.close()

    def _understood(self, operation: str, answer: Heard) -> Mapping[str, Any] | None:
        if answer.status == _OK:
            names = {"ETag": "etag", "ChecksumSHA256": "x-amz-checksum-sha256", "VersionId": "x-amz-version-id"}
            return {name: answer.headers[header] for name, header in names.items() if header in answer.headers}
        code, message = _CODE.search(answer.body), _MESSAGE.search(answer.body)
        if answer.status in _REDIRECTS or (code is not None and code[1] == b"AuthorizationHeaderMalformed"):
            self._off = True  # botocore finds out the region, and remembers it in its own way
            return None
        if not self._once and (answer.status >= _SERVER or answer.status in _PASSING):
            return None
        error = {
            "Code": _text(code) or str(answer.status),
            "Message": _text(message) or responses.get(answer.status, ""),
        }
        about = {"HTTPStatusCode": answer.status, "HTTPHeaders": dict(answer.headers)}
        raise exceptions.ClientError({"Error": error, "ResponseMetadata": about}, _OPERATIONS[operation])

    def _way(self, operation: str, parameters: Mapping[str, Any], keys: Keys | None) -> tuple[Line, Shape] | None:
        kind = kind_of(operation, parameters)
        if kind not in self._known:
            with self._lock:
                if kind not in self._known:
                    self._known[kind] = self._learn(operation, parameters, keys)
        return self._known[kind]

    def _learn(self, operation: str, parameters: Mapping[str, Any], keys: Keys | None) -> tuple[Line, Shape] | None:
        try:
            with quiet():
                learned = None if keys is None else learn(self._client, operation, parameters, keys)
            if learned is None:
                return None
            url, shape = learned
            if url not in self._lines:
                self._lines[url] = self._line(url)
        except (*ERRORS, AttributeError, OSError, ValueError):
            return None  # the call of the client says what is wrong, if anything is
        return self._lines[url], shape

    def _line(self, url: str) -> Line:
        parts, config = urlsplit(url), self._client.meta.config
        return Line(
            parts.hostname or "",
            parts.port or _PORTS[parts.scheme],
            context=tls_context(self._client, url),
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            most=config.max_pool_connections,
        )


def _text(found: re.Match[bytes] | None) -> str:
    return "" if found is None else found[1].decode("utf-8", "replace")
