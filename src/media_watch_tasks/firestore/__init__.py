"""Firestore: documents for files, and a catalog that is what the database says. Needs the extra `firestore`."""

from media_watch_tasks.firestore.catalog import CatalogMapping
from media_watch_tasks.firestore.documents import CatalogEntry, DocumentMapping
from media_watch_tasks.firestore.ramp import WriteRamp
from media_watch_tasks.firestore.reports import CatalogComparison, Refusal, SourceComparison, SourceSync, SyncReport
from media_watch_tasks.firestore.sync import FirestoreCatalogSync, HasMediaState
from media_watch_tasks.firestore.uploader import FirestoreUploader

__all__ = [
    "CatalogComparison",
    "CatalogEntry",
    "CatalogMapping",
    "DocumentMapping",
    "FirestoreCatalogSync",
    "FirestoreUploader",
    "HasMediaState",
    "Refusal",
    "SourceComparison",
    "SourceSync",
    "SyncReport",
    "WriteRamp",
]
