"""Permits for all machines: places are advisory locks, turns a row of a table, measured by the clock of the stores.

The locks are held by a connection of their own: the server drops them when that ends, at once when the process dies,
after half a minute of unanswered keepalives when its machine or network does. A place that was lost so while its holder
goes on is free for others: the limit may be exceeded for as long as that upload lasts.
"""

from __future__ import annotations

import hashlib
import threading

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import lock_class
from media_watch_tasks.stores.turns import next_turn

__all__ = ["PERMIT_SCHEMA", "PostgresPermits"]

PERMIT_SCHEMA = ("CREATE TABLE permit_turn (name text PRIMARY KEY, turns bigint[] NOT NULL)",)
_TAKE = "SELECT pg_try_advisory_lock($1::bigint::integer, $2::bigint::integer)"
_GIVE_BACK = "SELECT pg_advisory_unlock($1::bigint::integer, $2::bigint::integer)"
_FIRST = "INSERT INTO permit_turn VALUES ($1, '{}') ON CONFLICT (name) DO NOTHING"
_READ = "SELECT turns FROM permit_turn WHERE name = $1 FOR UPDATE"
_WRITE = "UPDATE permit_turn SET turns = $2::bigint[] WHERE name = $1"


class PostgresPermits(Permits):
    """The places and turns of one schema. Made by `PostgresStores`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """The connection is opened for the first place."""
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._held: set[tuple[str, int]] = set()

    def take_place(self, name: str, *, places: int) -> int | None:
        """See `Permits`."""
        with self._lock:
            for place in range(places):
                # A session takes its own lock any number of times.
                if (name, place) not in self._held and self._ask(_TAKE, name, place):
                    self._held.add((name, place))
                    return place
        return None

    def give_back(self, name: str, place: int) -> None:
        """See `Permits`."""
        with self._lock:
            if (name, place) in self._held:
                self._held.discard((name, place))
                self._ask(_GIVE_BACK, name, place)

    def take_turn(self, name: str, *, turns: int, per_ns: int, longest_ns: int) -> tuple[bool, int]:
        """See `Permits`."""
        key = _key(name)

        def reserve() -> tuple[bool, int]:
            self._database.execute(_FIRST, (key,))
            ((reserved,),) = self._database.execute(_READ, (key,))
            now = self._clock.boot_ns()
            turn, kept = next_turn(reserved, now_ns=now, turns=turns, per_ns=per_ns, longest_ns=longest_ns)
            if turn - now > longest_ns:
                return False, turn - now
            self._database.execute(_WRITE, (key, kept))
            return True, turn - now

        return self._database.run(reserve)

    def close(self) -> None:
        """See `Permits`."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._held.clear()

    def _ask(self, statement: str, name: str, place: int) -> bool:
        params = (lock_class(f"permit {_key(name)}", self._database.schema), place)
        for last in (False, True):
            if self._connection is None:
                self._connection = self._database.connect()
            try:
                return bool(self._connection.execute(statement, params)[0][0])
            except Exception as error:
                if not self._connection.is_broken() or last:
                    raise StoreError(f"the database {self._database.name} gives no permits: {error}") from error
                # What was held went with the connection.
                self._connection = None
                self._held.clear()
        raise AssertionError


def _key(name: str) -> str:
    # A name may be longer than an entry of an index, and hold what is no text of PostgreSQL.
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
