"""Signature Version 4 of a request whose parts are known and encoded already.

Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

import attrs

__all__ = ["Scope", "Signer"]


@attrs.frozen
class Scope:
    """What a signature holds for."""

    access_key: str
    day: str
    """`YYYYMMDD` in UTC."""
    region: str

    def __str__(self) -> str:
        return f"{self.day}/{self.region}/s3/aws4_request"


class Signer:
    """Signs; the key that is made from a secret for a day is made once. Thread-safe."""

    def __init__(self) -> None:
        self._last: tuple[str, Scope, bytes] | None = None

    def sign(
        self, request: str, headers: Iterable[tuple[str, str]], *, payload: str, date: str, scope: Scope, secret: str
    ) -> str:
        """The value of the header Authorization.

        Args:
            request: method, path and sorted query as they are sent, a line each.
            headers: those to be signed, lower-case and sorted, values without surplus spaces.
            payload: the value of x-amz-content-sha256.
            date: the value of x-amz-date, `YYYYMMDDTHHMMSSZ`.
            scope: whose key, which day, which region.
            secret: the key itself.
        """
        lines, names = [request], []
        for name, value in headers:
            lines.append(f"{name}:{value}")
            names.append(name)
        signed = ";".join(names)
        lines += ["", signed, payload]
        canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}"
        signature = hmac.digest(self._key(secret, scope), text.encode(), "sha256").hex()
        return f"AWS4-HMAC-SHA256 Credential={scope.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"

    def _key(self, secret: str, scope: Scope) -> bytes:
        last = self._last
        if last is not None and last[:2] == (secret, scope):
            return last[2]
        key = b"AWS4" + secret.encode()
        for part in str(scope).split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._last = (secret, scope, key)
        return key
