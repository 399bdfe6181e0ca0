"""Every public name is listed, sorted, importable and documented; no file of the package grows without a reason."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import attrs
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "media_watch_tasks"
LONGEST_FILE = 400

# Here constants and type aliases are for everybody who writes a plug-in, and need a docstring as classes do.
DOCUMENTED_DATA = frozenset({"abc", "cancellation", "clock", "errors", "manager", "model", "options"})

# Path below the package -> why the file is one idea although it is long.
LONG_FILES: dict[str, str] = {
    "testing/s3/server.py": "one request from its first byte to its answer; the operations are a few lines each",
    "manager/task_manager.py": "the facade: most of its lines document its methods",
    "testing/contracts/queue_model.py": "one method for each of an interface of thirty: it is read beside that",
    "testing/contracts/task_store_machine.py": "the rules of one state machine, which Hypothesis takes as one class",
}


@attrs.frozen
class Module:
    """A public module: its dotted name and its source."""

    name: str
    source: str = attrs.field(repr=False)
    is_package: bool


def _public_modules() -> list[Module]:
    modules = []
    for path in sorted((ROOT / "src" / PACKAGE).rglob("*.py")):
        parts = list(path.relative_to(ROOT / "src").with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        if is_package:
            parts.pop()
        if not any(part.startswith("_") for part in parts):
            modules.append(Module(".".join(parts), path.read_text(encoding="utf-8"), is_package))
    return modules


def _is_public(name: str) -> bool:
    # Every module has its logger under this name; it is reached through the logging tree, not by import.
    return not name.startswith("_") and name != "logger"


def _assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [target.id for target in flat if isinstance(target, ast.Name)]


def _defined(tree: ast.Module, *, with_data: bool = False) -> dict[str, bool]:
    """The public names that a module defines, and whether each is documented as it has to be."""
    names: dict[str, bool] = {}
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Of overloads the last one counts, which is the implementation.
            names[node.name] = ast.get_docstring(node) is not None
        for name in _assigned(node):
            value = following.value if isinstance(following, ast.Expr) else None
            names[name] = not with_data or (isinstance(value, ast.Constant) and isinstance(value.value, str))
    return {name: documented for name, documented in names.items() if _is_public(name)}


def _re_exported(tree: ast.Module) -> set[str]:
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE)
        for alias in node.names
        if _is_public(alias.asname or alias.name)
    }


def _listed(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if "__all__" in _assigned(node):
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]  # an assignment, by the line above
    return []


def _sort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff sorts `__all__`."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def _findings(module: Module) -> Iterator[str]:
    tree = ast.parse(module.source)
    room = (module.name + ".").split(".")[1]
    listed, defined = _listed(tree), _defined(tree, with_data=room in DOCUMENTED_DATA)
    expected = set(defined) | (_re_exported(tree) if module.is_package else set())
    if not ast.get_docstring(tree):
        yield f"{module.name} has no docstring"
    for name in sorted(expected - set(listed)):
        yield f"{module.name}.{name} is public and not in __all__: list it, or begin its name with an underscore"
    for name in sorted(set(listed) - expected):
        yield f"{module.name}.__all__ lists {name}, which the module neither defines nor exports"
    if listed != sorted(set(listed), key=_sort_key):
        yield f"{module.name}.__all__ is not sorted, or lists a name twice"
    for name, documented in sorted(defined.items()):
        if not documented:
            yield f"{module.name}.{name} has no docstring"


@pytest.mark.parametrize("module", [pytest.param(module, id=module.name) for module in _public_modules()])
def test_public_names_are_listed_sorted_and_documented(module: Module) -> None:
    findings = list(_findings(module))
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("module", [pytest.param(module, id=module.name) for module in _public_modules()])
def test_public_names_can_be_imported(module: Module) -> None:
    imported = importlib.import_module(module.name)
    for name in _listed(ast.parse(module.source)):
        assert not isinstance(getattr(imported, name), ModuleType), f"{name} is a module, not a name"


@pytest.mark.parametrize("module", [pytest.param(module, id=module.name) for module in _public_modules()])
def test_public_methods_are_documented(module: Module) -> None:
    imported = importlib.import_module(module.name)
    bare = [
        f"{class_name}.{name}"
        for class_name in _defined(ast.parse(module.source))
        if inspect.isclass(owner := getattr(imported, class_name))
        for name, member in vars(owner).items()
        # The name of a test of a contract suite states its fact.
        if _is_public(name)
        and not name.startswith("test_")
        and (inspect.isfunction(member) or isinstance(member, property | classmethod))
        if not inspect.getdoc(getattr(owner, name) if isinstance(member, classmethod) else member)
        # A method that keeps the promise of its interface needs no words of its own.
        if not any(getattr(getattr(base, name, None), "__doc__", None) for base in owner.__mro__[1:])
    ]
    assert not bare, f"no docstring: {', '.join(bare)}"


GOOD = '"""Doc."""\n__all__ = ["MOST", "Thing", "make"]\nMOST = 3\n"""Doc."""\nclass Thing:\n    """Doc."""\n'
GOOD += 'def make():\n    """Doc."""\n'


def test_a_module_in_order_has_no_findings() -> None:
    assert list(_findings(Module("m.model", GOOD, is_package=False))) == []


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("", '"""Doc."""\n__all__', "m.model has no docstring"),
        ('["MOST", "Thing"]', '["MOST", "Thing", "make"]', "m.model.make is public and not in __all__"),
        ('["MOST", "Thing", "gone", "make"]', '["MOST", "Thing", "make"]', "lists gone"),
        ('["Thing", "MOST", "make"]', '["MOST", "Thing", "make"]', "not sorted"),
        ('["MOST", "Thing", "Thing", "make"]', '["MOST", "Thing", "make"]', "lists a name twice"),
        ("MOST = 3\n", 'MOST = 3\n"""Doc."""\n', "m.model.MOST has no docstring"),
        ("class Thing: ...\n", 'class Thing:\n    """Doc."""\n', "m.model.Thing has no docstring"),
    ],
)
def test_a_module_out_of_order_is_found(wrong: str, right: str, message: str) -> None:
    assert right in GOOD
    planted = GOOD.replace(right, wrong or "__all__", 1)
    assert [finding for finding in _findings(Module("m.model", planted, is_package=False)) if message in finding]


def test_data_of_a_room_may_go_without_words() -> None:
    planted = GOOD.replace('MOST = 3\n"""Doc."""\n', "MOST, LEAST = 3, 1\n").replace('["MOST"', '["LEAST", "MOST"')
    assert list(_findings(Module("m.stores", planted, is_package=False))) == []
    assert len(list(_findings(Module("m.model", planted, is_package=False)))) == 2


def test_a_package_lists_what_it_exports() -> None:
    planted = Module("p", f'"""Doc."""\nfrom {PACKAGE}.p.thing import Thing\n', is_package=True)
    assert [finding for finding in _findings(planted) if "p.Thing is public and not in __all__" in finding]


def test_no_file_is_long_without_a_reason() -> None:
    package = ROOT / "src" / PACKAGE
    lengths = {
        path.relative_to(package).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in package.rglob("*.py")
    }
    too_long = {path for path, length in lengths.items() if length > LONGEST_FILE}
    assert too_long == set(LONG_FILES), "split the file, or give the reason in LONG_FILES; drop reasons that are over"
