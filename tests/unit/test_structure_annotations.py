"""Annotations resolve at run time: for frameworks that build objects by them, and for whoever reads them."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import FunctionType

import attrs
import pytest

ROOT = Path(__file__).parents[2] / "src"
PACKAGE = "media_watch_tasks"


@attrs.frozen
class Late:
    """Why a class or function names in its annotations what its module has not imported, and where that is."""

    reason: str
    modules: tuple[str, ...]

    def names(self) -> dict[str, object]:
        names: dict[str, object] = {}
        for module in self.modules:
            names |= vars(importlib.import_module(module))
        return names


# They resolve with `typing.get_type_hints(…, localns=vars(module))`.
LATE: Mapping[str, Late] = {
    "cli.progress.delivery_progress": Late("its module can be imported without rich", (f"{PACKAGE}.cli._typer",)),
    "errors.AlreadyExists": Late("errors stand below what they carry", (f"{PACKAGE}.model.uploads",)),
    "errors.OperationCancelled": Late("errors stand below what they carry", (f"{PACKAGE}.cancellation",)),
    "manager.task_manager.TaskManager": Late(
        "its constructor loads events and reports; a program that makes none does not pay for them",
        (f"{PACKAGE}.model.reports", f"{PACKAGE}.manager.notifier"),
    ),
    "testing.contracts.task_store_machine.TaskStoreMachine": Late("Hypothesis imports late", ("collections",)),
    "uploaders.lazy_loop.LazyLoop": Late(
        "asyncio is loaded with the first coroutine", (f"{PACKAGE}.uploaders.private_loop",)
    ),
    "uploaders.wrappers.transform.Transform": Late("pathlib is loaded for the first file that is made", ("pathlib",)),
}


def _public_modules() -> list[str]:
    names = (
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / PACKAGE).rglob("*.py"))
    )
    return [name for name in names if not any(part.startswith("_") for part in name.split("."))]


def _annotated(owner: type | FunctionType) -> Iterator[type | FunctionType]:
    """A function; or a class with its constructor and its public methods."""
    yield owner
    for name, member in vars(owner).items() if isinstance(owner, type) else ():
        found = member
        if isinstance(member, property):
            found = member.fget
        elif isinstance(member, cached_property):
            found = member.func
        elif isinstance(member, classmethod | staticmethod):
            found = member.__func__
        if isinstance(found, FunctionType) and (name == "__init__" or not name.startswith("_")):
            yield found


def _defined(module: str) -> Iterator[tuple[str, type | FunctionType]]:
    imported = importlib.import_module(module)
    for name in getattr(imported, "__all__", ()):
        found = getattr(imported, name)
        if (inspect.isclass(found) or isinstance(found, FunctionType)) and found.__module__ == module:
            yield f"{module}.{name}".removeprefix(f"{PACKAGE}."), found


def unresolved(owner: type | FunctionType, names: dict[str, object] | None = None) -> list[str]:
    """What of a class or function has annotations that do not resolve, with the error."""
    findings = []
    for found in _annotated(owner):
        try:
            typing.get_type_hints(found, localns=names)
        except NameError as error:
            findings.append(f"{found.__qualname__}: {error}")
    return findings


@pytest.mark.parametrize("module", _public_modules())
def test_annotations_resolve_or_are_known_to_name_what_is_loaded_late(module: str) -> None:
    for name, owner in _defined(module):
        findings = unresolved(owner)
        late = LATE.get(name)
        if late is None:
            assert not findings, "\n".join(findings)
        else:
            assert findings, f"{name} resolves by now: drop it from LATE"
            assert not unresolved(owner, late.names()), name


def test_what_is_loaded_late_is_there() -> None:
    assert set(LATE) <= {name for module in _public_modules() for name, _ in _defined(module)}


def test_a_name_that_is_missing_is_found() -> None:
    class Planted:
        def method(self) -> Missing:  # type: ignore[name-defined]  # noqa: F821 - that is what is tested
            ...

        @property
        def shown(self) -> Missing:  # type: ignore[name-defined]  # noqa: F821 - as above
            ...

        @classmethod
        def made(cls, what: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821 - as above
            ...

    assert len(unresolved(Planted)) == 3
    assert unresolved(Planted, {"Missing": int}) == []
