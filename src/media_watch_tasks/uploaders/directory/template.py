"""PathTemplate: where below the destination a file goes. Names are bytes from end to end."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import attrs

from media_watch_tasks.clock import from_ns
from media_watch_tasks.errors import ConfigurationError, PermanentError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import within_int64
from media_watch_tasks.uploaders.directory.temporary import is_temporary

__all__ = ["PathTemplate", "TargetPath", "components_of"]

TargetPath = tuple[bytes, ...]
"""Folders and, last, the file's name: none of them empty, `.`, `..`, or with a slash or NUL in it."""


@attrs.frozen
class _Values:
    asset: MediaAsset
    key: str


def _stem_and_extension(name: bytes) -> tuple[bytes, bytes]:
    stem, extension = os.path.splitext(name)
    return stem, extension


def _modified(values: _Values) -> datetime:
    return from_ns(within_int64(values.asset.mtime_ns)).astimezone(UTC)


_FIELDS: dict[str, Callable[[_Values], bytes]] = {
    "path": lambda values: values.asset.asset_id,
    "name": lambda values: values.asset.name,
    "stem": lambda values: _stem_and_extension(values.asset.name)[0],
    "ext": lambda values: _stem_and_extension(values.asset.name)[1],
    "year": lambda values: b"%04d" % _modified(values).year,
    "month": lambda values: b"%02d" % _modified(values).month,
    "day": lambda values: b"%02d" % _modified(values).day,
    # A source id holds slashes and colons; escaped it is one harmless name, and two ids never become the same one.
    "source": lambda values: quote(values.asset.source_id.encode("utf-8", "surrogateescape"), safe="").encode("ascii"),
    "key": lambda values: values.key.encode("ascii"),
}
_KEY_PREFIX = re.compile(r"key([1-9][0-9]?)")


def _field(name: str, template: str) -> Callable[[_Values], bytes]:
    if name in _FIELDS:
        return _FIELDS[name]
    match = _KEY_PREFIX.fullmatch(name)
    if match is not None and int(match[1]) <= 64:  # noqa: PLR2004 - a key has 64 hex digits
        length = int(match[1])
        return lambda values: values.key[:length].encode("ascii")
    known = ", ".join(f"{{{field}}}" for field in _FIELDS)
    raise ConfigurationError(
        f"the path template {template!r} has the unknown field {{{name}}}; there are {known}, and {{key2}}, {{key4}} …"
        " for the first digits of the key"
    )


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
        self._parts: list[bytes | Callable[[_Values], bytes]] = []
        try:
            parsed = list(string.Formatter().parse(template))
        except ValueError as error:
            raise ConfigurationError(f"the path template {template!r} cannot be read: {error}") from error
        for literal, field, spec, conversion in parsed:
            self._parts.append(os.fsencode(literal))
            if field is None:
                continue
            if spec or conversion:
                raise ConfigurationError(f"the path template {template!r}: a field takes no format or conversion")
            self._parts.append(_field(field, template))
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
        values = _Values(asset, key)
        path = b"".join(part if isinstance(part, bytes) else part(values) for part in self._parts)
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
