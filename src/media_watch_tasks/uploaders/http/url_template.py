"""UrlTemplate: the URL that a file goes to. Names are quoted, so that none leads anywhere else."""

from __future__ import annotations

import os
from urllib.parse import quote, urlsplit

from media_watch_tasks.errors import ConfigurationError, PermanentError
from media_watch_tasks.http.origins import origin_of, shown, split_url
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.uploaders.fields import parse_template

__all__ = ["UrlTemplate"]


class UrlTemplate:
    """A template such as `https://media.example.org/{path}`; the fields are those of `PathTemplate`.

    The literal parts are taken as they are, already quoted. What a field holds is percent-encoded; a slash in `{path}`
    stays one. Names that are no UTF-8 are sent as their bytes. User info is taken off, and kept apart.

    Raises:
        ConfigurationError: it is no http or https URL, a field stands in its host, or there is no such field.
    """

    def __init__(self, template: str) -> None:
        # The text of a template may hold a secret in its query or user info: it is shown without them.
        origin_of(template)
        parts = urlsplit(template)
        if "{" in parts.netloc or "}" in parts.netloc:
            raise ConfigurationError("a URL template must not have a field in its host")
        self.url = template
        """As given, for the session: with the user info."""
        self.text = split_url(template).url
        self.shown = shown(template)
        """Without user info and query string."""
        if "#" in self.text:
            raise ConfigurationError(f"the URL template {self.shown} must not have a fragment; quote # as %23")
        path, _, query = self.text.partition("?")
        self._path = parse_template(path)
        self._query = parse_template(query)
        self._has_query = bool(query)
        self.fixed_query = query if all(isinstance(part, str) for part in self._query) else ""
        """The query string, where it is the same for every file."""
        first = self._path[0]
        self.base = first[: first.rindex("/") + 1] if isinstance(first, str) else ""
        """The URL of the folder that all files have in common."""

    @property
    def names_files(self) -> bool:
        """True if the URL differs from file to file."""
        return any(not isinstance(part, str) for part in (*self._path, *self._query))

    def render(self, asset: MediaAsset, key: str) -> str:
        """The URL for this version of the asset.

        Raises:
            PermanentError: the asset's name would lead out of the destination.
        """
        values = [part if isinstance(part, str) else os.fsencode(part(asset, key)) for part in self._path]
        if any(name in {b".", b".."} for value in values if isinstance(value, bytes) for name in value.split(b"/")):
            raise PermanentError(f"{asset.display}: a name '.' or '..' would lead out of the destination")
        url = "".join(value if isinstance(value, str) else quote(value, safe="/") for value in values)
        if self._has_query:
            texts = (part if isinstance(part, str) else quote(part(asset, key), safe="") for part in self._query)
            url += "?" + "".join(texts)
        return url
