"""What the pages point to is there: files, headings, tests, commands; and they name no place of one machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^\s*(```+).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"\b((?:tests|src)/[\w/.-]+\.py)((?:::\w+)*)")
_BENCHMARK = re.compile(r"\btests/benchmarks/bench_\w+\.py")
_HEADING = re.compile(r"^#+\s+(.*?)\s*$", re.MULTILINE)

REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "crates" + ".io", "proxy.golang" + ".org")
MACHINE_PATHS = re.compile(r"(?<![\w.~])/(?:work|tmp|root|home|opt)/")
# A test may speak of a user's folder; where it runs, pytest decides.
MACHINE_PATHS_IN_TESTS = re.compile(r"(?<![\w.~}])/(?:work|tmp)/")


def _pages() -> dict[str, str]:
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def _slug(heading: str) -> str:
    """The anchor that a heading gets."""
    text = re.sub(r"[^\w\s-]", "", heading.replace("`", "").lower())
    return re.sub(r"\s", "-", text.strip())


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text below it up to the next heading of any level)."""
    bare = _FENCED.sub(lambda match: match[0].replace("#", " "), text)
    found = list(_HEADING.finditer(bare))
    for at, heading in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(text)
        yield heading[1], text[heading.end() : end]


def broken_links(page: str, text: str) -> Iterator[str]:
    """Links to files and headings that are not there."""
    for target in _LINK.findall(_FENCED.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists():
            yield f"{page}: {target}: there is no such file"
        elif anchor and anchor not in {_slug(heading) for heading, _ in _sections(path.read_text(encoding="utf-8"))}:
            yield f"{page}: {target}: there is no such heading"


def _functions(path: Path) -> set[tuple[str, ...]]:
    names: set[tuple[str, ...]] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add((node.name,))
        elif isinstance(node, ast.ClassDef):
            names.add((node.name,))
            names |= {(node.name, item.name) for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


def missing_tests(page: str, text: str) -> Iterator[str]:
    """Tests, suites and benchmarks that a page names and that are not there."""
    for path, parts in _TEST.findall(text):
        if not (ROOT / path).is_file():
            yield f"{page}: {path} does not exist"
        elif parts and tuple(parts.split("::")[1:]) not in _functions(ROOT / path):
            yield f"{page}: {path} has no {parts}"


def unproven_guarantees(page: str, text: str) -> Iterator[str]:
    """Lines of a section called Guarantees that name no test."""
    for heading, body in _sections(text):
        if heading.lower() != "guarantees":
            continue
        rows = [line for line in body.splitlines() if re.match(r"\s*([-*]|\|)\s*\S", line)]
        rows = [row for row in rows if not re.fullmatch(r"[\s|:-]+", row)]
        header = 1 if rows and rows[0].lstrip().startswith("|") else 0
        items = "\n".join(re.split(r"^(?=\s*[-*] )", body, flags=re.MULTILINE)[1:])
        for row in rows[header:]:
            # A list item may go on over several lines: its test may stand on any of them.
            item = items.partition(row)[2].split("\n- ")[0].split("\n* ")[0] if not header else ""
            if not _TEST.search(row + item):
                yield f"{page}: no test is named for: {row.strip()[:80]}"


def unnamed_commands(page: str, text: str) -> Iterator[str]:
    """Sections with a table of figures and without the benchmark that measures them."""
    for heading, body in _sections(text):
        if re.search(r"^\|[\s:|-]+\|\s*$", body, re.MULTILINE):
            commands = _BENCHMARK.findall(body)
            if not commands:
                yield f"{page}: the table below {heading!r} names no benchmark"
            for command in commands:
                if not (ROOT / command).is_file():
                    yield f"{page}: {command} does not exist"


def foreign_places(page: str, text: str) -> Iterator[str]:
    """Hosts of package registries and paths of one machine."""
    paths = MACHINE_PATHS_IN_TESTS if page.startswith("tests/") else MACHINE_PATHS
    for number, line in enumerate(text.splitlines(), start=1):
        if any(host in line for host in REGISTRIES):
            yield f"{page}:{number}: names the host of a package registry"
        if paths.search(line):
            yield f"{page}:{number}: names a path of one machine"


def _check(rule: Callable[[str, str], Iterator[str]], pages: dict[str, str]) -> None:
    findings = [finding for page, text in pages.items() for finding in rule(page, text)]
    assert not findings, "\n".join(findings)


def test_internal_links_lead_somewhere() -> None:
    _check(broken_links, _pages())


def test_named_tests_exist() -> None:
    _check(missing_tests, _pages())


def test_every_guarantee_names_its_test() -> None:
    _check(unproven_guarantees, _pages())


def test_every_table_of_figures_names_its_command() -> None:
    page = "docs/explanation/performance.md"
    _check(unnamed_commands, {page: _pages()[page]})


def test_documents_and_sources_name_no_place_of_one_machine() -> None:
    names = ["pyproject.toml", "tests/run", ".ci/run", *_pages()]
    names += [
        path.relative_to(ROOT).as_posix() for top in ("src", "tests", "examples") for path in (ROOT / top).rglob("*.py")
    ]
    _check(foreign_places, {name: (ROOT / name).read_text(encoding="utf-8") for name in names})


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    listed = {line.strip() for line in index.splitlines()}
    assert {page for page in pages - {"index"} if page not in listed} == set()


THIS = "tests/docs/test_docs_links.py"


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        (broken_links, "[a](docs/nothing.md)", "no such file"),
        (broken_links, "[a](docs/index.md#nothing)", "no such heading"),
        (broken_links, "[a](docs/index.md#media_watch_tasks) and [b](https://example.org/x#y)", None),
        (broken_links, "# A `b` c\n\n[here](#a-b-c)\n\n```text\n[a](docs/nothing.md)\n```\n", "no such heading"),
        (missing_tests, "`tests/unit/test_nothing.py`", "does not exist"),
        (missing_tests, f"`{THIS}::test_nothing`", "has no ::test_nothing"),
        (missing_tests, f"`{THIS}::test_named_tests_exist`", None),
        (unproven_guarantees, "## Guarantees\n\n- Nothing is lost.\n- x `tests/a.py`\n", "Nothing is lost"),
        (
            unproven_guarantees,
            "## Guarantees\n\n| what | test |\n|---|---|\n| Nothing is lost | |\n",
            "Nothing is lost",
        ),
        (unproven_guarantees, "## Guarantees\n\n| what | test |\n|---|---|\n| a | `tests/a.py` |\n", None),
        (unproven_guarantees, "## Guarantees\n\n- Nothing\n  is lost: `tests/a.py`\n- More\n", "More"),
        (unproven_guarantees, "## Guarantees\n\n- Nothing\n  is lost: `tests/a.py`\n", None),
        (unnamed_commands, "## Speed\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", "names no benchmark"),
        (unnamed_commands, "## S\n\n`tests/benchmarks/bench_no.py`\n\n| a |\n|---|\n| 1 |\n", "does not exist"),
        (unnamed_commands, "## S\n\n`tests/benchmarks/bench_import.py`\n\n| a |\n|---|\n| 1 |\n", None),
        (foreign_places, "see https://" + REGISTRIES[0] + "/project/x", "host of a package registry"),
        (foreign_places, "cd /" + "work/main", "path of one machine"),
        (foreign_places, 'scanner = LocalMediaScanner("/mnt/archive")', None),
    ],
)
def test_a_planted_fault_is_found_and_a_right_page_passes(
    rule: Callable[[str, str], Iterator[str]], text: str, found: str | None
) -> None:
    findings = list(rule("README.md", text))
    if found is None:
        assert findings == []
    else:
        assert [finding for finding in findings if found in finding], findings
