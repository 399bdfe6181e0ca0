"""Stores in a PostgreSQL database, shared by the processes of many machines."""

from media_watch_tasks.stores.postgres.stores import PostgresStores

__all__ = ["PostgresStores"]
