"""Answer: what a server said to one request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from media_watch_tasks.errors import TransientError
from media_watch_tasks.http.origins import absolute, shown

__all__ = ["Answer"]


@attrs.frozen(eq=False)
class Answer:
    """Status, headers and the beginning of the body. Its repr holds no header, no body, and no query string."""

    method: str
    url: str = attrs.field(repr=shown)
    """The URL that was asked, with its query string."""
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Names in lower case; values of a repeated header joined by a comma."""
    body: bytes = attrs.field(default=b"", repr=False)
    """At most 1 MiB."""
    truncated: bool = False
    """The body was longer."""

    def json(self) -> Any:  # noqa: ANN401 - whatever the server says
        """The body as JSON.

        Raises:
            TransientError: it is none; a proxy's error page with a good status is a passing trouble.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise TransientError(f"{self.method} {shown(self.url)}: the answer is not JSON") from None

    @property
    def location(self) -> str | None:
        """The absolute URL of the header `Location`, with its query string; None without one.

        Raises:
            ConfigurationError: the URL cannot be read.
        """
        reference = self.headers.get("location")
        return absolute(self.url, reference) if reference else None
