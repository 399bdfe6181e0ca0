"""Servers that uploaders deliver to, and a manager whose files they deliver."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import boto3
import pytest
from botocore.config import Config
from tests.uploaders.s3.presigned_service import TOKEN, Service, TroubledApp

from media_watch_tasks import SqliteStores
from media_watch_tasks.abc import Uploader
from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.events import Event
from media_watch_tasks.model.tasks import Task
from media_watch_tasks.options import RetryOptions, TaskManagerOptions
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeResolver, FakeScanner, FakeTree
from media_watch_tasks.testing.s3 import StrictS3

MakeClient = Callable[..., Any]
EXAMPLES = Path(__file__).parents[3] / "examples"

_SESSION = boto3.session.Session()  # it has read the descriptions of S3, which takes half a second


def make_client(url: str, *, access_key: str, secret_key: str, attempts: int = 1, **config: Any) -> Any:
    """A client as the uploader makes one for itself, for a server on this machine; it does not retry by itself."""
    return _SESSION.client(
        "s3",
        endpoint_url=url,
        region_name=StrictS3.region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            s3={"payload_signing_enabled": False, "addressing_style": "path", **config.pop("s3", {})},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": attempts},
            **{"read_timeout": 20, **config},
        ),
    )


@pytest.fixture
def s3() -> Iterator[StrictS3]:
    with StrictS3() as server:
        yield server
        assert server.faults.unfired == []


@pytest.fixture
def client_for() -> MakeClient:
    """Makes a client for a `StrictS3`, with the credentials that it knows now."""

    def make(server: StrictS3, **config: Any) -> Any:
        known = server.credentials
        return make_client(server.url, access_key=known.access_key, secret_key=known.secret_key, **config)

    return make


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert process.poll() is None, "moto_server ended"
            time.sleep(0.1)
    pytest.fail("moto_server does not answer")


@pytest.fixture
def moto_client(moto_url: str) -> Any:
    return make_client(moto_url, access_key="AKIAMOTO", secret_key="moto")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import presigned_server  # noqa: PLC0415 - stands in examples

    yield presigned_server
    sys.modules.pop("presigned_server", None)


@pytest.fixture
def serve(example: Any, s3: StrictS3, client_for: Callable[..., Any]) -> Iterator[Callable[..., Service]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Service:
            client = client_for(s3, signature_version="s3v4")
            app = example.Service(client, s3.bucket, token=TOKEN, process_seconds=0, **settings)
            app.front = TroubledApp(app.app)
            return Service(app, stack.enter_context(example.serving(app.front)), s3, stack)

        yield make


@attrs.define
class Watch:
    """A manager over a source in memory, on a real database, one worker."""

    folder: Path
    stack: ExitStack
    clock: FakeClock = attrs.field(factory=FakeClock)
    tree: FakeTree = attrs.field(factory=FakeTree)
    events: list[Event] = attrs.field(factory=list)

    @property
    def database(self) -> Path:
        return self.folder / "watch.db"

    def manager(
        self, uploader: Uploader, *, resolver: Any = None, parts: dict[str, Any] | None = None, **options: Any
    ) -> TaskManager:
        stores = self.stack.enter_context(SqliteStores(self.database, clock=self.clock))
        chosen: dict[str, Any] = {
            "settle_for": timedelta(0),
            "workers": 1,
            "retry": RetryOptions(initial=timedelta(seconds=10), jitter=0),
            **options,
        }
        manager = TaskManager(
            media_scanner=FakeScanner(self.tree),
            media_resolver=resolver or FakeResolver(self.tree),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=uploader,
            options=TaskManagerOptions(**chosen),
            clock=self.clock,
            rng=random.Random(7),
            **(parts or {}),
        )
        manager.subscribe(self.events.append)
        self.stack.enter_context(manager)
        manager.initialize_baseline()
        return manager

    def scan(self, manager: TaskManager) -> None:
        manager.scan_and_enqueue_new()
        self.clock.advance(timedelta(minutes=1))

    def run(self, manager: TaskManager) -> Task:
        """Scan, let files settle, process; the only task."""
        self.scan(manager)
        manager.process()
        return self.only(manager)

    def again(self, manager: TaskManager, after: timedelta = timedelta(hours=1)) -> Task:
        """Wait for the back-off or the pause, and process."""
        self.clock.advance(after)
        manager.process()
        return self.only(manager)

    def only(self, manager: TaskManager) -> Task:
        (task,) = manager.tasks()
        return task


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    with ExitStack() as stack:
        yield Watch(tmp_path, stack)
