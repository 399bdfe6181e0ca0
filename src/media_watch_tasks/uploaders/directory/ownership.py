"""Whose a delivered file is: a mark that travels with it, where the file system keeps extended attributes.

The mark proves two things that a name cannot: that this very asset was delivered there (also when the receipt was lost
in a crash), and that another asset counts on the same bytes, so that a newer version must not overwrite them.
"""

from __future__ import annotations

import hashlib
import os
from typing import Self

import attrs

from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.values import Value

__all__ = ["Mark", "owner_of"]

_SUPPORTED = hasattr(os, "setxattr")
_ATTRIBUTE = "user.mwt"
_VERSION = b"\x01"
_HASH_LENGTH = 32
# 16 bytes an owner: with the first one the attribute fits into an inode of 256 bytes (ext4), beside nothing else.
_OWNER_LENGTH = 16
_MOST_BYTES = 4_096


def owner_of(asset: MediaAsset) -> bytes:
    """16 bytes that stand for the asset: the start of SHA-256 over source id and asset id, each with its length."""
    digest = hashlib.sha256()
    for part in (asset.source_id.encode("utf-8", "surrogateescape"), asset.asset_id):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()[:_OWNER_LENGTH]


@attrs.frozen(eq=False, repr=False)
class Mark(Value):
    """The bytes that were delivered, and the assets that count on them."""

    sha256: str
    """Hex. A file whose bytes hash otherwise was changed by somebody else since."""
    owners: frozenset[bytes]

    @classmethod
    def read(cls, fd: int) -> Self | None:
        """The mark of an open file; None where it has none, or the file system keeps none."""
        if not _SUPPORTED:
            return None
        try:
            value = os.getxattr(fd, _ATTRIBUTE)
        except OSError:
            return None
        sha256, owners = value[1 : 1 + _HASH_LENGTH], value[1 + _HASH_LENGTH :]
        if not value.startswith(_VERSION) or len(sha256) != _HASH_LENGTH or len(owners) % _OWNER_LENGTH:
            return None
        cut = range(0, len(owners), _OWNER_LENGTH)
        return cls(sha256.hex(), frozenset(owners[at : at + _OWNER_LENGTH] for at in cut))

    def write(self, fd: int) -> bool:
        """Put the mark on an open file; False where that cannot be done: it is a help, never a condition."""
        value = _VERSION + bytes.fromhex(self.sha256) + b"".join(sorted(self.owners))
        if not _SUPPORTED or len(value) > _MOST_BYTES:
            return False
        try:
            os.setxattr(fd, _ATTRIBUTE, value)
        except OSError:
            return False
        return True
