"""What holds for all tests: the long batteries are asked for, and CI leaves nothing out."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.scale.postgres_server import PostgresServer

# Times are asserted in benchmarks only: a busy machine must not fail an example for being slow.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of this process; without fsync: no test of it cuts the power."""
    from tests.scale.postgres_server import PostgresServer, missing_program  # noqa: PLC0415 - for the tests that need it

    missing = missing_program()
    if missing is not None:
        pytest.skip(f"{missing} is not installed (Debian package postgresql)")
    if PostgresServer.of_this_process is not None:
        # A session within another one, as the mutants have them: a server of its own would take seconds each time.
        yield PostgresServer.of_this_process
        return
    with PostgresServer() as server:
        PostgresServer.of_this_process = server
        yield server
    PostgresServer.of_this_process = None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long batteries too (marked `long`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a missing server is a failure: nobody would notice what was not tested."""
    if os.environ.get("CI", "").lower() in {"true", "1"} and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was left out, and CI leaves nothing out: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report
