"""The wheel, used where nothing but the core dependencies is installed, as a user without extras has it."""

from __future__ import annotations

import email.message
import email.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import attrs
import pytest

import media_watch_tasks

pytestmark = pytest.mark.xdist_group("wheel")  # one worker builds it, once

ROOT = Path(__file__).parents[2]
PACKAGE = "media_watch_tasks"

CORE = ("attrs", "peewee", "tenacity", "typing_extensions")
CORE_MODULES = frozenset({"attr", "attrs", "peewee", "tenacity", "typing_extensions", PACKAGE})
TEST_TOOLS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "hypothesis", "sortedcontainers")
# Standard modules that cost more than the whole import may, and that only some parts need.
HEAVY = frozenset({"asyncio", "ctypes", "http", "multiprocessing", "unittest", "urllib.request", "xml"})

# extra -> what fails without it, as an expression over the names of a module; None: no part of the package uses it yet.
NEEDS_EXTRA: Mapping[str, tuple[str, str] | None] = {
    "cli": (f"{PACKAGE}.cli.progress", "delivery_progress(None).__enter__()"),
    "firestore": (f"{PACKAGE}.firestore", "FirestoreUploader(project='archive')"),
    "http": (f"{PACKAGE}.http", "new_client()"),
    "huey": (f"{PACKAGE}.schedulers", "HueyScheduler(None, __import__('datetime').timedelta(minutes=15))"),
    "photo": (f"{PACKAGE}.probe", "AvProber(pillow=True)"),
    "postgres": (f"{PACKAGE}.stores.postgres", "PostgresStores('dbname=watch')"),
    "power": (f"{PACKAGE}.constraints", "PowerAvailable()"),
    "probe": (f"{PACKAGE}.probe", "AvProber(pillow=False)"),
    "s3": (f"{PACKAGE}.uploaders", "S3Uploader('footage')"),
    "smb": (f"{PACKAGE}.smb", "SmbConnection('nas', 'media', username='reader', password='secret')"),
}
# Extras that `all` leaves out, because their parts have no wheels. What they say when they are missing is seen only
# where the extra that they add to is installed: tests/smb.
BESIDE_ALL = frozenset({"smb-kerberos"})


@attrs.frozen
class Wheel:
    """The built distributions, and the wheel unpacked beside copies of what it depends on."""

    path: Path
    sdist: Path
    site: Path
    tools: Path

    def python(self, program: str, *, tools: bool = False) -> str:
        """Run a program with the wheel and the core dependencies alone (and pytest, if asked for); its output."""
        done = self.run("-c", textwrap.dedent(program), tools=tools)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, *arguments: str, tools: bool = False, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        paths = [self.site, self.tools] if tools else [self.site]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, paths)), "LC_ALL": "C.UTF-8"}
        # -S and -s keep the packages of this environment out, -P the working directory.
        return subprocess.run(
            [sys.executable, "-S", "-s", "-P", *arguments],
            env=environment,
            cwd=cwd or self.site,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def _copy_distributions(names: Iterable[str], target: Path) -> None:
    for name in names:
        for file in metadata.distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                destination = target / file
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(str(file.locate())), destination)


def _build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    folder = tmp_path_factory.mktemp("wheel")
    path, sdist = _build("wheel", ROOT, folder / "dist"), _build("sdist", ROOT, folder / "dist")
    site, tools = folder / "site", folder / "tools"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(site)
    _copy_distributions(CORE, site)
    _copy_distributions(TEST_TOOLS, tools)
    return Wheel(path, sdist, site, tools)


@pytest.fixture(scope="module")
def description(wheel: Wheel) -> email.message.Message:
    (path,) = wheel.site.glob(f"{PACKAGE}-*.dist-info/METADATA")
    return email.parser.HeaderParser().parsestr(path.read_text(encoding="utf-8"))


def _requirements(description: email.message.Message, extra: str | None = None) -> set[str]:
    """The distributions that the wheel asks for, always or for an extra."""
    lines = [str(line) for line in description.get_all("Requires-Dist", [])]
    marker = re.compile(r"extra == ['\"](.*?)['\"]")
    return {
        re.split(r"[^\w.-]", line)[0].replace("-", "_")
        for line in lines
        if (found.group(1) if (found := marker.search(line)) else None) == extra
    }


def _extras(description: email.message.Message) -> set[str]:
    return {str(extra) for extra in description.get_all("Provides-Extra", [])} - {"all"}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Wheel) -> None:
    with zipfile.ZipFile(wheel.path) as archive:
        names = archive.namelist()
    package = {name for name in names if name.startswith(f"{PACKAGE}/")}
    source = ROOT / "src" / PACKAGE
    assert package == {
        f"{PACKAGE}/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.suffix in {".py", ".typed"} and not any(part.startswith(".") for part in path.relative_to(source).parts)
    }
    assert f"{PACKAGE}/py.typed" in package
    information = f"{PACKAGE}-{media_watch_tasks.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {PACKAGE, information}
    assert f"{information}/licenses/LICENSE" in names


def test_the_metadata_says_what_the_package_is(description: email.message.Message) -> None:
    assert description["Name"] == "media-watch-tasks"
    assert description["Version"] == media_watch_tasks.__version__
    assert description["License-Expression"] == "MIT"
    assert description["Requires-Python"] == ">=3.11"
    assert description["Description-Content-Type"] == "text/markdown"
    assert _requirements(description) == set(CORE)


def test_the_extra_all_brings_every_extra(description: email.message.Message) -> None:
    extras = _extras(description) - BESIDE_ALL
    every = {name for extra in extras for name in _requirements(description, extra)}
    assert every
    assert _requirements(description, "all") == every


def test_the_source_distribution_builds_the_same_wheel(wheel: Wheel, tmp_path: Path) -> None:
    with tarfile.open(wheel.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "tests", "docs"} <= set(os.listdir(source))
    again = _build("wheel", source, tmp_path / "dist")
    with zipfile.ZipFile(wheel.path) as first, zipfile.ZipFile(again) as second:
        assert {item.filename: item.CRC for item in first.infolist()} == {
            item.filename: item.CRC for item in second.infolist()
        }


def test_importing_the_package_loads_the_core_dependencies_and_no_more(wheel: Wheel) -> None:
    loaded = set(json.loads(wheel.python(f"import sys, json, {PACKAGE}; print(json.dumps(list(sys.modules)))")))
    assert f"{PACKAGE}" in loaded
    top = {name.split(".")[0] for name in loaded if not name.startswith("__")}
    assert top - set(sys.stdlib_module_names) <= CORE_MODULES
    # What a dependency loads by itself is not the package's doing.
    before = set(
        json.loads(wheel.python("import sys, json, attrs, peewee, tenacity; print(json.dumps(list(sys.modules)))"))
    )
    assert (loaded - before) & HEAVY == set()
    assert not [name for name in loaded if name.startswith(f"{PACKAGE}.testing")]


IMPORT_EVERYTHING = f"""
import importlib, json, pkgutil, sys, {PACKAGE}

count, failed = 0, []
pending = [{PACKAGE}.__name__]
while pending:
    name = pending.pop()
    try:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            getattr(module, public)
            count += 1
    except Exception as error:
        failed.append(f"{{name}}: {{type(error).__name__}}: {{error}}")
        continue
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        below = name + "." + found.name
        if not found.name.startswith("_") and below not in LEFT_OUT:
            pending.append(below)
print(json.dumps([count, failed]))
"""


@pytest.mark.parametrize("tools", [False, True], ids=["core", "core and test tools"])
def test_every_public_name_can_be_imported_without_extras(wheel: Wheel, *, tools: bool) -> None:
    # The suites are for those with pytest and Hypothesis; nothing else of the package may ask for more than the core.
    left_out = set() if tools else {f"{PACKAGE}.testing"}
    output = wheel.python(f"LEFT_OUT = {left_out!r}\n" + IMPORT_EVERYTHING, tools=tools)
    count, failed = json.loads(output)
    assert not failed, "\n".join(failed)
    assert count > 150


def test_every_extra_has_its_line_here(description: email.message.Message) -> None:
    assert set(NEEDS_EXTRA) == _extras(description) - BESIDE_ALL


@pytest.mark.parametrize("extra", sorted(NEEDS_EXTRA))
def test_a_part_without_its_extra_says_how_to_install_it(
    wheel: Wheel, description: email.message.Message, extra: str
) -> None:
    part = NEEDS_EXTRA[extra]
    if part is None:
        using = _users(wheel, _requirements(description, extra))
        assert not using, f"say in NEEDS_EXTRA what of {using} fails without the extra {extra}"
        return
    module, expression = part
    said = wheel.python(f"""
        from {PACKAGE}.errors import ConfigurationError, MissingDependencyError
        from {module} import *
        try:
            {expression}
        except MissingDependencyError as error:
            assert isinstance(error, ImportError) and isinstance(error, ConfigurationError)
            print(error)
    """)
    assert f'pip install "media-watch-tasks[{extra}]"' in said


def _users(wheel: Wheel, requirements: set[str]) -> list[str]:
    """The modules of the package that import one of these distributions."""
    names = {name.replace("_", "-") for name in requirements}
    modules = [module for module, owners in metadata.packages_distributions().items() if names & set(owners)]
    assert modules, f"{requirements} are not installed here"
    uses = re.compile(rf"^\s*(?:import|from)\s+(?:{'|'.join(modules)})\b", re.MULTILINE)
    return [path.name for path in (wheel.site / PACKAGE).rglob("*.py") if uses.search(path.read_text("utf-8"))]


SCHEDULER = '''
import logging
import threading

from media_watch_tasks.abc import Scheduler
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.redaction import redact


class Again(Scheduler):
    """Runs the job as often as it can."""

    def __init__(self):
        self._thread = self._token = None

    def start(self, job):
        if self._thread is not None:
            raise ConfigurationError("it runs already")
        self._token = CancelToken()
        self._thread = threading.Thread(target=self._loop, args=(job, self._token))
        self._thread.start()

    def _loop(self, job, token):
        while not token.wait(0.001):
            try:
                job(token)
            except Exception as error:
                logging.getLogger(__name__).error("job failed: %s", redact(str(error)))

    def stop(self, *, timeout=None):
        thread, token = self._thread, self._token
        if thread is None:
            return True
        token.cancel()
        thread.join(None if timeout is None else timeout.total_seconds())
        if not thread.is_alive():
            self._thread = None
        return not thread.is_alive()
'''

SUITE = """
from again import Again
from media_watch_tasks.testing.contracts.scheduler import SchedulerContract


class TestAgain(SchedulerContract):
    def make_scheduler(self):
        return Again()
"""


def _run_suite(wheel: Wheel, folder: Path, scheduler: str) -> subprocess.CompletedProcess[str]:
    (folder / "again.py").write_text(scheduler)
    (folder / "test_again.py").write_text(SUITE)
    return wheel.run("-m", "pytest", "-p", "no:cacheprovider", "--rootdir=.", "test_again.py", tools=True, cwd=folder)


def test_a_third_party_can_use_a_contract_suite_in_three_lines(wheel: Wheel, tmp_path: Path) -> None:
    done = _run_suite(wheel, tmp_path, SCHEDULER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"=+ \d+ passed in ", done.stdout)


def test_a_contract_suite_fails_a_wrong_implementation_in_words(wheel: Wheel, tmp_path: Path) -> None:
    wrong = SCHEDULER.replace("return not thread.is_alive()", "return False")
    done = _run_suite(wheel, tmp_path, wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    # Without assertion rewriting a failed assert shows nothing but the line; with it, the values.
    assert re.search(r"^E +assert False$|^E +.*where False = ", done.stdout, re.MULTILINE), done.stdout
