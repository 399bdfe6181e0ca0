"""What a place is called on a command line: folders, shares, URLs, buckets and databases."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from media_watch_tasks.abc import MediaResolver, MediaScanner, Uploader
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.http import BearerAuth, HttpAuth, shown
from media_watch_tasks.http.origins import split_url
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.sqlite import SqliteStores
from media_watch_tasks.uploaders import DirectoryUploader, HttpUploader, S3Uploader, TusUploader

__all__ = ["HTTP_PASSWORD", "HTTP_TOKEN", "SMB_PASSWORD", "open_destination", "open_source", "open_stores"]

SMB_PASSWORD = "MWT_SMB_PASSWORD"  # noqa: S105 - the name of a variable
"""The environment variable with the password of the share."""
HTTP_TOKEN = "MWT_HTTP_TOKEN"  # noqa: S105 - the name of a variable
"""The environment variable with the bearer token of an HTTP or tus server; without it none is sent."""
HTTP_PASSWORD = "MWT_HTTP_PASSWORD"  # noqa: S105 - the name of a variable
"""The environment variable with the password of the user whom the URL of an HTTP or tus server names."""

_DATABASE_SERVERS = ("postgresql://", "postgres://")
_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*:[^/?#]*@", re.IGNORECASE)
_DATABASE_PASSWORD = re.compile(r"[?&](?:ssl)?password=", re.IGNORECASE)


@contextmanager
def open_source(
    text: str, only: MediaFilter | None = None, *, environment: Mapping[str, str] = os.environ
) -> Iterator[tuple[MediaScanner, MediaResolver]]:
    """A folder of this machine, or `smb://[DOMAIN;]user@host[:port]/share[/folder]`; `only`: which files of it.

    Raises:
        ConfigurationError: the URL has no user, host or share, has a password in it, or there is none in
            `MWT_SMB_PASSWORD`.
    """
    _refuse_password(text, f"put it into {SMB_PASSWORD}")
    if not text.startswith("smb://"):
        yield LocalMediaScanner(text, filter=only), LocalMediaResolver(text)
        return
    url = urlsplit(text)
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
    """An uploader: a folder, `https://[user@]host/{path}`, `tus+https://[user@]host/files/` or `s3://bucket/folder`.

    An S3 key is the folder and the path of the file, unless it is a template of its own (`s3://bucket/{year}/{name}`).

    Raises:
        ConfigurationError: the URL is none that the uploader can use, has a password in it, or names a user whose
            password does not stand in `MWT_HTTP_PASSWORD`.
    """
    _refuse_password(
        text, f"put it into {HTTP_PASSWORD}, or a token into {HTTP_TOKEN}; for S3 see AWS_SECRET_ACCESS_KEY"
    )
    if text.startswith(("http://", "https://")):
        url, auth = _credentials(text, environment)
        return HttpUploader(url, auth=auth)
    if text.startswith(("tus+http://", "tus+https://")):
        url, auth = _credentials(text.removeprefix("tus+"), environment)
        return TusUploader(url, auth=auth)
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
        ConfigurationError: there is no such file, or the URL has a password in it.
        StoreError: it cannot be used.
    """
    _refuse_password(text, "put it into PGPASSWORD or ~/.pgpass", also=_DATABASE_PASSWORD)
    if text.startswith(_DATABASE_SERVERS):
        return PostgresStores(text)
    if not create and not Path(text).exists():
        raise ConfigurationError(f"there is no database {text}: name the file that `mwt run` or `mwt watch` was given")
    return SqliteStores(text)


def _refuse_password(text: str, way: str, *, also: re.Pattern[str] | None = None) -> None:
    # In a variable such as MWT_DATABASE it would be safe: one rule for both is easier to keep.
    if _PASSWORD.match(text) or (also is not None and also.search(text)):
        raise ConfigurationError(
            f"a URL must not hold a password, as every user of this machine sees those of command lines: {way}"
        )


def _credentials(text: str, environment: Mapping[str, str]) -> tuple[str, HttpAuth | tuple[str, str] | None]:
    """The URL without the user, and what is sent with each request."""
    url, user, _ = split_url(text)
    if user is None:
        token = environment.get(HTTP_TOKEN)
        return text, BearerAuth(token) if token else None
    password = environment.get(HTTP_PASSWORD)
    if password is None:
        raise ConfigurationError(f"{shown(url)}: put the password of {user} into {HTTP_PASSWORD}")
    return url, (user, password)
