"""The fields of target templates: what of an asset may stand in a path, a URL or an object key."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

from media_watch_tasks.clock import from_ns
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import within_int64

__all__ = ["Field", "parse_template"]

Field = Callable[[MediaAsset, str], bytes]
"""Gives the bytes of a field, for an asset and its key."""


def _modified(asset: MediaAsset) -> datetime:
    return from_ns(within_int64(asset.mtime_ns)).astimezone(UTC)


_FIELDS: dict[str, Field] = {
    "path": lambda asset, _: asset.asset_id,
    "name": lambda asset, _: asset.name,
    "stem": lambda asset, _: os.path.splitext(asset.name)[0],
    "ext": lambda asset, _: os.path.splitext(asset.name)[1],
    "year": lambda asset, _: b"%04d" % _modified(asset).year,
    "month": lambda asset, _: b"%02d" % _modified(asset).month,
    "day": lambda asset, _: b"%02d" % _modified(asset).day,
    # A source id holds slashes and colons; escaped it is one harmless name, and two ids never become the same one.
    "source": lambda asset, _: quote(asset.source_id.encode("utf-8", "surrogateescape"), safe="").encode("ascii"),
    "key": lambda _, key: key.encode("ascii"),
}
_KEY_PREFIX = re.compile(r"key([1-9][0-9]?)")


def parse_template(template: str) -> list[str | Field]:
    """The literal texts and the fields of a template, in order.

    Fields: `{path}` the path at the source, `{name}` its last part, `{stem}` and `{ext}` the name without and of its
    extension (with the dot), `{year}` `{month}` `{day}` of the modification time in UTC, `{source}` the source id
    (percent-encoded), `{key}` the idempotency key, `{key2}`, `{key4}` … its first digits. `{{` and `}}` are braces.

    Raises:
        ConfigurationError: an unknown field, a format, or a brace without its partner.
    """
    parts: list[str | Field] = []
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"the path template {template!r} cannot be read: {error}") from error
    for literal, field, spec, conversion in parsed:
        if literal:
            parts.append(literal)
        if field is None:
            continue
        if spec or conversion:
            raise ConfigurationError(f"the path template {template!r}: a field takes no format or conversion")
        parts.append(_field(field, template))
    return parts


def _field(name: str, template: str) -> Field:
    if name in _FIELDS:
        return _FIELDS[name]
    match = _KEY_PREFIX.fullmatch(name)
    if match is not None and int(match[1]) <= 64:  # noqa: PLR2004 - a key has 64 hex digits
        length = int(match[1])
        return lambda _, key: key[:length].encode("ascii")
    known = ", ".join(f"{{{field}}}" for field in _FIELDS)
    raise ConfigurationError(
        f"the path template {template!r} has the unknown field {{{name}}}; there are {known}, and {{key2}}, {{key4}} …"
        " for the first digits of the key"
    )
