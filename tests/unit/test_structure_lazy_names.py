"""Packages whose names are loaded when they are asked for show them to type checkers and to programs alike."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "media_watch_tasks"
# Those that are loaded on the way to a module of a program that needs but one of their names.
LAZY = ("", "abc", "http", "local", "scanning", "schedulers", "uploaders", "uploaders.wrappers")
WITHOUT_NAMES = ("model", "stores")


def _name(package: str) -> str:
    return f"{PACKAGE}.{package}".rstrip(".")


def _tree(package: str) -> ast.Module:
    path = ROOT / "src" / _name(package).replace(".", "/") / "__init__.py"
    return ast.parse(path.read_text(encoding="utf-8"))


def _seen_by_type_checkers(tree: ast.Module) -> dict[str, str]:
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: (node.module or "").removeprefix(f"{PACKAGE}.")
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _loaded_when_asked_for(tree: ast.Module) -> dict[str, str]:
    (table,) = (node for node in ast.walk(tree) if isinstance(node, ast.Dict))
    homes: dict[str, str] = ast.literal_eval(table)
    return homes


def _run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_package_that_loads_names_late_is_named_here() -> None:
    package = ROOT / "src" / PACKAGE
    using = {
        ".".join(path.parent.relative_to(package).parts)
        for path in package.rglob("__init__.py")
        if "lazy_names" in path.read_text(encoding="utf-8")
    }
    assert using == {*LAZY, *WITHOUT_NAMES}


@pytest.mark.parametrize("package", LAZY)
def test_type_checkers_and_programs_find_the_same_names_in_the_same_modules(package: str) -> None:
    tree = _tree(package)
    assert _loaded_when_asked_for(tree) == _seen_by_type_checkers(tree)
    module = importlib.import_module(_name(package))
    assert set(module.__all__) == set(_loaded_when_asked_for(tree))
    assert set(dir(module)) >= {*module.__all__, "__name__", "__all__"}
    for name, home in _loaded_when_asked_for(tree).items():
        assert getattr(module, name) is getattr(importlib.import_module(f"{PACKAGE}.{home}"), name)


@pytest.mark.parametrize("package", LAZY)
def test_the_package_alone_loads_none_of_its_names(package: str) -> None:
    before = "import json, sys, importlib\nimport typing, collections.abc\n"
    loaded = json.loads(
        _run(f"{before}importlib.import_module({_name(package)!r})\nprint(json.dumps(sorted(sys.modules)))")
    )
    above = {PACKAGE, f"{PACKAGE}._lazy"}
    for part in package.split(".") if package else ():
        above.add(f"{max(above - {f'{PACKAGE}._lazy'}, key=len)}.{part}")
    assert {name for name in loaded if name.startswith(PACKAGE)} == above


def test_all_names_come_with_a_star() -> None:
    _run(f"from {PACKAGE} import *\nassert TaskManager.__name__ == 'TaskManager' and PostgresStores and Uploader")


def test_a_loaded_name_stays() -> None:
    _run(f"import {PACKAGE} as it\nfirst = it.Uploader\nassert vars(it)['Uploader'] is first is it.Uploader")


@pytest.mark.parametrize(
    "path", ["errors.Snooze", "cancellation.CancelToken", "uploaders.directory", "model.tasks.Task"]
)
def test_modules_are_reached_through_the_package(path: str) -> None:
    _run(f"import {PACKAGE}\nassert {PACKAGE}.{path}")


@pytest.mark.parametrize("package", LAZY)
@pytest.mark.parametrize("name", ["missing", "_missing", "__missing__"])
def test_a_name_that_is_not_there_is_no_attribute(package: str, name: str) -> None:
    module = importlib.import_module(_name(package))
    with pytest.raises(AttributeError, match=f"module '{_name(package)}' has no attribute '{name}'") as raised:
        getattr(module, name)
    assert (raised.value.name, raised.value.obj) == (name, module)
    assert not hasattr(module, name)


def test_an_import_that_fails_inside_of_a_module_is_not_hidden() -> None:
    _run(
        f"""
import sys, {PACKAGE}
sys.modules["attrs"] = None
try:
    {PACKAGE}.model.tasks
except ModuleNotFoundError as error:
    assert error.name == "attrs", error
else:
    raise SystemExit("no error")
"""
    )
