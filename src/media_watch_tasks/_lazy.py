"""Public names of a package that are loaded when they are first asked for (PEP 562).

A package that names the classes of many rooms would load all of them with the first module that is taken out of it.
Type checkers and editors do not see this: they read the imports that stand beside it under `TYPE_CHECKING`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType

__all__ = ["lazy_names"]


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:  # fmt: skip
    """`__getattr__` and `__dir__` for the package, given the module (below `media_watch_tasks`) of each name.

    A name that was loaded stays in the package, so that only the first look at it comes here. The modules of the
    package are there too, as they would be if one of them were loaded with it.
    """
    namespace = vars(sys.modules[package])

    def load(name: str) -> object:
        home = homes.get(name)
        if home is None:
            return _module_below(package, name)
        value = namespace[name] = getattr(import_module(f"media_watch_tasks.{home}"), name)
        return value

    return load, lambda: sorted(namespace.keys() | homes.keys())


def _module_below(package: str, name: str) -> ModuleType:
    wanted = f"{package}.{name}"
    if not name.startswith("_"):
        try:
            return import_module(wanted)
        except ModuleNotFoundError as error:
            if error.name != wanted:
                raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
