"""What a place is called on a command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.cli.places import open_destination, open_source, open_stores
from media_watch_tasks.errors import ConfigurationError


def _stores(text: str, *, environment: dict[str, str]) -> Any:
    assert environment == {}
    return open_stores(text, create=True)


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


@pytest.mark.parametrize(
    ("open_place", "text", "way"),
    [
        (open_source, "smb://user:hunter2@host/share", "MWT_SMB_PASSWORD"),
        (open_source, "sftp://user:hunter2@host/folder", "MWT_SMB_PASSWORD"),
        (open_destination, "https://user:hunter2@host/{path}", "MWT_HTTP_PASSWORD"),
        (open_destination, "HTTPS://:hunter2@host/{path}", "MWT_HTTP_TOKEN"),
        (open_destination, "tus+https://user:hunter2@host/files/", "MWT_HTTP_PASSWORD"),
        (open_destination, "https://user:hunter2@[bad/{path}", "MWT_HTTP_PASSWORD"),
        (open_destination, "s3://key:hunter2@bucket/folder", "AWS_SECRET_ACCESS_KEY"),
        (open_destination, "ftp://user:hunter2@host/folder", "MWT_HTTP_PASSWORD"),
        (_stores, "postgresql://user:hunter2@host/database", "PGPASSWORD or ~/.pgpass"),
        (_stores, "postgres://user:hunter2@one,two:5433/database", "PGPASSWORD"),
        (_stores, "postgresql://host/database?user=user&password=hunter2", "PGPASSWORD"),
        (_stores, "postgresql:///database?sslpassword=hunter2", "PGPASSWORD"),
        (_stores, "mysql://user:hunter2@host/database", "PGPASSWORD"),
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(open_place: Any, text: str, way: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(way)) as refused, open_place(text, environment={}):
        pytest.fail("it was opened")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["https://user@host/{path}", "tus+https://user@host/files/"])
def test_the_user_of_a_url_needs_the_password_of_the_environment(text: str) -> None:
    with pytest.raises(ConfigurationError, match="put the password of user into MWT_HTTP_PASSWORD"):
        open_destination(text, environment={"MWT_HTTP_TOKEN": "token"})
    with open_destination(text, environment={"MWT_HTTP_PASSWORD": "hunter2"}) as uploader:
        assert "user" not in uploader.destination_id


def test_without_its_extra_the_command_names_it(mwt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("media_watch_tasks.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    refused = mwt("status")
    assert refused.code == 2
    assert 'pip install "media-watch-tasks[cli]"' in refused.err
