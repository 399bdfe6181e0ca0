"""PathTemplate: where below the destination a file goes. Names are bytes from end to end."""

from __future__ import annotations

import os

from media_watch_tasks.errors import ConfigurationError, PermanentError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.uploaders.directory.temporary import is_temporary
from media_watch_tasks.uploaders.fields import parse_template

__all__ = ["PathTemplate", "TargetPath", "components_of"]

TargetPath = tuple[bytes, ...]
"""Folders and, last, the file's name: none of them empty, `.`, `..`, or with a slash or NUL in it."""


class PathTemplate:
    """A template such as `{year}/{month}/{name}`, rendered to a path that cannot leave the destination.

    Fields: `{path}` the path at the source, `{name}` its last part, `{stem}` and `{ext}` the name without and of its
    extension (with the dot), `{year}` `{month}` `{day}` of the modification time in UTC, `{source}` the source id
    (percent-encoded), `{key}` the idempotency key, `{key2}`, `{key4}` … its first digits. `{{` and `}}` are braces.

    Raises:
        ConfigurationError: a template that is absolute, has empty parts or `..`, or an unknown field.
    """

    def __init__(self, template: str) -> None:
        self.text = template
        self._parts = [os.fsencode(part) if isinstance(part, str) else part for part in parse_template(template)]
        # A stand-in for every field shows what is wrong with the literal parts.
        sample = b"".join(part if isinstance(part, bytes) else b"x" for part in self._parts)
        if components_of(sample) is None:
            raise ConfigurationError(
                f"the path template {template!r} must give a relative path without empty parts, '.' or '..'"
            )

    def render(self, asset: MediaAsset, key: str) -> TargetPath:
        """The path for this version of the asset.

        Raises:
            PermanentError: the asset's name gives a path that leaves the destination, or is not a path at all.
        """
        path = b"".join(part if isinstance(part, bytes) else part(asset, key) for part in self._parts)
        components = components_of(path)
        if components is None:
            raise PermanentError(
                f"{asset.display}: the target path would be empty, absolute, or hold '.', '..' or NUL; nothing is"
                " written outside of the destination"
            )
        if is_temporary(components[-1]):
            raise PermanentError(f"{asset.display}: its name is one that unfinished copies have here, and are swept by")
        return components


def components_of(path: bytes) -> TargetPath | None:
    """The parts of a relative path; None if it is not one that stays below its root."""
    parts = tuple(path.split(b"/"))
    if b"\0" in path or any(part in {b"", b".", b".."} for part in parts):
        return None
    return parts
