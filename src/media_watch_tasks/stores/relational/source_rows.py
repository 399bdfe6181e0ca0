"""What the rows of sources mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.sources import BaselineState, SourceState
from media_watch_tasks.stores.relational.path_codec import from_order_key
from media_watch_tasks.stores.relational.text_codec import from_sql

__all__ = ["SOURCE_COLUMNS", "sources_from_rows"]

SOURCE_COLUMNS = """
    source_id, baseline, destinations, identity_strong, identity_weak, identity_stable, filter_spec, checkpoint, scans,
    last_complete_ns, last_full_ns, scans_since_full, stamps_lie, quarantine, quarantine_scan
"""


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
