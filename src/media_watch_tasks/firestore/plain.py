"""Values as a document can hold them, whatever a file or a prober came up with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.uploads import UploadReceipt

__all__ = ["clean_text", "plain_metadata", "plain_receipt"]

_INT64 = range(-(2**63), 2**63)
_LONGEST_KEY = 1_500


def clean_text(text: str | bytes) -> str:
    r"""A text that can be stored: stray bytes, lone surrogates and control characters of paths show as `\x..`."""
    if isinstance(text, bytes):
        return display_text(text)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain_metadata(metadata: MediaMetadata) -> dict[str, Any]:
    """All fields that are known, as in `MediaMetadata.to_json`, as a map that Firestore takes."""
    return _plain_fields(metadata)


def plain_receipt(receipt: UploadReceipt) -> dict[str, Any]:
    """What is known of the delivery, under the names of `UploadReceipt`."""
    return _plain_fields(receipt)


def _plain_fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any attrs value
    found = {}
    for field in attrs.fields(type(value)):
        part = getattr(value, field.name)
        if part is not None and (part or not isinstance(part, (tuple, Mapping))):
            found[field.name] = _plain(part)
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401 - walks any tree of values
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value in _INT64 else float(value)
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {_key(name): _plain(item) for name, item in value.items()}
    return _plain_fields(value)


def _key(name: str) -> str:
    """A key of a map: not empty, not reserved, not too long."""
    key = clean_text(name)
    while len(key.encode("utf-8")) > _LONGEST_KEY:
        key = key[: _LONGEST_KEY // 4]
    if not key or (key.startswith("__") and key.endswith("__")):
        return f"%{key}"
    return key
