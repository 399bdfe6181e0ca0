"""Imports point one way, private things stay private, optional packages stay behind their extra.

The rules are checked on the syntax tree of every module of the package, so that a forbidden import is found even where
no test runs it. Each rule is shown to bite: `PLANTED` holds a module that breaks it.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "media_watch_tasks"

_GROUND = frozenset({"errors", "clock", "cancellation"})
_TO_MODEL = _GROUND | {"model"}
_TO_ABC = _TO_MODEL | {"abc"}
_TO_OPTIONS = _TO_ABC | {"options"}
_SHARED = frozenset({"scanning", "http"})
BACK_ENDS = frozenset(
    {"actions", "constraints", "firestore", "local", "probe", "schedulers", "smb", "spool", "stores", "uploaders"}
)
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "errors": frozenset(),
    "clock": frozenset({"errors"}),
    "cancellation": frozenset({"errors", "clock"}),
    "model": _GROUND,
    "abc": _TO_MODEL,
    "options": _TO_ABC,
    "manager": _TO_OPTIONS,
    "scanning": _TO_OPTIONS,
    "http": _TO_OPTIONS,
    "testing": _TO_OPTIONS | {"manager"},
    # The command line is an application: it puts the parts together as any user of the library does.
    "cli": _TO_OPTIONS | _SHARED | BACK_ENDS | {"manager", ""},
    # The package itself, which names what is public.
    "": _TO_OPTIONS | _SHARED | BACK_ENDS | {"manager"},
} | dict.fromkeys(BACK_ENDS, _TO_OPTIONS | _SHARED)

# An exception class names in its annotations what it carries; at run time it needs nothing of it.
ANNOTATIONS_ONLY = frozenset({("errors", "cancellation"), ("errors", "model")})

CORE_PACKAGES = frozenset({"attr", "attrs", "peewee", "tenacity", "typing_extensions"})
# extra -> (the rooms that may use it, the packages that it brings)
EXTRAS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "cli": (frozenset({"cli"}), frozenset({"rich", "typer"})),
    "firestore": (frozenset({"firestore"}), frozenset({"google", "grpc"})),
    "http": (frozenset({"http"}), frozenset({"httpcore2", "httpx2"})),
    "huey": (frozenset({"schedulers"}), frozenset({"huey", "redis"})),
    "photo": (frozenset({"probe"}), frozenset({"PIL", "pillow_heif"})),
    "postgres": (frozenset({"stores"}), frozenset({"psycopg", "psycopg_pool"})),
    "power": (frozenset({"constraints"}), frozenset({"psutil"})),
    "probe": (frozenset({"probe"}), frozenset({"av"})),
    "s3": (frozenset({"uploaders"}), frozenset({"boto3", "botocore"})),
    "smb": (frozenset({"smb"}), frozenset({"cryptography", "smbclient", "smbprotocol", "spnego"})),
    "smb-kerberos": (frozenset({"smb"}), frozenset({"gssapi", "krb5"})),
}
# Whoever runs a contract suite has pytest, and Hypothesis for the state machine: they are imported where the suites
# are, and nowhere else.
SUITES_MAY_IMPORT = frozenset({"_pytest", "hypothesis", "pytest"})


@attrs.frozen
class Import:
    """One imported module (`name` None) or one name imported from it."""

    importer: str
    module: str
    name: str | None
    line: int
    late: bool
    typing_only: bool

    @property
    def place(self) -> str:
        return f"{self.importer}:{self.line}"

    @property
    def full(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _called_import(node: ast.AST) -> str | None:
    """The module that `import_module("x")` or `__import__("x")` names."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
            return node.args[0].value
    return None


@cache
def _imports(importer: str, *, source: str, is_package: bool) -> tuple[Import, ...]:
    return tuple(_walk(importer, source=source, is_package=is_package))


def _walk(importer: str, *, source: str, is_package: bool) -> Iterator[Import]:
    pending: list[tuple[ast.AST, bool, bool]] = [(ast.parse(source), False, False)]
    while pending:
        node, late, typing_only = pending.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, None, node.lineno, late, typing_only)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parts = importer.split(".")
                base = parts[: len(parts) - node.level + is_package]
                module = ".".join([*base, module] if module else base)
            for alias in node.names:
                yield Import(importer, module, alias.name, node.lineno, late, typing_only)
        elif (called := _called_import(node)) is not None and isinstance(node, ast.Call):
            yield Import(importer, called, None, node.lineno, late, typing_only)
        late_below = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for field, value in ast.iter_fields(node):
            guarded = isinstance(node, ast.If) and field == "body" and _is_type_checking(node.test)
            children = value if isinstance(value, list) else [value]
            pending.extend(
                (child, late_below, typing_only or guarded) for child in children if isinstance(child, ast.AST)
            )


@attrs.frozen
class Tree:
    """The modules of the package: dotted name -> source; packages are named apart."""

    sources: Mapping[str, str]
    packages: frozenset[str]

    def with_module(self, name: str, source: str) -> Tree:
        return Tree({**self.sources, name: source}, self.packages)

    def imports(self) -> list[Import]:
        return [
            found
            for name, source in sorted(self.sources.items())
            for found in _imports(name, source=source, is_package=name in self.packages)
        ]


def _read_package() -> Tree:
    sources, packages = {}, set()
    for path in sorted((ROOT / "src" / PACKAGE).rglob("*.py")):
        parts = list(path.relative_to(ROOT / "src").with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
            packages.add(".".join(parts))
        sources[".".join(parts)] = path.read_text(encoding="utf-8")
    return Tree(sources, frozenset(packages))


def _room(module: str) -> str:
    """The part of the package that a module belongs to, `""` for the package itself."""
    return (module + ".").split(".")[1]


def _target_room(found: Import, tree: Tree) -> str:
    if found.module == PACKAGE and found.name is not None and f"{PACKAGE}.{found.name}" in tree.sources:
        return found.name
    return _room(found.module)


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")


def _private_parts(dotted: str) -> list[int]:
    return [at for at, part in enumerate(dotted.split(".")) if part.startswith("_") and not part.startswith("__")]


def _direction(tree: Tree) -> Iterator[str]:
    for module in tree.sources:
        if _room(module) not in MAY_IMPORT:
            yield f"{module}: the room {_room(module)!r} is not in MAY_IMPORT"
    for found in tree.imports():
        if not _is_ours(found.module):
            continue
        room, target = _room(found.importer), _target_room(found, tree)
        allowed = MAY_IMPORT.get(room, frozenset()) | {room}
        if target in allowed or (found.typing_only and (room, target) in ANNOTATIONS_ONLY):
            continue
        yield f"{found.place}: {room or PACKAGE} must not import {target or PACKAGE} ({found.full})"


def _privacy(tree: Tree) -> Iterator[str]:
    for found in tree.imports():
        if not _is_ours(found.module):
            continue
        parts = found.full.split(".")
        inside = found.importer.split(".") if found.importer in tree.packages else found.importer.split(".")[:-1]
        for at in _private_parts(found.full):
            owner = parts[:at]
            # A private module belongs to the package it stands in; a private name to its own module's package.
            if found.name is not None and at == len(parts) - 1 and ".".join(owner) not in tree.packages:
                owner = owner[:-1]
            if inside[: len(owner)] != owner:
                yield f"{found.place}: {found.full} is private to {'.'.join(owner)}"


def _extra_of(package: str) -> str | None:
    return next((extra for extra, (_, packages) in EXTRAS.items() if package in packages), None)


def _third_party(tree: Tree) -> Iterator[str]:
    for found in tree.imports():
        top = found.module.split(".")[0]
        if _is_ours(found.module) or top in sys.stdlib_module_names or top in CORE_PACKAGES:
            continue
        room = _room(found.importer)
        if top in SUITES_MAY_IMPORT:
            if room != "testing":
                yield f"{found.place}: only the contract suites may import {top}"
            continue
        extra = _extra_of(top)
        if extra is None:
            yield f"{found.place}: {top} is neither a core dependency nor in EXTRAS"
        elif room not in EXTRAS[extra][0]:
            yield f"{found.place}: {room or PACKAGE} must not import {top}, the extra {extra} belongs elsewhere"
        elif not _private_parts(found.importer):
            yield f"{found.place}: {top} (extra {extra}) must be imported in a private module of {room}"


def _optional_modules(tree: Tree) -> frozenset[str]:
    """Modules whose import fails without an extra."""
    optional: set[str] = set()
    imports = [found for found in tree.imports() if not found.late and not found.typing_only]
    while True:
        found_now = {
            found.importer
            for found in imports
            if _extra_of(found.module.split(".")[0]) or found.module in optional or found.full in optional
        }
        if found_now <= optional:
            return frozenset(optional)
        optional |= found_now


def _late_loading(tree: Tree) -> Iterator[str]:
    optional = _optional_modules(tree)
    for module in sorted(optional):
        # The third-party rule names a public module with an import of its own; here it is one that pulls it in.
        if not _private_parts(module):
            yield f"{module}: its import fails without an extra; load the private module in the constructor"


RULES = (_direction, _privacy, _third_party, _late_loading)


def _violations(tree: Tree) -> list[str]:
    return [violation for rule in RULES for violation in rule(tree)]


def test_every_import_of_the_package_keeps_the_rules() -> None:
    tree = _read_package()
    assert len(tree.imports()) > 100, "the checker sees the package"
    assert _violations(tree) == []


PLANTED = {
    "a foundation imports the model": ("clock", "from media_watch_tasks.model import assets", "clock must not import"),
    "the model imports the interfaces": ("model.x", "import media_watch_tasks.abc", "model must not import abc"),
    "an interface imports the options": (
        "abc.x",
        "from media_watch_tasks.options import RetryOptions",
        "abc must not import options",
    ),
    "the options import the manager": ("options", "from media_watch_tasks import manager", "must not import"),
    "an annotation names the manager": (
        "errors",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import media_watch_tasks.manager",
        "errors must not import manager",
    ),
    "the manager imports a back end": (
        "manager.x",
        "import media_watch_tasks.stores",
        "manager must not import stores",
    ),
    "the manager imports scanning": ("manager.x", "import media_watch_tasks.scanning", "must not import scanning"),
    "a back end imports the manager in a function": (
        "local.x",
        "def late():\n    from media_watch_tasks.manager import TaskManager",
        "local must not import manager",
    ),
    "a back end imports another": ("smb.x", "from media_watch_tasks.local import listing", "smb must not import local"),
    "a back end imports another by a call": (
        "smb.x",
        "import importlib\nimportlib.import_module('media_watch_tasks.local')",
        "smb must not import local",
    ),
    "a relative import leaves the room": ("smb.x", "from ..local import listing", "smb must not import local"),
    "a back end imports the public names": ("spool.x", "import media_watch_tasks", "must not import media_watch_tasks"),
    "the suites import a back end": ("testing.x", "import media_watch_tasks.local", "testing must not import local"),
    "a room that nobody agreed on": ("helpers", "", "not in MAY_IMPORT"),
    "a private module of another package": (
        "http.x",
        "from media_watch_tasks.model._codec import join",
        "is private to media_watch_tasks.model",
    ),
    "a private name of another package": (
        "http.x",
        "from media_watch_tasks.model.identity import _KEY_DOMAIN",
        "is private to media_watch_tasks.model",
    ),
    "an optional package in a public module": ("probe.av", "import av", "must be imported in a private module"),
    "an optional package in another room": ("http._av", "import av", "belongs elsewhere"),
    "a package that nobody agreed on": ("smb._x", "import requests", "neither a core dependency nor in EXTRAS"),
    "pytest outside of the suites": ("local.x", "import pytest", "only the contract suites"),
    "a third-party package in the suites": ("testing._x", "import av", "belongs elsewhere"),
    "a public module that pulls an optional package in": (
        "probe.x",
        "from media_watch_tasks.probe import _av",
        "load the private module in the constructor",
    ),
}


# A house that keeps the rules: only where a module stands matters to them.
_HOUSE = Tree(
    {f"{PACKAGE}.{room}".rstrip("."): "" for room in MAY_IMPORT} | {f"{PACKAGE}.probe._av": "import av"},
    frozenset({PACKAGE} | {f"{PACKAGE}.{room}" for room in set(MAY_IMPORT) - _GROUND - {"", "options"}}),
)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name: str) -> None:
    module, source, message = PLANTED[name]
    assert _violations(_HOUSE) == []
    found = _violations(_HOUSE.with_module(f"{PACKAGE}.{module}", source))
    assert [violation for violation in found if message in violation], found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("local.x", "from media_watch_tasks.abc import MediaScanner\nfrom media_watch_tasks.scanning import filters"),
        ("probe.x", "def make():\n    from media_watch_tasks.probe import _av\n    return _av"),
        ("uploaders.wrappers.x", "from media_watch_tasks.uploaders._shared import part_size"),
        ("stores.sqlite.x", "from media_watch_tasks.stores.sqlite.y import _private_name"),
        ("testing.x", "import pytest\nfrom media_watch_tasks.model.tasks import Task"),
        ("cli.x", "from media_watch_tasks.local import LocalMediaScanner\nimport media_watch_tasks"),
        ("errors", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import media_watch_tasks.cancellation"),
    ],
)
def test_an_allowed_import_is_not_reported(module: str, source: str) -> None:
    assert _violations(_HOUSE.with_module(f"{PACKAGE}.{module}", source)) == []


def test_the_extras_of_the_project_are_the_agreed_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = dict(project["optional-dependencies"])
    everything = extras.pop("all")
    assert set(extras) <= set(EXTRAS)
    # Kerberos is compiled against the system's libraries: who wants everything else need not have them.
    extras.pop("smb-kerberos", None)
    assert everything == [f"media-watch-tasks[{','.join(sorted(extras))}]"]


def test_an_extra_that_the_package_uses_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    used = {_extra_of(found.module.split(".")[0]) for found in _read_package().imports()} - {None}
    assert used <= set(project["optional-dependencies"])
