"""The one place where PyAV is imported."""

from __future__ import annotations

try:
    import av
    import av.error
except ImportError as error:
    from media_watch_tasks.errors import MissingDependencyError

    raise MissingDependencyError("AvProber", package="av", extra="probe") from error

__all__ = ["av"]
