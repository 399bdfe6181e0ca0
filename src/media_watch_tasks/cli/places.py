"""What a place is called on a command line: folders, shares, URLs, buckets and databases."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from media_watch_tasks.abc import MediaResolver, MediaScanner, Uploader
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.http import BearerAuth
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.sqlite import SqliteStores
from media_watch_tasks.uploaders import DirectoryUploader, HttpUploader, S3Uploader, TusUploader

__all__ = ["HTTP_TOKEN", "SMB_PASSWORD", "open_destination", "open_source", "open_stores"]

SMB_PASSWORD = "MWT_SMB_PASSWORD"  # noqa: S105 - the name of a variable
"""The environment variable with the password of the share."""
HTTP_TOKEN = "MWT_HTTP_TOKEN"  # noqa: S105 - the name of a variable
"""The environment variable with the bearer token of an HTTP or tus server; without it none is sent."""

_DATABASE_SERVERS = ("postgresql://", "postgres://")


@contextmanager
def open_source(
    text: str, only: MediaFilter | None = None, *, environment: Mapping[str, str] = os.environ
) -> Iterator[tuple[MediaScanner, MediaResolver]]:
    """A folder of this machine, or `smb://[DOMAIN;]user@host[:port]/share[/folder]`; `only`: which files of it.

    Raises:
        ConfigurationError: the URL has no user, host or share, has a password in it, or there is none in
            `MWT_SMB_PASSWORD`.
    """
    if not text.startswith("smb://"):
        yield LocalMediaScanner(text, filter=only), LocalMediaResolver(text)
        return
    url = urlsplit(text)
    if url.password is not None:
        raise ConfigurationError(
            f"a password on the command line is seen by every user of this machine: put it into {SMB_PASSWORD}"
        )
    share, _, root = unquote(url.path).strip("/").partition("/")
    if not (url.username and url.hostname and share):
        raise ConfigurationError(f"{text}: name a share as smb://user@host/share or smb://user@host/share/folder")
    password = environment.get(SMB_PASSWORD)
    if password is None:
        raise ConfigurationError(f"{text}: put the password of {unquote(url.username)} into {SMB_PASSWORD}")
    user = unquote(url.username).replace(";", "\\")
    with SmbConnection(url.hostname, share, username=user, password=password, port=url.port or 445) as connection:
        yield SmbMediaScanner(connection, root, filter=only), SmbMediaResolver(connection, root)


def open_destination(text: str, *, environment: Mapping[str, str] = os.environ) -> Uploader:
    """An uploader: a folder, `https://host/{path}`, `tus+https://host/files/` or `s3://bucket/folder`.

    An S3 key is the folder and the path of the file, unless it is a template of its own (`s3://bucket/{year}/{name}`).

    Raises:
        ConfigurationError: the URL is none that the uploader can use.
    """
    token = environment.get(HTTP_TOKEN)
    auth = BearerAuth(token) if token else None
    if text.startswith(("http://", "https://")):
        return HttpUploader(text, auth=auth)
    if text.startswith(("tus+http://", "tus+https://")):
        return TusUploader(text.removeprefix("tus+"), auth=auth)
    if text.startswith("s3://"):
        bucket, _, folder = text.removeprefix("s3://").partition("/")
        template = folder if "{" in folder else "/".join([*filter(None, folder.split("/")), "{path}"])
        # Two folders of one bucket are two destinations.
        return S3Uploader(bucket, template, destination_id=f"S3Uploader:{bucket}/{template}")
    if "://" in text:
        raise ConfigurationError(f"{text}: a destination is a folder, or begins with https://, tus+https:// or s3://")
    return DirectoryUploader(text)


def open_stores(text: str, *, create: bool) -> SqliteStores | PostgresStores:
    """The database: a file, or the URL of a PostgreSQL server. `create` False: a file has to exist.

    Raises:
        ConfigurationError: there is no such file.
        StoreError: it cannot be used.
    """
    if text.startswith(_DATABASE_SERVERS):
        return PostgresStores(text)
    if not create and not Path(text).exists():
        raise ConfigurationError(f"there is no database {text}: name the file that `mwt run` or `mwt watch` was given")
    return SqliteStores(text)
