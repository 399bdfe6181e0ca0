"""What comes over a connection in answer to a request: the head of an answer, and how its body ends (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

__all__ = ["GarbledError", "Head", "Heard", "is_interim", "parse_head", "without_interim"]

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5]\d\d)(?: .*)?")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d ")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_END = re.compile(rb"\r?\n\r?\n")
_ENOUGH = 13
"""Bytes that tell whether an answer is an interim one: `HTTP/1.1 100 `."""
_MOST_HEADERS = 200
_WITHOUT_BODY = frozenset({204, 304})


class GarbledError(Exception):
    """What came is no answer of HTTP/1."""


@attrs.frozen
class Head:
    """Status and headers of an answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; values of a repeated header joined by a comma."""
    old: bool
    """HTTP/1.0: the connection ends with the answer."""

    @property
    def interim(self) -> bool:
        """The final answer is yet to come."""
        return self.status < 200  # noqa: PLR2004 - the class of interim statuses

    @property
    def chunked(self) -> bool:
        """The body says piece by piece how long it is."""
        coding = self.headers.get("transfer-encoding", "").lower()
        if coding not in {"", "chunked"}:
            raise GarbledError("its transfer encoding is unknown")
        return bool(coding)

    @property
    def length(self) -> int | None:
        """Bytes of a body that is not chunked; None: it ends with the connection."""
        if self.status in _WITHOUT_BODY or self.interim:
            return 0
        texts = {text.strip() for text in self.headers["content-length"].split(",")} if self._has_length else set()
        if not texts:
            return None
        (text,) = texts if len(texts) == 1 else ("two lengths",)
        if not _LENGTH.fullmatch(text):
            raise GarbledError("its length is no number")
        return int(text)

    @property
    def keeps(self) -> bool:
        """The connection may be used again."""
        if self.old or (self._has_length and "transfer-encoding" in self.headers):
            return False
        return "close" not in self.headers.get("connection", "").lower()

    @property
    def _has_length(self) -> bool:
        return "content-length" in self.headers


@attrs.frozen
class Heard:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """At most 1 MiB."""
    truncated: bool
    """The body was longer."""
    all_sent: bool
    """It came after everything was sent."""


def parse_head(data: bytes) -> tuple[Head, bytes] | None:
    """The head at the beginning of what came, and what follows it; None while it is not whole.

    Raises:
        GarbledError: it is no HTTP/1.
    """
    end = _END.search(data)
    if end is None:
        return None
    raw = data[: end.start()]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    first, *lines = text.replace("\r\n", "\n").split("\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise GarbledError("it is no HTTP/1")
    if len(lines) > _MOST_HEADERS:
        raise GarbledError("it has too many headers")
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in {" ", "\t"} and name:  # folded, as RFC 2616 had it
            headers[name] += f" {line.strip()}"
            continue
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise GarbledError("a header has no name")
        name = name.lower()
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(int(status[2]), headers, status[1] == "0"), data[end.end() :]


def without_interim(data: bytes) -> bytes:
    """What follows the whole interim answers (100 Continue, 103 Early Hints) at the beginning."""
    while _INTERIM.match(data) and (end := _END.search(data)) is not None:
        data = data[end.end() :]
    return data


def is_interim(data: bytes) -> bool:
    """True as long as nothing but an interim answer, or not enough to tell, is there."""
    return len(data) < _ENOUGH or _INTERIM.match(data) is not None
