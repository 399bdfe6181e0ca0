"""Digests in headers: what is said about the bytes sent, and what a server says about those it has."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

__all__ = ["digest_headers", "stored_sha256"]

# RFC 9530; RFC 3230 before it; ownCloud and Nextcloud; Artifactory and others.
_FIELDS = (
    ("repr-digest", re.compile(r"(?i)(?:^|[\s,])sha-256=:([A-Za-z0-9+/=]+):")),
    ("digest", re.compile(r"(?i)(?:^|[\s,])sha-256=([A-Za-z0-9+/=]+)")),
    ("oc-checksum", re.compile(r"(?i)(?:^|\s)SHA256:([0-9a-f]{64})(?:\s|$)")),
    ("x-checksum-sha256", re.compile(r"(?i)^\s*([0-9a-f]{64})\s*$")),
)
_HEX = 64


def digest_headers(sha256: str) -> dict[str, str]:
    """`Repr-Digest` and `Content-Digest` (RFC 9530) for a body that is the file itself."""
    value = f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode('ascii')}:"
    return {"Repr-Digest": value, "Content-Digest": value}


def stored_sha256(headers: Mapping[str, str]) -> str | None:
    """The SHA-256, hex, that a server names for what it has stored; None where it names none.

    `Content-Digest` is left alone: in an answer it is about the answer's own body.
    """
    for name, pattern in _FIELDS:
        match = pattern.search(headers.get(name, ""))
        if match is not None:
            return _hex(match[1])
    return None


def _hex(text: str) -> str | None:
    if len(text) == _HEX:
        return text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) * 2 == _HEX else None
