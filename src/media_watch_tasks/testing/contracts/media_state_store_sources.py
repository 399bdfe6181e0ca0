"""MediaStateStore suite: the records of sources, and the right to scan them."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

import threading
from datetime import timedelta

import attrs
import pytest

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.sources import BaselineState, ScanLease, SourceState
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import (
    HOSTILE_NAMES,
    OTHER,
    SCAN_LEASE_NS,
    SOURCE,
    MediaStateStoreSuite,
)

__all__ = ["ScanLeaseContract", "SourceRecordContract"]

_FULL = SourceState(
    source_id=SOURCE,
    baseline=BaselineState.COMPLETE,
    destinations=frozenset({"archive", "cloud \udcff 日本"}),
    identity=RootIdentity(strong="uuid:1", weak="dev:\udcfe", file_ids_stable=True),
    filter_spec="hidden=no;\udcff",
    owed=frozenset({b"", b"a/b", b"a-b", *HOSTILE_NAMES}),
    checkpoint="behind \ud800 this",
    scans=7,
    last_complete_ns=1_790_000_000_123_456_789,
)


class SourceRecordContract(MediaStateStoreSuite):
    """`source`, `sources`, `save_source`, `save_identity`."""

    def test_a_source_that_nobody_saved_has_an_empty_record(self, store: MediaStateStore) -> None:
        assert store.source(SOURCE) == SourceState(source_id=SOURCE)
        assert store.sources() == ()

    def test_a_record_comes_back_whole(self, store: MediaStateStore) -> None:
        assert store.save_source(_FULL)
        assert store.source(SOURCE) == _FULL

    def test_saving_replaces_the_record_whole(self, store: MediaStateStore) -> None:
        store.save_source(_FULL)
        for state in (
            attrs.evolve(_FULL, owed=frozenset({b"a/b", b"new"})),
            attrs.evolve(_FULL, identity=RootIdentity(), destinations=frozenset(), checkpoint=""),
            SourceState(source_id=SOURCE),
        ):
            store.save_source(state)
            assert store.source(SOURCE) == state

    @pytest.mark.parametrize("source_id", ["local:/mnt/\udcff", "smb://nas/日本 share", "line\nbreak", "x" * 4_000])
    def test_any_text_names_a_source(self, store: MediaStateStore, source_id: str) -> None:
        state = attrs.evolve(_FULL, source_id=source_id)
        store.save_source(state)
        assert store.source(source_id) == state
        assert store.sources() == (state,)

    def test_sources_come_by_id_and_do_not_mix(self, store: MediaStateStore) -> None:
        states = [attrs.evolve(_FULL, source_id=name, scans=number) for number, name in enumerate("cabd")]
        for state in states:
            store.save_source(state)
        assert store.sources() == tuple(sorted(states, key=lambda state: state.source_id))

    def test_an_identity_is_saved_beside_the_rest(self, store: MediaStateStore) -> None:
        store.save_source(_FULL)
        identity = RootIdentity(strong="uuid:2")
        store.save_identity(SOURCE, identity)
        store.save_identity(OTHER, identity)
        assert store.source(SOURCE) == attrs.evolve(_FULL, identity=identity)
        assert store.source(OTHER) == SourceState(source_id=OTHER, identity=identity)

    def test_a_record_is_saved_under_a_held_lease_alone(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock
    ) -> None:
        assert store.save_source(_FULL, lease=lease)
        clock.advance(timedelta(minutes=10))
        self.acquire(store)
        assert not store.save_source(attrs.evolve(_FULL, scans=8), lease=lease)
        assert store.source(SOURCE) == _FULL

    def test_a_lease_covers_its_own_source_alone(self, store: MediaStateStore, lease: ScanLease) -> None:
        self.acquire(store, OTHER)
        assert not store.save_source(attrs.evolve(_FULL, source_id=OTHER), lease=lease)
        assert store.source(OTHER) == SourceState(source_id=OTHER)


class ScanLeaseContract(MediaStateStoreSuite):
    """`acquire_scan`, `extend_scan`, `release_scan`."""

    @pytest.mark.parametrize("owner", ["scanner", "another"])
    def test_a_held_lease_is_refused_to_everybody(self, store: MediaStateStore, lease: ScanLease, owner: str) -> None:
        assert lease.source_id == SOURCE
        assert store.acquire_scan(SOURCE, owner=owner, lease_ns=SCAN_LEASE_NS) is None

    def test_sources_are_leased_apart(self, store: MediaStateStore, lease: ScanLease) -> None:
        other = self.acquire(store, OTHER)
        store.release_scan(other)
        assert store.acquire_scan(SOURCE, owner="x", lease_ns=1) is None
        assert lease.source_id != other.source_id

    def test_a_lease_that_was_given_back_is_free(self, store: MediaStateStore, lease: ScanLease) -> None:
        store.release_scan(lease)
        assert self.acquire(store).token > lease.token

    def test_a_lease_ends_at_its_time_and_not_before(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock
    ) -> None:
        clock.advance_boot(timedelta(microseconds=SCAN_LEASE_NS // 1_000 - 1))
        assert store.acquire_scan(SOURCE, owner="x", lease_ns=1) is None
        clock.advance_boot(timedelta(microseconds=1))
        assert self.acquire(store).token > lease.token

    def test_a_jump_of_the_wall_clock_ends_no_lease(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock
    ) -> None:
        clock.advance_wall(timedelta(days=365))
        assert store.acquire_scan(SOURCE, owner="x", lease_ns=1) is None
        assert store.extend_scan(lease, lease_ns=SCAN_LEASE_NS)

    def test_a_reboot_ends_every_lease(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        clock.reboot()
        assert self.acquire(store).token > lease.token

    def test_an_extended_lease_ends_later(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        clock.advance(timedelta(minutes=9))
        assert store.extend_scan(lease, lease_ns=SCAN_LEASE_NS)
        clock.advance(timedelta(minutes=9))
        assert store.acquire_scan(SOURCE, owner="x", lease_ns=1) is None
        clock.advance(timedelta(minutes=1))
        self.acquire(store)

    def test_a_lease_that_ended_is_extended_while_nobody_took_it(
        self, store: MediaStateStore, lease: ScanLease, clock: FakeClock
    ) -> None:
        clock.advance(timedelta(hours=1))
        assert store.extend_scan(lease, lease_ns=SCAN_LEASE_NS)
        assert store.acquire_scan(SOURCE, owner="x", lease_ns=1) is None

    def test_a_lost_lease_can_do_nothing(self, store: MediaStateStore, lease: ScanLease, clock: FakeClock) -> None:
        clock.advance(timedelta(minutes=10))
        newer = self.acquire(store)
        assert not store.extend_scan(lease, lease_ns=SCAN_LEASE_NS)
        store.release_scan(lease)
        assert store.acquire_scan(SOURCE, owner="x", lease_ns=1) is None
        assert store.extend_scan(newer, lease_ns=SCAN_LEASE_NS)

    def test_a_lease_that_was_given_back_is_not_extended(self, store: MediaStateStore, lease: ScanLease) -> None:
        store.release_scan(lease)
        assert not store.extend_scan(lease, lease_ns=SCAN_LEASE_NS)
        self.acquire(store)

    def test_of_many_threads_one_gets_the_lease(self, store: MediaStateStore) -> None:
        start = threading.Barrier(8)
        leases: list[ScanLease | None] = []

        def race(number: int) -> None:
            start.wait()
            leases.append(store.acquire_scan(SOURCE, owner=f"thread {number}", lease_ns=SCAN_LEASE_NS))

        threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(leases) == 8
        assert sum(lease is not None for lease in leases) == 1
