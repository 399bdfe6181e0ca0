"""What the tests of DirectoryUploader share: a destination, a source in memory, and programs under other conditions."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.uploaders import DirectoryUploader

HANG_GUARD = 100.0
PROGRAM = """
import errno, json, os, stat, subprocess, sys
from media_watch_tasks import errors
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.uploaders import DirectoryUploader

target = sys.argv[1]
tree = FakeTree()

def new(path, data):
    return FakeResolver(tree).resolve_for_upload(tree.put(path, data), cancel=CancelToken())

def say(*values):
    print(json.dumps(values), flush=True)

def attempt(uploader, media, **settings):
    try:
        receipt = uploader.upload(media, FakeContext.for_media(media, **settings))
    except errors.MediaWatchError as error:
        return type(error).__name__, str(error)
    return "delivered", receipt.remote_id

def everything(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)

BODY
"""
_CAPABILITIES = "-dac_override,-dac_read_search"


class RunProgram(Protocol):
    def __call__(self, body: str, *, under: Sequence[str] = (), code: int = 0) -> list[list[Any]]: ...


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty destination."""
    target = tmp_path / "backup"
    target.mkdir()
    return target


@pytest.fixture
def run_program(tmp_path: Path, target: Path) -> RunProgram:
    """Run a program against the destination; what it said."""

    def run(body: str, *, under: Sequence[str] = (), code: int = 0) -> list[list[Any]]:
        script = tmp_path / "program.py"
        script.write_text(PROGRAM.replace("BODY", textwrap.dedent(body)), encoding="utf-8")
        done = subprocess.run(
            [*under, sys.executable, str(script), str(target)],
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_GUARD,
            # Faults count calls: none of them is to be spent on compiled modules.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == code, done.stderr[-3_000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def own_mounts() -> list[str]:
    """The start of a command that may mount what it likes, seen by nobody else."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


@pytest.fixture
def ordinary_rights() -> list[str]:
    """The start of a command to whom permission bits apply, as they do not to root."""
    return ["setpriv", "--bounding-set", _CAPABILITIES] if os.geteuid() == 0 else []


@attrs.frozen
class Source:
    """A source in memory, and uploads from it to one destination."""

    tree: FakeTree = attrs.field(factory=FakeTree)

    def resolve(self, asset: MediaAsset) -> ResolvedMedia:
        return FakeResolver(self.tree).resolve_for_upload(asset, cancel=CancelToken())

    def new(self, path: str | bytes, data: bytes, *, mtime_ns: int | None = None) -> ResolvedMedia:
        return self.resolve(self.tree.put(path, data, mtime_ns=mtime_ns))

    def context(self, uploader: DirectoryUploader, media: ResolvedMedia, **settings: Any) -> FakeContext:
        return FakeContext.for_media(media, destination_id=uploader.destination_id, **settings)

    def upload(self, uploader: DirectoryUploader, media: ResolvedMedia, **settings: Any) -> UploadReceipt:
        return uploader.upload(media, self.context(uploader, media, **settings))

    def find(self, uploader: DirectoryUploader, media: ResolvedMedia, **settings: Any) -> UploadReceipt | None:
        return uploader.find_existing(media, self.context(uploader, media, **settings))


@pytest.fixture
def source() -> Source:
    """An empty source."""
    return Source()


@pytest.fixture
def everything(target: Path) -> Callable[[], dict[str, bytes]]:
    """A function: every file at the destination, hidden ones too, path -> bytes."""

    def look() -> dict[str, bytes]:
        return {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}

    return look


@pytest.fixture
def sha256() -> Callable[[bytes], str]:
    """The hash of bytes, in hex."""
    return lambda data: hashlib.sha256(data).hexdigest()
