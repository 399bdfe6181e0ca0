"""A program that a test kills: it syncs a database into a catalog, and says when it begins and when it has ended.

python synced_until_killed.py DATABASE PROJECT    (FIRESTORE_EMULATOR_HOST names the emulator)
"""

from __future__ import annotations

import sys

from google.cloud import firestore

from media_watch_tasks import SqliteStores
from media_watch_tasks.firestore import CatalogMapping, FirestoreCatalogSync

path, project = sys.argv[1:]
client = firestore.Client(project=project)
with SqliteStores(path) as stores:
    sync = FirestoreCatalogSync(client, stores, mapping=CatalogMapping("{catalog}/{series}"), ramp=None)
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    sync.sync_incremental()
    sys.stdout.write("ended\n")
    sys.stdout.flush()
