"""The harness of the mutants: a deliberately wrong implementation must be found out by a contract test, by assertion.

    def test_a_mutant(assert_killed):
        def mutate(patch: pytest.MonkeyPatch) -> None:
            patch.setattr(module, "function", wrong_function)

        assert_killed(mutate, "tests/contracts/test_x.py::TestX::test_promise")

The named test (all of its parameters) runs in a pytest session of its own inside this process, so that what is patched
here is patched there. It is run on the right implementation first: there it has to pass.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Protocol

import attrs
import pytest

ROOT = Path(__file__).parents[2]


@attrs.define
class Findings:
    """What a run of a test has shown."""

    passed: list[str] = attrs.field(factory=list)
    refuted: list[str] = attrs.field(factory=list)
    """Tests that failed by an assertion."""
    broken: dict[str, str] = attrs.field(factory=dict)
    """Tests that ended by anything else, with what it was: they prove nothing about the implementation."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is None:
            if report.when == "call":
                self.passed.append(item.nodeid)
        elif report.when == "call" and call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
            self.refuted.append(item.nodeid)
        else:
            self.broken[item.nodeid] = f"{report.when}: {call.excinfo.exconly()}"
        return report


class RunTest(Protocol):
    def __call__(self, node_id: str) -> Findings: ...


@pytest.fixture(scope="session")
def run_test(tmp_path_factory: pytest.TempPathFactory) -> RunTest:
    """Runs a test by its node id (from the root of the project), in this process, with all that is patched in it."""

    def run(node_id: str) -> Findings:
        findings = Findings()
        output = io.StringIO()
        # Without the plugin that collects garbage at the end, twice: among all tests of the session that takes longer
        # than most tests.
        options = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-o", "timeout=0"]
        options += ["--rootdir", str(ROOT)]
        options += ["-c", str(ROOT / "pyproject.toml"), "--basetemp", str(tmp_path_factory.mktemp("mutant") / "inner")]
        with redirect_stdout(output), redirect_stderr(output), pytest.MonkeyPatch.context() as environment:
            # With CI set, pytest shows every difference in full, which takes minutes for long streams; nobody reads it.
            environment.delenv("CI", raising=False)
            environment.delenv("BUILD_NUMBER", raising=False)
            pytest.main([*options, str(ROOT / node_id)], plugins=[findings])
        if not (findings.passed or findings.refuted or findings.broken):
            pytest.fail(f"{node_id} did not run:\n{output.getvalue()[-2_000:]}")
        return findings

    return run


@pytest.fixture(scope="session")
def right_findings() -> dict[str, Findings]:
    return {}


@pytest.fixture
def must_pass(run_test: RunTest, right_findings: dict[str, Findings]) -> Callable[[str], None]:
    """Asserts that a test passes on the right implementation: to be called before anything is patched."""

    def check(node_id: str) -> None:
        if node_id not in right_findings:
            right_findings[node_id] = run_test(node_id)
        findings = right_findings[node_id]
        assert findings.passed, f"{node_id} did not pass on the right implementation: {findings}"
        assert not findings.refuted, f"{node_id} fails on the right implementation: {findings}"
        assert not findings.broken, f"{node_id} is broken on the right implementation: {findings}"

    return check


@pytest.fixture
def must_kill(run_test: RunTest) -> Callable[[str], None]:
    """Asserts that a test fails now, by an assertion, and not because the mutant is broken."""

    def check(node_id: str) -> None:
        findings = run_test(node_id)
        assert not findings.broken, f"{node_id} ended by an error, which proves nothing: {findings.broken}"
        assert findings.refuted, f"the mutant survives {node_id}"

    return check


@pytest.fixture
def assert_killed(
    must_pass: Callable[[str], None], must_kill: Callable[[str], None]
) -> Callable[[Callable[[pytest.MonkeyPatch], None], str], None]:
    """`assert_killed(mutate, node_id)`: the test passes without, and fails with, what `mutate(monkeypatch)` patches."""

    def check(mutate: Callable[[pytest.MonkeyPatch], None], node_id: str) -> None:
        must_pass(node_id)
        with pytest.MonkeyPatch.context() as patch:
            mutate(patch)
            must_kill(node_id)

    return check
