"""Ids of documents: deterministic, one for each asset or folder, and within what Firestore allows in an id."""

from __future__ import annotations

import hashlib
import re

from media_watch_tasks.model.identity import display_text

__all__ = ["asset_document_id", "folder_of_id", "folder_to_id", "source_name"]

_DOMAIN = b"mwtd1"
_DIGITS = 40
_RESERVED = re.compile(r"__.*__", re.DOTALL)
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")


def asset_document_id(source_id: str, asset_id: bytes) -> str:
    """40 hex digits of SHA-256 over `mwtd1`, source and asset id, the latter two preceded by their 8-byte length.

    Hashes spread the documents evenly: ids in the order of time would all be written at one end of an index.
    """
    digest = hashlib.sha256(_DOMAIN)
    for part in (source_id.encode("utf-8", "surrogatepass"), asset_id):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:_DIGITS]


def folder_to_id(name: bytes) -> str:
    """A readable document id for the name of a folder: no two names share one, and `folder_of_id` turns it back.

    Per cent signs, slashes and bytes that are no UTF-8 are written as `%XX`, as is the first byte of names that
    Firestore reserves (`.`, `..`, `__x__`).
    """
    parts: list[str] = []
    for character in name.decode("utf-8", "surrogateescape"):
        if character in "%/\0" or "\udc80" <= character <= "\udcff":
            parts += (f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
        else:
            parts.append(character)
    text = "".join(parts)
    if text in {".", ".."} or _RESERVED.fullmatch(text):
        return f"%{ord(text[0]):02X}{text[1:]}"
    return text


def folder_of_id(document_id: str) -> bytes:
    """The name that `folder_to_id` was given."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), document_id.encode("utf-8"))


def source_name(source_id: str) -> str:
    """The source as documents name it: its id, or where that is no text, one like it with a hash behind it."""
    try:
        source_id.encode("utf-8")
    except UnicodeEncodeError:
        exact = source_id.encode("utf-8", "surrogatepass")
        return f"{display_text(exact)}#{hashlib.sha256(exact).hexdigest()[:12]}"
    return source_id
