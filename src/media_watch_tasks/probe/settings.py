"""How a file is read: the part of a prober's options that a worker process is told."""

from __future__ import annotations

from typing import Any

import attrs

from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.probe.range_reader import ReadPolicy

__all__ = ["AnalysisSettings", "settings_from", "settings_to", "wants_tail"]


@attrs.frozen(kw_only=True)
class AnalysisSettings:
    """How a file is read."""

    policy: ReadPolicy = attrs.field(factory=ReadPolicy)
    overlay: bool = True
    """Read mp4 and mov files by their index alone where that says everything."""
    whole_file: int = 0
    """A file of at most so many bytes is read to its end where duration is unknown or estimated; 0: never."""
    pillow: bool = False
    """Ask Pillow about stills that no header reader knows."""


def settings_to(settings: AnalysisSettings) -> dict[str, Any]:
    """The settings as JSON values."""
    return attrs.asdict(settings)


def settings_from(values: dict[str, Any]) -> AnalysisSettings:
    """The settings that `settings_to` wrote."""
    return AnalysisSettings(**{**values, "policy": ReadPolicy(**values["policy"])})


def wants_tail(name: str) -> bool:
    """False for a name that promises a still: all that describes one stands at its start."""
    return kind_of(name.encode("utf-8", "replace")) is not MediaKind.IMAGE
