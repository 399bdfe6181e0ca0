"""What is kept of an unfinished upload: its URL, in the database as far as it holds no secret."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from media_watch_tasks.http.origins import shown

__all__ = ["UploadUrls"]

_MOST_IN_MEMORY = 1_000


class UploadUrls:
    """The URLs of unfinished uploads, by key. Thread-safe.

    Args:
        keep_query: True: the query string of a URL goes to the database too, for servers whose URLs need it.
    """

    def __init__(self, *, keep_query: bool) -> None:
        self._keep_query = keep_query
        self._lock = threading.Lock()
        self._in_memory: dict[str, str] = {}
        self._delivered: dict[str, str] = {}

    def state(self, key: str, url: str, size: int) -> dict[str, Any]:
        """What to save for the next attempt."""
        state: dict[str, Any] = {"key": key, "size": size}
        if shown(url) == url:
            return {**state, "url": url}
        if self._keep_query:
            # Apart from its URL, as URLs lose their query string on the way to the database.
            return {**state, "url": shown(url), "query": urlsplit(url).query}
        self._keep(self._in_memory, key, url)
        return {**state, "in_memory": True}

    def url(self, state: Mapping[str, Any] | None, key: str | None = None) -> str | None:
        """The URL that a saved state stands for; None if there is none, it is another key's, or it was forgotten."""
        if state is None or (key is not None and state.get("key") != key):
            return None
        url = state.get("url")
        if isinstance(url, str):
            query = state.get("query")
            return urlunsplit(urlsplit(url)._replace(query=query)) if isinstance(query, str) else url
        with self._lock:
            return self._in_memory.get(str(state.get("key")))

    def delivered(self, key: str) -> str | None:
        """The URL of an upload that this process has completed."""
        with self._lock:
            return self._delivered.get(key)

    def complete(self, key: str, url: str | None) -> None:
        """The upload has all its bytes: an answer that gets lost on its way up from here is made up for."""
        self.forget(key)
        if url is not None:
            self._keep(self._delivered, key, url)

    def forget(self, key: str) -> None:
        """The upload has ended."""
        with self._lock:
            self._in_memory.pop(key, None)

    def _keep(self, urls: dict[str, str], key: str, url: str) -> None:
        with self._lock:
            while len(urls) >= _MOST_IN_MEMORY:
                del urls[next(iter(urls))]
            urls[key] = url
