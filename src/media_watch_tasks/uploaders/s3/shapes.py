"""Shape: what all requests of a kind to a bucket have in common, and how one of them is written and signed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import attrs

from media_watch_tasks.uploaders.s3.signing import Scope, Signer

__all__ = ["NO_HASH", "Keys", "Shape", "Writing", "encoded_key", "kind_of", "own_headers"]

NO_HASH = "UNSIGNED-PAYLOAD"
"""x-amz-content-sha256 where the signature does not cover the body."""
_HEADERS = {
    "ContentType": "content-type",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "IfNoneMatch": "if-none-match",
    "IfMatch": "if-match",
}
_QUERY = {"PartNumber": "partNumber", "UploadId": "uploadId"}
_OWN = frozenset({"Body", "Key", "Metadata", *_HEADERS, *_QUERY})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile("[ -~]*")


class Keys(Protocol):
    """Credentials as botocore freezes them."""

    access_key: str
    secret_key: str
    token: str | None


@attrs.frozen(kw_only=True)
class Writing:
    """What one writing of a request adds to its parameters."""

    size: int
    """Bytes of the body."""
    sha256: str
    """Of the body, hex."""
    date: str
    """`YYYYMMDDTHHMMSSZ`."""
    ask_first: bool = False
    """`Expect: 100-continue`."""


@attrs.frozen(kw_only=True)
class Shape:
    """One kind of PUT to one bucket."""

    host: str
    """The value of the header."""
    prefix: str
    """Of the path, before the key; encoded."""
    constant: Mapping[str, str]
    """Headers that do not differ, lower-case, all signed."""
    agent: str
    """The value of User-Agent, which is not signed."""
    hashed: bool
    """The signature covers the body."""
    region: str

    def write(self, parameters: Mapping[str, Any], how: Writing, keys: Keys, signer: Signer) -> bytes | None:
        """Everything before the body; None for values that only botocore can judge."""
        headers = own_headers(parameters)
        if headers is None:
            return None
        payload = how.sha256 if self.hashed else NO_HASH
        headers |= self.constant
        headers |= {"host": self.host, "x-amz-content-sha256": payload, "x-amz-date": how.date}
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        path, query = self.prefix + encoded_key(parameters), _query(parameters)
        ordered = sorted(headers.items())
        authorization = signer.sign(
            f"PUT\n{path}\n{query}",
            [(name, " ".join(value.split())) for name, value in ordered],
            payload=payload,
            date=how.date,
            scope=Scope(keys.access_key, how.date[:8], self.region),
            secret=keys.secret_key,
        )
        lines = [f"PUT {path}?{query} HTTP/1.1" if query else f"PUT {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in ordered]
        lines += [f"authorization: {authorization}", f"user-agent: {self.agent}", f"content-length: {how.size}"]
        if how.ask_first:
            lines.append("expect: 100-continue")
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def kind_of(operation: str, parameters: Mapping[str, Any]) -> tuple[object, ...]:
    """Equal for requests that one shape writes."""
    constant = [(name, repr(value)) for name, value in parameters.items() if name not in _OWN]
    return operation, *sorted(parameters), *sorted(constant)


def own_headers(parameters: Mapping[str, Any]) -> dict[str, str] | None:
    """The headers of one request, by what differs; None for values that no header can hold as they are."""
    headers = {header: parameters[name] for name, header in _HEADERS.items() if name in parameters}
    for name, value in parameters.get("Metadata", {}).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            return None
        headers[f"x-amz-meta-{name.lower()}"] = value
    if all(isinstance(value, str) and _VALUE.fullmatch(value) for value in headers.values()):
        return headers
    return None


def encoded_key(parameters: Mapping[str, Any]) -> str:
    """As in the path of a URL."""
    return quote(parameters["Key"], safe="/~")


def _query(parameters: Mapping[str, Any]) -> str:
    return "&".join(
        f"{query}={quote(str(parameters[name]), safe='~')}" for name, query in _QUERY.items() if name in parameters
    )
