"""The one place where PyAV is imported."""

from __future__ import annotations

import importlib
import pkgutil

try:
    import av
    import av.error
except ImportError as error:
    from media_watch_tasks.errors import MissingDependencyError

    raise MissingDependencyError("AvProber", package="av", extra="probe") from error

__all__ = ["av", "load_all"]

_LEFT_OUT = {"av.__main__", "av.datasets"}


def load_all() -> None:
    """Import every module of PyAV: some are imported late, when a worker can open no file any more."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in _LEFT_OUT:
            importlib.import_module(module.name)
