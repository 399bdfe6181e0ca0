"""Runs the command in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from media_watch_tasks.cli import main


@attrs.frozen
class Ran:
    """How a call of the command ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Mwt = Callable[..., Ran]


@pytest.fixture
def mwt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mwt:
    monkeypatch.setenv("COLUMNS", "400")

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return call


@attrs.frozen
class Place:
    """A source, a destination and a database."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def route(self) -> tuple[Path, Path]:
        return self.source, self.inbox

    @property
    def delivered(self) -> dict[str, bytes]:
        files = (path for path in self.inbox.rglob("*") if path.is_file())
        return {path.relative_to(self.inbox).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    found.source.mkdir()
    found.inbox.mkdir()
    monkeypatch.setenv("MWT_DATABASE", str(tmp_path / "watch.db"))
    return found
