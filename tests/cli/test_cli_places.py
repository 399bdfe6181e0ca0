"""What a place is called on a command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.cli.places import open_destination, open_source
from media_watch_tasks.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "destination_id"),
    [
        ("https://media.example.org/in/{path}", "HttpUploader:https://media.example.org/in/{path}"),
        ("tus+https://media.example.org/files/", "TusUploader:https://media.example.org/files/"),
        ("s3://footage", "S3Uploader:footage/{path}"),
        ("s3://footage/camera-1/", "S3Uploader:footage/camera-1/{path}"),
        ("s3://footage/{year}/{name}", "S3Uploader:footage/{year}/{name}"),
    ],
)
def test_a_destination_is_what_its_beginning_says(
    text: str, destination_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with open_destination(text, environment={}) as uploader:
        assert uploader.destination_id == destination_id


def test_a_folder_is_a_destination(tmp_path: Path) -> None:
    with open_destination(str(tmp_path), environment={}) as uploader:
        assert uploader.destination_id == f"DirectoryUploader:{tmp_path}"


@pytest.mark.parametrize("text", ["ftp://host/folder", "smb://user@host/share"])
def test_a_destination_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="a destination is a folder, or begins with https://"):
        open_destination(text, environment={})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("smb://host/share", "name a share as"),
        ("smb://user@host", "name a share as"),
        ("smb://user@host/share", "put the password of user into MWT_SMB_PASSWORD"),
    ],
)
def test_a_share_that_is_not_fully_named_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said), open_source(text, environment={}):
        pytest.fail("it was opened")


def test_a_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="MWT_SMB_PASSWORD") as refused, open_source(
        "smb://user:hunter2@host/share", environment={}
    ):  # fmt: skip
        pytest.fail("it was opened")
    assert "hunter2" not in str(refused.value)


def test_without_its_extra_the_command_names_it(mwt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("media_watch_tasks.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    refused = mwt("status")
    assert refused.code == 2
    assert 'pip install "media-watch-tasks[cli]"' in refused.err
