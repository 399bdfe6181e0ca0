"""Files of a local source are renamed without anything being overwritten."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import LocalMediaResolver
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetNotFound
from media_watch_tasks.local import renaming
from media_watch_tasks.model.assets import MediaAsset

TOKEN = CancelToken()


@pytest.fixture(params=["at once", "in two steps", "with a look before"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source on file systems of three kinds, with a file that stands aside."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    if request.param != "at once":
        monkeypatch.setattr(renaming, "_rename_at_once", lambda: refuse)
    if request.param != "in two steps":
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / ".mwt-aside").write_bytes(b"mine")
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_put_back_gives_the_name_back(source: Path) -> None:
    assert LocalMediaResolver(source).put_back(b"card/.mwt-aside", b"card/a.mov", cancel=TOKEN)
    assert names(source) == ["card/a.mov"]
    assert (source / "card/a.mov").read_bytes() == b"mine"


def test_put_back_overwrites_nothing(source: Path) -> None:
    (source / "card/a.mov").write_bytes(b"another")
    assert not LocalMediaResolver(source).put_back(b"card/.mwt-aside", b"card/a.mov", cancel=TOKEN)
    assert names(source) == ["card/.mwt-aside", "card/a.mov"]
    assert (source / "card/a.mov").read_bytes() == b"another"


def test_move_makes_folders_and_gives_a_number_where_the_name_is_taken(source: Path) -> None:
    resolver = LocalMediaResolver(source)
    for content in (b"first", b"second", b"third"):
        (source / "a.mov").write_bytes(content)
        resolver.move_to(b"a.mov", b".delivered/x/a.mov", cancel=TOKEN)
    moved = source / ".delivered" / "x"
    assert names(moved) == ["a (1).mov", "a (2).mov", "a.mov"]
    held = [(moved / name).read_bytes() for name in ("a.mov", "a (1).mov", "a (2).mov")]
    assert held == [b"first", b"second", b"third"]


def test_what_is_gone_is_said_to_be_gone(source: Path) -> None:
    resolver = LocalMediaResolver(source)
    with pytest.raises(AssetNotFound):
        resolver.put_back(b"card/.mwt-gone", b"card/a.mov", cancel=TOKEN)
    with pytest.raises(AssetNotFound):
        resolver.move_to(b"card/gone.mov", b"a.mov", cancel=TOKEN)
    with pytest.raises(AssetNotFound):
        resolver.set_aside(MediaAsset("s", b"card/gone.mov", 1, 1), b"card/.mwt-x", cancel=TOKEN)


def test_the_second_step_of_a_call_that_died_after_the_first_is_made_up_for(tmp_path: Path) -> None:
    (tmp_path / ".mwt-aside").write_bytes(b"mine")
    os.link(tmp_path / ".mwt-aside", tmp_path / "a.mov")
    assert LocalMediaResolver(tmp_path).put_back(b".mwt-aside", b"a.mov", cancel=TOKEN)
    assert names(tmp_path) == ["a.mov"]


def test_a_rename_is_one_step_where_the_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a second name was made, which a crash would leave")

    monkeypatch.setattr(os, "link", never)
    monkeypatch.setattr(os, "unlink", never)
    (tmp_path / ".mwt-aside").write_bytes(b"mine")
    assert LocalMediaResolver(tmp_path).put_back(b".mwt-aside", b"a.mov", cancel=TOKEN)
    assert names(tmp_path) == ["a.mov"]
