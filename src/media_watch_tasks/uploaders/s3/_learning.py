"""How botocore writes a kind of request, learned from one that it wrote and nobody sent."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from media_watch_tasks.uploaders.s3._boto3 import AWSResponse
from media_watch_tasks.uploaders.s3.shapes import NO_HASH, Keys, Shape, Writing, encoded_key, own_headers
from media_watch_tasks.uploaders.s3.signing import Signer

__all__ = ["learn", "listen"]

_NOT_SIGNED = frozenset({"content-length", "expect", "user-agent", "amz-sdk-invocation-id", "amz-sdk-request"})
_PER_REQUEST = frozenset({"authorization", "host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"})
_OF_NOTHING = hashlib.sha256(b"").hexdigest()
_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+)/s3/aws4_request, .*")
_here = threading.local()


class _NoBody:
    @staticmethod
    def stream(*_: object, **__: object) -> Iterator[bytes]:
        return iter(())


def _hold_back(request: Any, **_: object) -> Any:  # noqa: ANN401 - botocore has no types
    if not getattr(_here, "listening", False):
        return None
    _here.heard = request
    return AWSResponse(request.url, 200, {}, _NoBody())


def listen(client: Any) -> None:  # noqa: ANN401 - as above
    """Make the client one that `learn` can be called with."""
    client.meta.events.register_first("before-send.s3", _hold_back, unique_id="media-watch-tasks")


def learn(client: Any, operation: str, parameters: Mapping[str, Any], keys: Keys) -> tuple[str, Shape] | None:  # noqa: ANN401 - as above
    """Let botocore write such a request, and see that `Shape` writes the same, down to the signature.

    The URL of the server, and the shape. None where anything is not as expected: another kind of signature, a handler
    of the application that says something else each time, somebody who answers in the place of the network.
    """
    first = _learn_once(client, operation, parameters, keys)
    return first if first is not None and first == _learn_once(client, operation, parameters, keys) else None


def _learn_once(client: Any, operation: str, parameters: Mapping[str, Any], keys: Keys) -> tuple[str, Shape] | None:  # noqa: ANN401 - as above
    heard = _written_by_botocore(client, operation, parameters)
    if heard is None:
        return None
    found = {name.lower(): _text(value) for name, value in heard.headers.items()}
    own, url, key = own_headers(parameters), urlsplit(heard.url), encoded_key(parameters)
    signed = _AUTHORIZATION.fullmatch(found.get("authorization", ""))
    payload = found.get("x-amz-content-sha256")
    if own is None or signed is None or payload not in {NO_HASH, _OF_NOTHING} or not url.path.endswith(key):
        return None
    shape = Shape(
        host=url.netloc,
        prefix=url.path.removesuffix(key),
        constant={name: value for name, value in found.items() if name not in {*own, *_NOT_SIGNED, *_PER_REQUEST}},
        agent=found.get("user-agent", ""),
        hashed=payload != NO_HASH,
        region=signed[1],
    )
    head = shape.write(parameters, Writing(size=0, sha256=_OF_NOTHING, date=found["x-amz-date"]), keys, Signer())
    return (f"{url.scheme}://{url.netloc}", shape) if head is not None and _equal(head, found, url.netloc) else None


def _written_by_botocore(client: Any, operation: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
    _here.listening, _here.heard = True, None
    try:
        getattr(client, operation)(**{**parameters, "Body": b""})
    finally:
        _here.listening = False
    heard, _here.heard = _here.heard, None
    if heard is None or heard.method != "PUT":
        return None
    event = f"before-send.s3.{client.meta.method_to_api_mapping[operation]}"
    others = client.meta.events.emit(event, request=heard)
    return None if any(answer is not None for _, answer in others) else heard


def _equal(head: bytes, found: Mapping[str, str], host: str) -> bool:
    """True if the head has the headers of the request, one for one; the signature stands for method, path and query."""
    _, *lines = head.decode("ascii").split("\r\n")
    ours = dict(line.split(": ", 1) for line in lines if line)
    theirs = {"host": host, **found}
    return all(ours.get(name) == theirs.get(name) for name in (ours.keys() | theirs.keys()) - _NOT_SIGNED)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
