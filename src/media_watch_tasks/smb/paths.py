"""Asset ids and the paths that SMB messages carry."""

from __future__ import annotations

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model import identity

__all__ = ["clean", "is_asset_id", "to_share"]

_FORBIDDEN = (b"\\", b"\0")
_STEPS = frozenset({b"", b".", b".."})


def clean(path: str | bytes) -> bytes:
    r"""The asset id of a path that a program gave, with `/` or `\` between its parts; `b""` is the root.

    Raises `ConfigurationError` for `.`, `..` and NUL.
    """
    raw = path if isinstance(path, bytes) else identity.from_utf16_text(path)
    cleaned = raw.replace(b"\\", b"/").strip(b"/")
    if cleaned and (b"\0" in cleaned or not _STEPS.isdisjoint(cleaned.split(b"/"))):
        raise ConfigurationError(f"{identity.display_text(raw)!r} is no path within a share")
    return cleaned


def is_asset_id(asset_id: bytes) -> bool:
    """True if a scan of a share can have given it: it names folders and one file, and leads nowhere else."""
    return _STEPS.isdisjoint(asset_id.split(b"/")) and not any(mark in asset_id for mark in _FORBIDDEN)


def to_share(asset_id: bytes) -> str:
    r"""The path relative to the share, with backslashes, exactly as the server named it.

    Raises `ValueError` for an asset id that no SMB server can have named.
    """
    if any(mark in asset_id for mark in _FORBIDDEN):
        raise ValueError(f"{identity.display_text(asset_id)!r} cannot be a path of an SMB share")
    return identity.to_utf16_text(asset_id).replace("/", "\\")
