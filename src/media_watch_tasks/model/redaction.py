"""Keeps secrets out of the database, log lines, events and exception texts."""

from __future__ import annotations

import re

__all__ = ["redact", "without_url_secrets"]

_MASK = "***"
# Compiled at their first use: most programs start, and most end, without an error to tell.
_URL = r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/?#'\"<>@]*@)?(?P<rest>[^\s?#'\"<>]*)(?:[?#][^\s'\"<>]*)?"
_ASSIGNMENT = (
    r"(?i)\b(?P<name>authorization|proxy-authorization|x-api-key|api[_-]?key|access[_-]?key|secret[\w-]*|token|password"
    r"|passwd|pwd|signature|x-amz-[\w-]*(?:signature|credential|token)|cookie|set-cookie)"
    r"(?P<link>['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic|digest)\s+)?[^\s'\",;&}]+"
)
_BEARER = r"(?i)\b(?P<scheme>bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
_LONGEST = 2_000


def without_url_secrets(text: str) -> str:
    """The text with user info, query string and fragment cut off every URL in it."""
    return re.sub(_URL, lambda match: match["scheme"] + match["rest"], text) if "://" in text else text


def redact(text: str) -> str:
    """A message that can be stored and shown: URL secrets, credentials and tokens masked, cut to 2,000 characters."""
    text = without_url_secrets(text)
    text = re.sub(_ASSIGNMENT, lambda match: match["name"] + match["link"] + _MASK, text)
    text = re.sub(_BEARER, lambda match: f"{match['scheme']} {_MASK}", text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
