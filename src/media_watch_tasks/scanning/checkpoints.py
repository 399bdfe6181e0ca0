"""Checkpoints: where a scan stands between two directories, as a text, and how a later scan goes on behind it."""

from __future__ import annotations

from enum import Enum
from urllib.parse import quote_from_bytes, unquote_to_bytes

import attrs

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model import identity
from media_watch_tasks.model.values import Value

__all__ = ["Position", "Resume", "decode_checkpoint", "encode_checkpoint"]

_PREFIX = "after:/"


def encode_checkpoint(directory: bytes) -> str:
    """The checkpoint behind a directory (`b""` is the root): printable ASCII whatever the bytes of the path."""
    return _PREFIX + quote_from_bytes(directory)


def decode_checkpoint(checkpoint: str) -> bytes:
    """The directory of a checkpoint. Raises `ConfigurationError` if the text is none."""
    if not isinstance(checkpoint, str) or not checkpoint.startswith(_PREFIX):
        raise ConfigurationError(f"this is no checkpoint of this scanner: {checkpoint!r}")
    directory = unquote_to_bytes(checkpoint.removeprefix(_PREFIX))
    components = directory.split(b"/") if directory else []
    if (
        encode_checkpoint(directory) != checkpoint
        or b"\0" in directory
        or not {b"", b".", b".."}.isdisjoint(components)
    ):
        raise ConfigurationError(f"this is no checkpoint of this scanner: {checkpoint!r}")
    return directory


class Position(Enum):
    """Where a directory stands, seen from a checkpoint."""

    BEHIND = "behind"
    """It and all below it were done before the checkpoint."""
    ON_THE_WAY = "on the way"
    """It was done; some of what is below it was not."""
    AHEAD = "ahead"
    """It comes after the checkpoint."""


@attrs.frozen(eq=False, repr=False)
class Resume(Value):
    """Tells what a scan that goes on behind a directory has to visit. The directory need not exist any more."""

    directory: bytes
    _key: bytes = attrs.field(init=False, repr=False, eq=False)

    @_key.default
    def _order_key(self) -> bytes:
        return identity.order_key(self.directory)

    @classmethod
    def from_checkpoint(cls, checkpoint: str) -> Resume:
        """Go on behind the directory of a checkpoint. Raises `ConfigurationError` if the text is none."""
        return cls(decode_checkpoint(checkpoint))

    def position(self, directory: bytes) -> Position:
        """Where a directory stands. Once one is `AHEAD`, all that follow it in the order of a scan are."""
        if identity.is_below(self.directory, directory):
            return Position.ON_THE_WAY
        return Position.AHEAD if identity.order_key(directory) > self._key else Position.BEHIND
