"""ObjectKey: under which key of the bucket a file goes."""

from __future__ import annotations

import re

from media_watch_tasks.errors import PermanentError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.uploaders.directory.template import PathTemplate

__all__ = ["ObjectKeys"]

_LONGEST = 1_024
"""Bytes of UTF-8: S3's limit."""
_STRAY = re.compile("[\udc80-\udcff]")


class ObjectKeys:
    """Renders a template such as `camera-1/{year}/{name}`; the fields are those of `PathTemplate`.

    A key is text: a byte of a name that is not UTF-8 becomes `%XX`.

    Raises:
        ConfigurationError: as `PathTemplate`.
    """

    def __init__(self, template: str) -> None:
        self._template = PathTemplate(template)
        self.text = template
        self.by_key = "{key}" in template

    def render(self, asset: MediaAsset, key: str) -> str:
        """The object key of this version of the asset.

        Raises:
            PermanentError: the path is none that stays below the template, or is longer than S3 allows.
        """
        path = b"/".join(self._template.render(asset, key))
        text = _STRAY.sub(lambda stray: f"%{ord(stray[0]) - 0xDC00:02X}", path.decode("utf-8", "surrogateescape"))
        if len(text.encode("utf-8")) > _LONGEST:
            raise PermanentError(f"{asset.display}: its object key would be longer than the {_LONGEST} bytes of S3")
        return text
