"""Documents into Firestore's emulator, and a small change among many rows.

    python tests/benchmarks/bench_firestore.py [--documents N] [--rounds N] [--rows N]     # 0 leaves a part out

The same documents are written by a plain loop over `WriteBatch`, by `BulkWriter`, and by the catalog sync with one
commit at a time and with four, in turns, each into a project of its own that is emptied afterwards; a query counts what
has arrived. Then 100 of a million rows change, and a sync is timed with what it reads and writes; our own time is the
total less the time inside of calls.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import attrs
from google.cloud import firestore
from google.cloud.firestore_v1.bulk_writer import BulkWriterOptions

from media_watch_tasks import MediaAsset, SqliteStores
from media_watch_tasks.firestore import CatalogEntry, CatalogMapping, DocumentMapping, FirestoreCatalogSync
from media_watch_tasks.firestore.watermark import Progress, Watermark
from media_watch_tasks.model.metadata import AudioTrack, MediaMetadata, VideoTrack
from media_watch_tasks.model.sources import BaselineState, PageRecord, SourceState

SOURCE = "nas"
IN_DIRECTORY = 100
METADATA = MediaMetadata(
    container="mov",
    duration=61.5,
    bit_rate=8_000_000,
    title="Day 1",
    video=(VideoTrack(codec="h264", width=1920, height=1080, average_frame_rate=25.0),),
    audio=(AudioTrack(codec="aac", channels=2, sample_rate=48_000),),
)


@contextlib.contextmanager
def emulator() -> Iterator[None]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        ["gcloud", "emulators", "firestore", "start", f"--host-port=127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{port}"
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def asset_of(number: int, version: int = 1) -> MediaAsset:
    series = number // IN_DIRECTORY
    path = f"Catalog {series // 100}/Series {series}/file {number:07}.mov".encode()
    return MediaAsset(SOURCE, path, 1_000_000 + number, 1_700_000_000_000_000_000 + number + version)


def fill(stores: SqliteStores, count: int, *, described: bool) -> None:
    media = stores.media_state
    lease = media.acquire_scan(SOURCE, owner="benchmark", lease_ns=10**15)
    assert lease is not None
    for first in range(0, count, IN_DIRECTORY):
        seen = tuple(asset_of(number) for number in range(first, first + IN_DIRECTORY))
        record = PageRecord(directory=seen[0].directory, seen=seen, complete=True)
        if described:
            with media.transaction():
                media.record_page(lease, record)
                for asset in seen:
                    media.save_metadata(SOURCE, asset.asset_id, asset.fingerprint, METADATA)
        else:
            media.record_page(lease, record)
    media.save_source(SourceState(source_id=SOURCE, baseline=BaselineState.COMPLETE, last_complete_ns=1))


def documents(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the catalog sync writes, as a program of one's own would make it."""
    mapping = DocumentMapping()
    for number in range(count):
        asset = asset_of(number)
        path = mapping.path(SOURCE, asset.asset_id)
        assert path is not None
        entry = CatalogEntry(asset=asset, metadata=METADATA, first_seen_ns=1_700_000_000_000_000_000)
        yield path, {**mapping.fields(entry), "source": SOURCE, "asset_id": asset.asset_id}


def plain_loop(client: firestore.Client, _stores: SqliteStores, count: int) -> None:
    batch, size = client.batch(), 0
    for path, fields in documents(count):
        batch.set(client.document(path), fields)
        size += 1
        if size == 500:
            batch.commit()
            batch, size = client.batch(), 0
    if size:
        batch.commit()


def bulk_writer(client: firestore.Client, _stores: SqliteStores, count: int) -> None:
    # Its own ramp would hold it to 500 a second, as ours does by default.
    writer = client.bulk_writer(
        options=BulkWriterOptions(initial_ops_per_second=1_000_000, max_ops_per_second=1_000_000)
    )
    for path, fields in documents(count):
        writer.set(client.document(path), fields)
    writer.close()


def sync_with(flights: int) -> Callable[[firestore.Client, SqliteStores, int], None]:
    def run(client: firestore.Client, stores: SqliteStores, _count: int) -> None:
        FirestoreCatalogSync(client, stores, flights=flights, ramp=None).sync_incremental()

    return run


def arrived(client: firestore.Client) -> int:
    ((result,),) = client.collection("files").count().get()
    return int(result.value)


def empty(client: firestore.Client) -> None:
    """So that all find the emulator's memory as the first did."""
    address, path = os.environ["FIRESTORE_EMULATOR_HOST"], f"projects/{client.project}/databases/(default)/documents"
    urllib.request.urlopen(urllib.request.Request(f"http://{address}/emulator/v1/{path}", method="DELETE")).close()


def bench_documents(count: int, rounds: int, folder: Path) -> None:
    ways: dict[str, Callable[[firestore.Client, SqliteStores, int], None]] = {
        "WriteBatch loop": plain_loop,
        "BulkWriter": bulk_writer,
        "catalog sync, 1 flight": sync_with(1),
        "catalog sync, 4 flights": sync_with(4),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    shares: dict[str, list[float]] = {name: [] for name in ways}
    with SqliteStores(folder / "documents.db") as stores:
        fill(stores, count, described=True)
        warm_up = firestore.Client(project="warm-up")
        plain_loop(warm_up, stores, min(count, 5_000))
        empty(warm_up)
        for round_ in range(rounds):
            for name, write in ways.items():
                # The record of the last time is that of another catalog: every round writes everything.
                client = firestore.Client(project=f"bench-{uuid.uuid4().hex[:8]}")
                started = time.perf_counter()
                write(client, stores, count)
                rates[name].append(count / (time.perf_counter() - started))
                shares[name].append(arrived(client) / count)
                print(f"round {round_ + 1}: {name}: {rates[name][-1]:,.0f} documents/s", flush=True)
                empty(client)
                client.close()
    print(f"\n{count:,} documents, median of {rounds}\n")
    print("| | documents/s | arrived | beside the loop |\n|---|---|---|---|")
    loop = median(rates["WriteBatch loop"])
    for name in ways:
        rate = median(rates[name])
        print(f"| {name} | {rate:,.0f} | {min(shares[name]):.2%} | {rate / loop:.2f} |", flush=True)


@attrs.define
class Inside:
    """The time inside of calls."""

    seconds: float = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return run


def bench_incremental(rows: int, folder: Path) -> None:
    with SqliteStores(folder / "rows.db") as stores:
        started = time.perf_counter()
        fill(stores, rows, described=False)
        print(f"\n100 changed of {rows:,} rows (filled in {time.perf_counter() - started:.1f} s)\n")
        print("| | total s | own s | reads | writes |\n|---|---|---|---|---|")
        media = stores.media_state
        for name, mapping in (("files", DocumentMapping()), ("catalogs", CatalogMapping("{catalog}/{series}"))):
            client = firestore.Client(project=f"bench-{uuid.uuid4().hex[:8]}")
            sync = FirestoreCatalogSync(client, stores, mapping=mapping, flights=1, ramp=None)
            # The catalog counts as written up to here: a million documents would be the emulator's benchmark.
            mark = Watermark(sync._connection, media, SOURCE)
            contents, _ = sync._contents()
            mark.move(
                Progress(sequence=media.last_sequence(), phase="steady", signature=contents.signature), cancel=None
            )
            for round_ in range(3):
                changed = [asset_of(number, version=round_ + 2) for number in range(0, rows, rows // 100)]
                media.update_seen(SOURCE, {asset.asset_id: asset.fingerprint for asset in changed})
                inside, database, writer = Inside(), sync._connection.database, sync._connection.writer
                for call in ("commit", "get"):
                    setattr(database, call, inside.timed(getattr(type(database), call).__get__(database)))
                writer._commit = database.commit
                started = time.perf_counter()
                report = sync.sync_incremental()
                total = time.perf_counter() - started
                assert report.written == len(changed)
                own = total - inside.seconds
                print(f"| {name} | {total:.3f} | {own:.3f} | {report.reads} | {report.writes} |", flush=True)
            report = sync.sync_incremental()
            assert (report.reads, report.writes) == (1, 0)
            client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, emulator():
        if options.documents:
            bench_documents(options.documents, options.rounds, Path(folder))
        if options.rows:
            bench_incremental(options.rows, Path(folder))


if __name__ == "__main__":
    main()
