"""A catalog of an archive: scan, describe, SQLite, Firestore.

python examples/archive_catalog.py FOLDER DATABASE.db --emulator           # starts Google's emulator for this run
python examples/archive_catalog.py FOLDER DATABASE.db --project MY-PROJECT
python examples/archive_catalog.py //nas/media/archive DATABASE.db --project MY-PROJECT   # SMB_USER, SMB_PASSWORD
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

from google.cloud import firestore

from media_watch_tasks import (
    LocalMediaResolver,
    LocalMediaScanner,
    MediaResolver,
    MediaScanner,
    ResolvedMedia,
    SqliteStores,
    TaskManager,
    UploadContext,
    Uploader,
    UploadReceipt,
)
from media_watch_tasks.firestore import CatalogMapping, FirestoreCatalogSync
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.probe import AvProber, ProbingResolver
from media_watch_tasks.smb import SmbConnection, SmbMediaResolver, SmbMediaScanner


class StaysWhereItIs(Uploader):
    """The bytes go nowhere: only the catalog is wanted. Any other uploader may stand here."""

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Nothing is sent."""
        context.confirm()
        return UploadReceipt(size=media.size)


@contextlib.contextmanager
def emulator() -> Iterator[None]:
    """Google's Firestore emulator on a free port, for as long as the block lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = f"127.0.0.1:{port}"
    command = ["gcloud", "emulators", "firestore", "start", f"--host-port={address}", "--quiet"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        else:
            raise SystemExit("the emulator did not start: `gcloud emulators firestore start` says why")
        os.environ["FIRESTORE_EMULATOR_HOST"] = address
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def source(place: str) -> Iterator[tuple[MediaScanner, MediaResolver]]:
    """A local folder, or //host/share/folder on a NAS."""
    if not place.startswith("//"):
        yield LocalMediaScanner(place), LocalMediaResolver(place)
        return
    host, share, *folders = place.strip("/").split("/")
    user, password = os.environ["SMB_USER"], os.environ["SMB_PASSWORD"]
    with SmbConnection(host, share, username=user, password=password) as nas:
        root = "/".join(folders)
        yield SmbMediaScanner(nas, root), SmbMediaResolver(nas, root)


def main() -> None:
    """Catalog what is there, then what has changed since: run it as often as you like."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("database")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--emulator", action="store_true")
    where.add_argument("--project")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.emulator:
            stack.enter_context(emulator())
        client = firestore.Client(project=options.project or "archive-catalog")
        stack.callback(client.close)
        stores = stack.enter_context(SqliteStores(options.database))
        scanner, resolver = stack.enter_context(source(options.folder))
        prober = stack.enter_context(AvProber())
        manager = stack.enter_context(
            TaskManager(
                media_scanner=scanner,
                media_resolver=ProbingResolver(resolver, prober, kinds=frozenset(MediaKind)),
                media_state_store=stores.media_state,
                task_store=stores.tasks,
                uploader=StaysWhereItIs(),
            )
        )
        manager.initialize_baseline()
        scan = manager.run_once().scan
        print(f"scanned: {scan.assets} files, {scan.new} new, {scan.changed} changed")
        print(f"described: {manager.describe().described}")
        sync = FirestoreCatalogSync(client, stores, mapping=CatalogMapping("{catalog}/{series}"))
        report = sync.sync_incremental()
        print(f"synced: {report.written} written, {report.deleted} deleted, {len(report.refused)} refused")
        print(f"catalog == database: {sync.verify().equal}")


if __name__ == "__main__":
    main()
