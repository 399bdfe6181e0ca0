"""The one place where PyAV is imported."""

from __future__ import annotations

from media_watch_tasks.errors import MissingDependencyError

try:
    import av
    import av.error
except ImportError as error:
    raise MissingDependencyError("AvProber", package="av", extra="probe") from error

__all__ = ["av"]
