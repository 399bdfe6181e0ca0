"""The pages name what is there: members of classes, and a page of the reference for every module that users import."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from media_watch_tasks import errors
from media_watch_tasks.model.tasks import TaskState, WaitReason

ROOT = Path(__file__).parents[2]
PACKAGE = "media_watch_tasks"

_MEMBER = re.compile(r"`([A-Z]\w+)\.(\w+)\b[^`]*`")
_FENCED = re.compile(r"^\s*(```+).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)
_AUTOMODULE = re.compile(r"^\.\. automodule:: ([\w.]+)", re.MULTILINE)


def _public_modules() -> list[str]:
    names = []
    for path in sorted((ROOT / "src" / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            names.append(name)
    return names


def _listed(module: str) -> list[str]:
    path = ROOT / "src" / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _classes() -> dict[str, list[type]]:
    classes: dict[str, list[type]] = {}
    for module in _public_modules():
        if module.startswith(f"{PACKAGE}.testing."):
            continue  # what users need of it, `testing` itself exports
        imported = importlib.import_module(module)
        for name in _listed(module):
            if inspect.isclass(found := getattr(imported, name)):
                classes.setdefault(name, []).append(found)
    return classes


def _has(owner: type, member: str) -> bool:
    return hasattr(owner, member) or (attrs.has(owner) and member in attrs.fields_dict(owner))


def unknown_members(page: str, text: str, classes: Mapping[str, list[type]]) -> Iterator[str]:
    """`Class.member` where the class is one of the library and has no such member."""
    for line in _FENCED.sub("", text).splitlines():
        # In the tables of names the first column is in the words of another program.
        ours = line.split("|", maxsplit=2)[2] if page.endswith("dart-names.md") and line.startswith("|") else line
        for name, member in _MEMBER.findall(ours):
            if name in classes and not any(_has(owner, member) for owner in classes[name]):
                yield f"{page}: {name} has no {member}"


def _pages() -> dict[str, str]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_named_members_exist() -> None:
    classes = _classes()
    assert "TaskManager" in classes
    findings = [finding for page, text in _pages().items() for finding in unknown_members(page, text, classes)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(
    ("page", "text", "found"),
    [
        ("README.md", "`TaskManager.proceed()` does it", True),
        ("README.md", "`TaskManager.process()` does it, `MediaAsset.mtime_ns` too", False),
        ("README.md", "`Foreign.member`", False),
        ("docs/reference/dart-names.md", "| `TaskStore.markSuccess` | `TaskStore.settle` |", False),
        ("docs/reference/dart-names.md", "| `TaskStore.markSuccess` | `TaskStore.settled` |", True),
    ],
)
def test_a_planted_member_is_found(page: str, text: str, *, found: bool) -> None:
    assert bool(list(unknown_members(page, text, _classes()))) is found


def test_the_page_of_the_state_machine_names_every_state_and_error() -> None:
    page = (ROOT / "docs/explanation/state-machine.md").read_text(encoding="utf-8")
    # What is raised to the application itself is no outcome of a task.
    to_the_application = {"BaselineRequiredError", "MediaWatchError", "MissingDependencyError", "OperationCancelled"}
    raised = {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))}
    raised -= to_the_application | {"SchemaTooNewError", "StoreError"}
    named = {str(state) for state in (*TaskState, *WaitReason)} | raised
    assert {name for name in named if f"`{name}" not in page} == set()


def test_every_exported_name_has_its_page_in_the_reference() -> None:
    """A name that `media_watch_tasks` or one of its packages exports is documented, wherever it is defined."""
    documented = {module for text in _pages().values() for module in _AUTOMODULE.findall(text)}
    on_a_page = {
        id(getattr(importlib.import_module(module), name)) for module in documented for name in _listed(module)
    }
    missing = set()
    for package in (PACKAGE, *(name for name in _public_modules() if name.count(".") == 1)):
        exports = importlib.import_module(package)
        for name in _listed(package):
            exported = getattr(exports, name)
            # A constant does not know where it was defined: it goes with the classes beside it.
            defined = getattr(exported, "__module__", "")
            if defined.startswith(PACKAGE) and id(exported) not in on_a_page:
                missing.add(defined)
    assert not missing, f"no page in docs/reference has an automodule for {sorted(missing)}"


def test_the_reference_names_modules_that_exist() -> None:
    documented = [module for text in _pages().values() for module in _AUTOMODULE.findall(text)]
    assert set(documented) <= set(_public_modules())
    assert len(documented) == len(set(documented)), "a module is documented twice"
