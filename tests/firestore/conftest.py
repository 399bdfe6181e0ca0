"""Google's Firestore emulator, one a test process, a client and project a test, and proxies that make faults."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import grpc
import pytest
from google.cloud import firestore

from media_watch_tasks import SqliteStores
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.sources import BaselineState, PageRecord

START_SECONDS = 60
COMMIT = "/google.firestore.v1.Firestore/Commit"
STREAMS = ("BatchGetDocuments", "RunQuery")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Emulator:
    """A private emulator; its programs form a process group of their own."""

    def __init__(self, log: Path) -> None:
        self.port = _free_port()
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["gcloud", "emulators", "firestore", "start", f"--host-port=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        for _ in range(START_SECONDS * 10):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        raise RuntimeError(f"the emulator did not start:\n{self.log.read_text(errors='replace')[-2_000:]}")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running_emulator() -> Iterator[int]:
    """The port of an emulator; of one that runs already where MWT_FIRESTORE_EMULATOR_PORT names it."""
    running = os.environ.get("MWT_FIRESTORE_EMULATOR_PORT")
    if running:
        yield int(running)
        return
    for program in ("gcloud", "java"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: the Firestore emulator needs the Google Cloud CLI and Java")
    with tempfile.TemporaryDirectory() as folder:
        emulator = Emulator(Path(folder) / "emulator.log")
        try:
            emulator.wait_until_ready()
            yield emulator.port
        finally:
            emulator.stop()


@pytest.fixture(scope="session")
def emulator_port() -> Iterator[int]:
    with running_emulator() as port:
        yield port


def make_client(port: int, project: str) -> firestore.Client:
    """A client of whatever stands at the port."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
        return firestore.Client(project=project)


@pytest.fixture
def project() -> str:
    """A project of the test's own: an empty database."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client_at(project: str) -> Iterator[Callable[[int], firestore.Client]]:
    """Makes clients of the test's project at a port."""
    with contextlib.ExitStack() as stack:

        def make(port: int) -> firestore.Client:
            client = make_client(port, project)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(emulator_port: int, client_at: Callable[[int], firestore.Client]) -> firestore.Client:
    """A client of the emulator itself."""
    return client_at(emulator_port)


class Faults:
    """What the gRPC proxy does to commits, drawn at random from a list; every fault counts when it fires."""

    def __init__(self, *kinds: str, share: float = 0.5, seed: int = 1, most: int | None = None) -> None:
        self.kinds, self.share, self.most = kinds, share, most
        self.fired: Counter[str] = Counter()
        self._draw = random.Random(seed)
        self._lock = threading.Lock()

    def next(self) -> str | None:
        with self._lock:
            if not self.kinds or self._draw.random() >= self.share or self.fired.total() == self.most:
                return None
            # Each kind in turn, so that all of them fire whatever is drawn.
            kind = self.kinds[self.fired.total() % len(self.kinds)]
            self.fired[kind] += 1
            return kind


class GrpcProxy:
    """A gRPC server before the emulator: it answers with any status, before or after the emulator has acted."""

    def __init__(self, target: int) -> None:
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.commits: list[bytes] = []
        """The requests that reached the emulator."""
        self.ended: list[bytes] = []
        """The requests whose call is over, also where nobody waited for the answer any more."""
        self.on_commit: Callable[[bytes], None] | None = None
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{target}", options=options)
        self._pool = ThreadPoolExecutor(16)
        self._server = grpc.server(self._pool, options=options)
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        name = details.method.rpartition("/")[2]
        self.calls[name] += 1
        if name in STREAMS:
            call = self._channel.unary_stream(details.method)
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: call(request, metadata=self._metadata(context))
            )
        if details.method == COMMIT:
            return grpc.unary_unary_rpc_method_handler(self._commit)
        plain = self._channel.unary_unary(details.method)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: plain(request, metadata=self._metadata(context))
        )

    def wait_until_all_ended(self) -> None:
        """Until no commit is on its way any more."""
        until = time.monotonic() + START_SECONDS
        while len(self.ended) != self.calls["Commit"]:
            assert time.monotonic() < until, "a commit is still on its way"
            time.sleep(0.01)

    def _commit(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return self._passed_on(request, context)
        finally:
            self.ended.append(request)

    def _passed_on(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self.on_commit is not None:
            self.on_commit(request)
        kind = self.faults.next()
        if kind is not None and kind.startswith("slow"):
            time.sleep(float(kind.partition(" ")[2]))
        elif kind is not None and not kind.startswith("lost"):
            context.abort(grpc.StatusCode[kind], f"a fault made by the test: {kind}")
        self.commits.append(request)
        try:
            answer: bytes = self._channel.unary_unary(COMMIT)(request, metadata=self._metadata(context), timeout=30)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        if kind is not None and kind.startswith("lost"):
            status = kind.partition(" ")[2] or "UNAVAILABLE"
            context.abort(grpc.StatusCode[status], "applied, and the answer lost")
        return answer

    @staticmethod
    def _metadata(context: grpc.ServicerContext) -> list[tuple[str, Any]]:
        return [
            pair
            for pair in context.invocation_metadata()
            if pair[0] in {"authorization", "google-cloud-resource-prefix"}
        ]

    def close(self) -> None:
        self._server.stop(None).wait()
        self._channel.close()
        self._pool.shutdown()


@pytest.fixture
def grpc_proxy(emulator_port: int) -> Iterator[GrpcProxy]:
    proxy = GrpcProxy(emulator_port)
    yield proxy
    proxy.close()


class ByteProxy:
    """A TCP proxy before the emulator: it delays bytes, swallows answers, and cuts connections."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.delay = 0.0
        self.swallow_answers = False
        self.cuts = self.swallowed = self.delayed = 0
        self.cut_after: int | None = None
        """Cut each connection after so many bytes from the client."""
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                self._pairs.append((near, far))
                self._ends += [near, far]
                self._start(self._pump, near, far, True)
                self._start(self._pump, far, near, False)

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                if not up and self.delay:
                    time.sleep(self.delay)
                    self.delayed += 1
                if not up and self.swallow_answers:
                    self.swallowed += 1
                    continue
                passed += len(piece)
                if up and self.cut_after is not None and passed > self.cut_after:
                    self.cuts += 1
                    break
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End all connections now."""
        pairs, self._pairs = self._pairs, []
        for near, far in pairs:
            self.cuts += 1
            for end in (near, far):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for end in self._ends:
            end.close()


@pytest.fixture
def byte_proxy(emulator_port: int) -> Iterator[ByteProxy]:
    proxy = ByteProxy(emulator_port)
    yield proxy
    proxy.close()


class Place:
    """A database with a source in it, changed by hand as scans would change it."""

    def __init__(self, stores: SqliteStores, source_id: str = "nas") -> None:
        self.stores, self.source_id = stores, source_id
        self.media = stores.media_state
        lease = self.media.acquire_scan(source_id, owner="test", lease_ns=10**15)
        assert lease is not None
        self.lease = lease
        self.baseline(BaselineState.COMPLETE)

    def baseline(self, state: BaselineState) -> None:
        known = self.media.source(self.source_id)
        complete = 1 if state is BaselineState.COMPLETE else known.last_complete_ns
        self.media.save_source(attrs.evolve(known, baseline=state, last_complete_ns=complete))

    def put(self, *paths: str | bytes, version: int = 1) -> None:
        """New files, or new versions of them."""
        by_directory: dict[bytes, list[MediaAsset]] = {}
        for path in paths:
            asset_id = path if isinstance(path, bytes) else path.encode()
            asset = MediaAsset(self.source_id, asset_id, 1_000 + version, 1_700_000_000_000_000_000 + version)
            by_directory.setdefault(asset.directory, []).append(asset)
        for directory, seen in by_directory.items():
            assert self.media.record_page(self.lease, PageRecord(directory=directory, seen=tuple(seen), complete=True))

    def describe(self, path: str, metadata: MediaMetadata) -> None:
        (state,) = self.media.assets(self.source_id, [path.encode()])
        assert state is not None
        self.media.save_metadata(self.source_id, path.encode(), state.fingerprint, metadata)

    def lose(self, *paths: str) -> None:
        self.media.mark_missing(self.source_id, [path.encode() for path in paths])

    def move(self, path: str, to: str) -> None:
        (state,) = self.media.assets(self.source_id, [path.encode()])
        assert state is not None
        moved = MediaAsset(self.source_id, to.encode(), *state.fingerprint)
        assert self.media.move_asset(self.source_id, path.encode(), moved)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[SqliteStores]:
    with SqliteStores(tmp_path / "watch.db") as stores:
        yield stores


@pytest.fixture
def place(stores: SqliteStores) -> Place:
    return Place(stores)


@pytest.fixture
def places() -> type[Place]:
    """For databases of a test's own."""
    return Place


@pytest.fixture
def faults() -> type[Faults]:
    return Faults
