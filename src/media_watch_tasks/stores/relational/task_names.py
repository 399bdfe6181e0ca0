"""Routes, lanes, labels, boots and pauses: small tables that every statement needs, kept in memory by each process.

`task_store.names_version` is a random number that changes with any of them. A copy in memory counts only while its
version is the one in the database: what another process has written, or a rolled-back transaction has not, is noticed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable, Sequence

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.settlements import Pause, PauseScope
from media_watch_tasks.stores.pauses import PauseBook
from media_watch_tasks.stores.relational.labels import labels_of
from media_watch_tasks.stores.relational.task_database import TaskDatabase
from media_watch_tasks.stores.relational.text_codec import from_sql, to_sql

__all__ = ["LaneKey", "Names", "TaskNames"]

_VERSION = "SELECT names_version FROM task_store"
_CHANGED = "UPDATE task_store SET names_version = ?"
_ROUTES = "SELECT id, source_id, destination_id FROM task_route"
_LANES = "SELECT id, route, constraints, labels FROM task_lane"
_SELECTORS = "SELECT label FROM task_selector"
_BOOTS = "SELECT boot_id, id FROM task_boot"
_PAUSES = "SELECT scope, value, until_ns, reason, automatic, rounds, task_id FROM task_pause"
_ADD_ROUTE = "INSERT INTO task_route (source_id, destination_id) VALUES (?, ?) RETURNING id"
_ADD_LANE = "INSERT INTO task_lane (route, constraints, labels) VALUES (?, ?, ?) RETURNING id"
_ADD_SELECTOR = "INSERT INTO task_selector VALUES (?)"
_ADD_BOOT = "INSERT INTO task_boot (boot_id) VALUES (?) RETURNING id"
_PUT_PAUSE = """
INSERT INTO task_pause VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, value) DO UPDATE SET until_ns = excluded.until_ns, reason = excluded.reason,
    automatic = excluded.automatic, rounds = excluded.rounds, task_id = excluded.task_id
"""
_REMOVE_PAUSE = "DELETE FROM task_pause WHERE scope = ? AND value = ?"
_VERSIONS = 2**62

LaneKey = tuple[Route, frozenset[str]] | tuple[Route, frozenset[str], frozenset[str]]
"""Route and constraints of a lane, and its labels, if it has any."""


class Names:
    """One state of the small tables. Others read it while it is current; only the writing thread adds to it."""

    __slots__ = (
        *("boots", "labels", "lane_of", "lanes", "pauses", "plans", "route_ids", "routes", "selectors", "version"),
    )

    def __init__(self, version: int) -> None:
        self.version = version
        self.route_ids: dict[Route, int] = {}
        self.routes: dict[int, Route] = {}
        self.lanes: dict[int, tuple[Route, frozenset[str]]] = {}
        self.lane_of: dict[LaneKey, tuple[int, int]] = {}
        """(id of the route, id of the lane)."""
        self.labels: dict[int, frozenset[str]] = {}
        """Those of each lane."""
        self.selectors: frozenset[str] = frozenset()
        """The labels that tasks are sorted by."""
        self.boots: dict[str, int] = {}
        self.pauses = PauseBook()
        self.plans: dict[object, object] = {}
        """What others derive from this state and want to keep as long as it."""

    def lane_key(
        self, route: Route, constraints: frozenset[str], asset_id: bytes, tags: Iterable[str]
    ) -> LaneKey:  # fmt: skip
        """Where a task stands: what `lane_of` has a lane for, if there is one yet."""
        labels = self.selectors and self.selectors & labels_of(asset_id, tags)
        return (route, constraints, labels) if labels else (route, constraints)

    def ids_of(self, routes: Collection[Route]) -> list[int]:
        """The ids of the routes that are known."""
        return sorted(self.route_ids[route] for route in set(routes) if route in self.route_ids)


class TaskNames:
    """The small tables of one database."""

    def __init__(self, database: TaskDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._current = Names(-1)

    def current(self) -> Names:
        """The state in the database now."""
        return self.at(self._database.execute(_VERSION)[0][0])

    def latest_known(self) -> Names:
        """The state in memory, for a statement that writes only if its version is the one in the database."""
        return self._current

    def at(self, version: int) -> Names:
        """The state of this version, which a statement of the caller has just read."""
        names = self._current
        return names if names.version == version else self._load()

    def lane(self, names: Names, key: LaneKey) -> tuple[int, int]:
        """(id of the route, id of the lane), added where they are new; inside a transaction."""
        known = names.lane_of.get(key)
        return known if known is not None else self._add_lane(names, key)

    def add_selectors(self, names: Names, labels: frozenset[str]) -> None:
        """Sort by these labels too, for which `names` has to be current; inside a transaction."""
        for label in sorted(labels - names.selectors):
            self._database.execute(_ADD_SELECTOR, (json.dumps(label),))
        names.selectors |= labels
        self._changed(names)

    def boot(self, names: Names) -> int:
        """The number of this boot, added where it is new, for which `names` has to be current; inside a transaction."""
        boot_id = self._clock.boot_id()
        number = names.boots.get(boot_id)
        if number is None:
            number = names.boots[boot_id] = self._database.execute(_ADD_BOOT, (boot_id,))[0][0]
            self._changed(names)
        return number

    def put_pause(self, names: Names, pause: Pause) -> None:
        """Set or replace a pause; inside a transaction."""
        self._database.execute(
            _PUT_PAUSE,
            (
                pause.scope.value,
                to_sql(pause.value),
                pause.until_ns,
                to_sql(pause.reason),
                int(pause.automatic),
                pause.rounds,
                pause.task_id,
            ),
        )
        names.pauses.put(pause)
        self._changed(names)

    def remove_pauses(self, names: Names, pauses: Sequence[Pause]) -> None:
        """Forget pauses; inside a transaction."""
        if not pauses:
            return
        for pause in pauses:
            self._database.execute(_REMOVE_PAUSE, (pause.scope.value, to_sql(pause.value)))
            names.pauses.remove(pause.scope, pause.value)
        self._changed(names)

    def _add_lane(self, names: Names, key: LaneKey) -> tuple[int, int]:
        route, constraints, *rest = key
        labels = frozenset[str]().union(*rest)
        route_id = names.route_ids.get(route)
        if route_id is None:
            ids = (to_sql(route.source_id), to_sql(route.destination_id))
            route_id = self._database.execute(_ADD_ROUTE, ids)[0][0]
            names.route_ids[route], names.routes[route_id] = route_id, route
        columns = (route_id, json.dumps(sorted(constraints)), json.dumps(sorted(labels)))
        lane_id = self._database.execute(_ADD_LANE, columns)[0][0]
        names.lanes[lane_id], names.labels[lane_id] = (route, constraints), labels
        names.lane_of[key] = (route_id, lane_id)
        self._changed(names)
        return route_id, lane_id

    def _changed(self, names: Names) -> None:
        names.version = random.randrange(_VERSIONS)  # noqa: S311 - not a secret: it need only differ
        names.plans.clear()
        self._database.execute(_CHANGED, (names.version,))

    def _load(self) -> Names:
        # The version is read first: a change in between makes this copy outdated, never wrong for its version.
        execute = self._database.execute
        names = Names(execute(_VERSION)[0][0])
        for route_id, source_id, destination_id in execute(_ROUTES):
            route = Route(from_sql(source_id), from_sql(destination_id))
            names.route_ids[route], names.routes[route_id] = route_id, route
        for lane_id, route_id, constraints_json, labels_json in execute(_LANES):
            constraints, labels = frozenset(json.loads(constraints_json)), frozenset(json.loads(labels_json))
            # A lane that was added since the routes were read belongs to the next version.
            if route_id in names.routes:
                route = names.routes[route_id]
                names.lanes[lane_id], names.labels[lane_id] = (route, constraints), labels
                key: LaneKey = (route, constraints, labels) if labels else (route, constraints)
                names.lane_of[key] = (route_id, lane_id)
        names.selectors = frozenset(json.loads(label) for (label,) in execute(_SELECTORS))
        names.boots.update(execute(_BOOTS))
        for scope, value, until_ns, reason, automatic, rounds, task_id in execute(_PAUSES):
            names.pauses.put(
                Pause(
                    scope=PauseScope(scope),
                    value=from_sql(value),
                    until_ns=until_ns,
                    reason=from_sql(reason),
                    automatic=bool(automatic),
                    rounds=rounds,
                    task_id=task_id,
                )
            )
        self._current = names
        return names
