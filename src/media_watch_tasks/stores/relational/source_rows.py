"""What the rows of sources mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.sources import BaselineState, SourceState
from media_watch_tasks.stores.relational.path_codec import from_order_key
from media_watch_tasks.stores.relational.text_codec import from_sql, to_sql

__all__ = ["SOURCE_COLUMNS", "WRITE_SOURCE", "identity_row", "source_row", "sources_from_rows"]

SOURCE_COLUMNS = """
    source_id, baseline, destinations, identity_strong, identity_weak, identity_stable, filter_spec, checkpoint, scans,
    last_complete_ns, last_full_ns, scans_since_full, stamps_lie, quarantine, quarantine_scan
"""

_NAMES = [name.strip() for name in SOURCE_COLUMNS.split(",")]
WRITE_SOURCE = f"""
INSERT INTO source ({", ".join(_NAMES)}) VALUES ({", ".join("?" * len(_NAMES))})
ON CONFLICT (source_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])}
RETURNING id
"""  # noqa: S608 - made of constants


def source_row(state: SourceState) -> tuple[int | str | bytes | None, ...]:
    """`SOURCE_COLUMNS` of a record."""
    return (
        to_sql(state.source_id),
        state.baseline.value,
        json.dumps(sorted(state.destinations)),
        *identity_row(state.identity),
        to_sql(state.filter_spec),
        to_sql(state.checkpoint),
        state.scans,
        state.last_complete_ns,
        state.last_full_ns,
        state.scans_since_full,
        state.stamps_lie,
        to_sql(state.quarantine),
        state.quarantine_scan,
    )


def identity_row(identity: RootIdentity | None) -> tuple[str | bytes | None, str | bytes | None, bool | None]:
    """The three columns of an identity."""
    if identity is None:
        return None, None, None
    return to_sql(identity.strong), to_sql(identity.weak), identity.file_ids_stable


def sources_from_rows(rows: Sequence[tuple[Any, ...]]) -> list[SourceState]:
    """From rows of the id of the row, `SOURCE_COLUMNS` and the path of an owed directory."""
    owed: dict[int, set[bytes]] = {}
    records: dict[int, tuple[Any, ...]] = {}
    for source, *record, path in rows:
        records[source] = tuple(record)
        paths = owed.setdefault(source, set())
        if path is not None:
            paths.add(from_order_key(path))
    return [_state(record, frozenset(owed[source])) for source, record in records.items()]


def _state(record: tuple[Any, ...], owed: frozenset[bytes]) -> SourceState:
    source_id, baseline, destinations, strong, weak, stable, filter_spec, checkpoint, scans, last_complete_ns = record[
        :10
    ]
    last_full_ns, scans_since_full, stamps_lie, quarantine, quarantine_scan = record[10:]
    identity = None
    if strong is not None:
        identity = RootIdentity(strong=from_sql(strong), weak=from_sql(weak), file_ids_stable=bool(stable))
    return SourceState(
        source_id=from_sql(source_id),
        baseline=BaselineState(baseline),
        destinations=frozenset(json.loads(destinations)),
        identity=identity,
        filter_spec=from_sql(filter_spec),
        owed=owed,
        checkpoint=from_sql(checkpoint),
        scans=scans,
        last_complete_ns=last_complete_ns,
        last_full_ns=last_full_ns,
        scans_since_full=scans_since_full,
        stamps_lie=bool(stamps_lie),
        quarantine=from_sql(quarantine),
        quarantine_scan=quarantine_scan,
    )
