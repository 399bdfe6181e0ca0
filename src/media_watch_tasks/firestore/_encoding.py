"""Python values as Firestore's protobuf values, measured on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from media_watch_tasks.errors import PermanentError
from media_watch_tasks.firestore._google import Value, Write
from media_watch_tasks.firestore.limits import (
    DEEPEST_FIELD,
    LARGEST_DOCUMENT,
    LARGEST_VALUE,
    check_field_name,
    check_path,
    path_size,
)

__all__ = ["delete_write", "digest_of", "plain_fields", "set_write"]

_INT64 = range(-(2**63), 2**63)
_SCALAR = 8
_DOCUMENT = 32


def set_write(root: str, path: str, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a Write message
    """The write that puts a document there as a whole.

    Raises `PermanentError` if it passes one of Firestore's limits or holds what it cannot store.
    """
    check_path(path)
    write = Write()
    write.update.name = f"{root}/{path}"
    size = path_size(path) + _DOCUMENT + _fill(write.update.fields, fields, 0, path)
    if size > LARGEST_DOCUMENT:
        raise PermanentError(
            f"the document {path} has {size:,} bytes, and Firestore takes {LARGEST_DOCUMENT:,}: keep less in it "
            "(`fields` of the mapping)"
        )
    return write


def delete_write(root: str, path: str) -> Any:  # noqa: ANN401 - a Write message
    """The write that removes a document; one that is not there is no error."""
    check_path(path)
    return Write(delete=f"{root}/{path}")


def digest_of(fields: Any) -> str:  # noqa: ANN401 - the fields of a Document message
    """64 hex digits that tell contents apart: of the fields as they are sent, and as they come back."""
    digest = sha256()
    for name in sorted(fields):
        part = fields[name].SerializeToString(deterministic=True)
        for piece in (name.encode("utf-8"), part):
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
    return digest.hexdigest()


def plain_fields(fields: Any) -> dict[str, Any]:  # noqa: ANN401 - the fields of a Document message
    """Texts, numbers and bytes of a document's first level."""
    found = {}
    for name in fields:
        kind = fields[name].WhichOneof("value_type")
        if kind in {"string_value", "integer_value", "bytes_value", "boolean_value", "double_value"}:
            found[name] = getattr(fields[name], kind)
    return found


def _fill(target: Any, fields: Mapping[str, Any], depth: int, where: str) -> int:  # noqa: ANN401 - a map of Values
    size = 0
    for name, value in fields.items():
        size += check_field_name(name, where) + _set(target[name], value, depth, f"{where}: {name}")
    return size


def _set(target: Any, value: Any, depth: int, where: str) -> int:  # noqa: ANN401, C901, PLR0911, PLR0912 - one branch a type
    if isinstance(value, str):
        try:
            target.string_value = value
        except UnicodeEncodeError as error:
            raise PermanentError(f"{where} holds half of a surrogate pair, which is no text: {value[:50]!a}") from error
        size = len(value) if value.isascii() else len(value.encode("utf-8"))
        return _limited(size, where) + 1
    if isinstance(value, bool):
        target.boolean_value = value
        return 1
    if isinstance(value, int):
        if value not in _INT64:
            raise PermanentError(f"{where} is {value}, beyond the 64 bits of an integer: store it as text or float")
        target.integer_value = value
        return _SCALAR
    if value is None:
        target.null_value = 0
        return 1
    if isinstance(value, float):
        target.double_value = value
        return _SCALAR
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise PermanentError(f"{where} is a datetime without a time zone")
        target.timestamp_value.FromDatetime(value.astimezone(UTC).replace(tzinfo=None))
        return _SCALAR
    if isinstance(value, bytes):
        target.bytes_value = value
        return _limited(len(value), where)
    if depth == DEEPEST_FIELD:
        raise PermanentError(f"{where} is nested deeper than {DEEPEST_FIELD} levels")
    if isinstance(value, Mapping):
        target.map_value.SetInParent()
        return _fill(target.map_value.fields, value, depth + 1, where)
    if isinstance(value, Sequence | frozenset | set):
        return _set_list(target, value, depth, where)
    raise PermanentError(f"{where} is a {type(value).__name__}, which no document can hold")


def _set_list(target: Any, value: Any, depth: int, where: str) -> int:  # noqa: ANN401 - a Value, a sequence
    target.array_value.SetInParent()
    size = 0
    for item in sorted(value) if isinstance(value, frozenset | set) else value:
        if isinstance(item, Sequence | frozenset | set) and not isinstance(item, str | bytes):
            raise PermanentError(f"{where} is a list that holds a list, which Firestore does not store")
        part = Value()
        size += _set(part, item, depth + 1, where)
        target.array_value.values.append(part)
    return size


def _limited(size: int, where: str) -> int:
    if size > LARGEST_VALUE:
        raise PermanentError(f"{where} has {size:,} bytes, and Firestore takes {LARGEST_VALUE:,} in a field")
    return size
