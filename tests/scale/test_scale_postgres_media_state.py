"""The media state on PostgreSQL where writers work side by side, paths are long, and rows are changed by hand."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.clock import to_ns
from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Fingerprint, join
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import PageDiff, PageRecord, ScanLease
from media_watch_tasks.stores.postgres.connection import Parameters, Row
from media_watch_tasks.stores.postgres.media_state_store import PostgresMediaStateStore
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import MTIME, OTHER, SOURCE, asset, row

LEASE_NS = to_ns(timedelta(minutes=10))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_store(postgres: PostgresServer, clock: FakeClock) -> Iterator[Callable[[], PostgresMediaStateStore]]:
    """Each call is another process, as far as the database can tell."""
    schema, opened = postgres.new_schema(), list[PostgresStores]()

    def another() -> PostgresMediaStateStore:
        opened.append(PostgresStores(postgres.dsn, schema=schema, clock=clock))
        return opened[-1].media_state

    yield another
    for stores in opened:
        stores.close()


Open = Callable[[], PostgresMediaStateStore]


@pytest.fixture
def store(open_store: Open) -> PostgresMediaStateStore:
    return open_store()


@pytest.fixture
def lease(store: PostgresMediaStateStore) -> ScanLease:
    return acquired(store)


def acquired(store: PostgresMediaStateStore, source_id: str = SOURCE) -> ScanLease:
    lease = store.acquire_scan(source_id, owner="x", lease_ns=LEASE_NS)
    assert lease is not None
    return lease


def page(*names: str | tuple[bytes, int, int], directory: bytes = b"d", complete: bool = True) -> ScanPage:
    rows = tuple(sorted(name if isinstance(name, tuple) else row(name) for name in names))
    return ScanPage(SOURCE, directory, rows, complete=complete)


def record(store: PostgresMediaStateStore, lease: ScanLease, *seen: MediaAsset, directory: bytes = b"d") -> bool:
    return store.record_page(lease, PageRecord(directory=directory, seen=seen, complete=True))


def ids(store: PostgresMediaStateStore, watermark: int = 0) -> list[bytes]:
    return [change.asset_id for change in store.changes_since(watermark)]


def names(found: PageDiff) -> tuple[list[bytes], list[bytes], list[bytes]]:
    return [each.name for each in found.new], [each.name for each in found.changed], list(found.missing)


class TestFollowers:
    """The change feed under commits that overtake each other."""

    def test_a_change_that_commits_late_is_not_missed(self, open_store: Open) -> None:
        slow, fast, follower = open_store(), open_store(), open_store()
        leases = acquired(slow), acquired(fast, OTHER)
        with slow.transaction():
            assert record(slow, leases[0], asset("d/slow"))
            assert record(fast, leases[1], asset("d/fast", source=OTHER))
            first = ids(follower)
            watermark = follower.last_sequence()
        assert first + ids(follower, watermark) == [b"d/slow", b"d/fast"]
        assert first == [], "nothing is told while a lower number may still be committed"

    def test_a_number_taken_late_by_an_early_transaction_is_not_missed(self, open_store: Open) -> None:
        # The transaction that began first writes last: a counter would give it the higher number.
        early, late, follower = open_store(), open_store(), open_store()
        leases = acquired(early), acquired(late, OTHER)
        with early.transaction():
            with late.transaction():
                assert record(late, leases[1], asset("d/late", source=OTHER))
                assert record(early, leases[0], asset("d/early"))
            told = ids(follower)
            watermark = follower.last_sequence()
        assert sorted(told + ids(follower, watermark)) == [b"d/early", b"d/late"]

    def test_many_writers_whose_transactions_overlap_lose_no_change(self, open_store: Open) -> None:
        writers, rounds = 4, 30
        done = threading.Event()

        def write(number: int) -> None:
            store, draw = open_store(), random.Random(number)
            lease = acquired(store, f"source {number}")
            for turn in range(rounds):
                with store.transaction():
                    seen = asset(f"d/{number}-{turn}", source=lease.source_id)
                    assert record(store, lease, seen)
                    threading.Event().wait(draw.random() / 200)

        def follow() -> list[bytes]:
            store, told, watermark = open_store(), list[bytes](), 0
            while True:
                last_look = done.is_set()
                while changes := store.changes_since(watermark, limit=3):
                    told += [change.asset_id for change in changes]
                    watermark = changes[-1].sequence
                if last_look:
                    return told

        with ThreadPoolExecutor(writers + 1) as threads:
            following = threads.submit(follow)
            writing = [threads.submit(write, number) for number in range(writers)]
            for each in writing:
                each.result()
            done.set()
            told = following.result()
        assert sorted(told) == sorted(b"d/%d-%d" % (w, turn) for w in range(writers) for turn in range(rounds))

    def test_a_database_restored_to_a_younger_server_goes_on_numbering(
        self, store: PostgresMediaStateStore, lease: ScanLease, open_store: Open
    ) -> None:
        record(store, lease, asset("d/a"))
        ((before,),) = store.database.execute(
            "UPDATE asset SET sequence = sequence + (1::bigint << 50) RETURNING sequence"
        )
        restored = open_store()
        watermark = restored.last_sequence()
        assert (ids(restored), watermark) == ([b"d/a"], before)
        record(restored, lease, asset("d/b"))
        assert ids(restored, watermark) == [b"d/b"]

    def test_more_changes_than_a_transaction_numbers_are_refused_and_undone(
        self, store: PostgresMediaStateStore, lease: ScanLease
    ) -> None:
        def write_too_much() -> None:
            with store.transaction():
                record(store, lease, asset("d/a"))
                store.database.execute("SELECT take_changes(1048576)")

        with pytest.raises(StoreError, match="more than 1048576 changes in one transaction"):
            write_too_much()
        assert store.count_assets(SOURCE) == (0, 0)


class TestFencing:
    """Scanners on several hosts."""

    def test_a_late_page_is_refused_after_a_take_over_that_resumes(self, open_store: Open, clock: FakeClock) -> None:
        one, two = open_store(), open_store()
        stale = acquired(one)
        assert one.record_page(stale, PageRecord(directory=b"d", seen=(asset("d/a"),), checkpoint="behind d"))
        clock.advance(timedelta(minutes=10))
        taken = acquired(two)
        assert two.source(SOURCE).checkpoint == "behind d"
        assert not one.record_page(stale, PageRecord(directory=b"e", seen=(asset("e/a"),), checkpoint="stale"))
        assert not one.extend_scan(stale, lease_ns=LEASE_NS)
        assert two.source(SOURCE).checkpoint == "behind d"
        assert two.record_page(taken, PageRecord(directory=b"e", seen=(asset("e/a"),), checkpoint="behind e"))
        assert one.count_assets(SOURCE) == (2, 0)

    def test_a_take_over_waits_for_the_page_that_is_being_written(self, open_store: Open, clock: FakeClock) -> None:
        one, two = open_store(), open_store()
        old = acquired(one)
        clock.advance(timedelta(minutes=10))
        with ThreadPoolExecutor(1) as thread:
            with one.transaction():
                assert record(one, old, asset("d/a"))
                taking = thread.submit(acquired, two)
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                while not one.database.execute(waiting)[0][0]:
                    assert not taking.done(), "the page of the old scanner could still be written"
            assert taking.result(timeout=60).token > old.token
        assert two.count_assets(SOURCE) == (1, 0)
        assert not record(one, old, asset("d/b"))

    @pytest.mark.parametrize("with_digest", [True, False])
    def test_writers_of_one_directory_leave_a_digest_of_all_they_wrote(
        self, open_store: Open, *, with_digest: bool
    ) -> None:
        one, two = open_store(), open_store()
        lease = acquired(one)
        seen = (asset("d/a"), asset("d/b"))
        assert one.record_page(lease, PageRecord(directory=b"d", seen=seen, complete=with_digest))
        with ThreadPoolExecutor(1) as thread:
            with one.transaction():
                one.update_seen(SOURCE, {b"d/a": Fingerprint(7, 7)})
                other = thread.submit(two.update_seen, SOURCE, {b"d/b": Fingerprint(8, 8)})
                while not one.database.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0]:
                    assert not other.done()
            other.result(timeout=60)
        now, a_was, b_was = (page(*rows) for rows in (
            ((b"a", 7, 7), (b"b", 8, 8)), ("a", (b"b", 8, 8)), ((b"a", 7, 7), "b")
        ))  # fmt: skip
        assert names(open_store().diff_page(now)) == ([], [], [])
        assert names(open_store().diff_page(a_was)) == ([], [b"a"], [])
        assert names(open_store().diff_page(b_was)) == ([], [b"b"], [])

    def test_writers_of_the_same_directories_never_wait_in_a_circle(self, open_store: Open) -> None:
        lease = acquired(open_store())
        directories = [b"%02d" % number for number in range(12)]
        for directory in directories:
            record(open_store(), lease, asset(join(directory, b"a")), directory=directory)

        def write(number: int) -> None:
            store, draw = open_store(), random.Random(number)
            for turn in range(15):
                mixed = draw.sample(directories, len(directories))
                # What stands in a transaction of the caller's is not repeated: a deadlock would be an error.
                with store.transaction():
                    store.update_seen(SOURCE, {join(each, b"a"): Fingerprint(number, turn) for each in mixed})

        with ThreadPoolExecutor(4) as threads:
            for each in [threads.submit(write, number) for number in range(4)]:
                each.result()


class TestReadingAhead:
    """What is read for a run of directories."""

    @staticmethod
    def counted(store: PostgresMediaStateStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        told: list[str] = []
        execute = store.database.execute

        def counting(sql: str, params: Parameters = ()) -> list[Row]:
            told.append(sql)
            return execute(sql, params)

        monkeypatch.setattr(store.database, "execute", counting)
        return told

    def test_one_statement_covers_a_run_of_directories(
        self, store: PostgresMediaStateStore, lease: ScanLease, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directories = [b"%04d" % number for number in range(600)]
        with store.transaction():
            for directory in directories:
                record(store, lease, asset(join(directory, b"a")), directory=directory)
        told = self.counted(store, monkeypatch)
        for directory in directories:
            assert store.known_listing(SOURCE, directory) is None
            assert store.diff_page(page("a", directory=directory)) == PageDiff(unchanged=1)
        # 1 + 2 + 4 + … + 512 directories.
        assert len(told) == 10

    def test_directories_that_nobody_knows_are_read_ahead_too(
        self, store: PostgresMediaStateStore, lease: ScanLease, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record(store, lease, asset("z/a"), directory=b"z")
        told = self.counted(store, monkeypatch)
        for number in range(500):
            assert not store.diff_page(page("a", directory=b"%04d" % number)).listed_before
        assert len(told) <= 2

    def test_what_this_store_writes_is_seen_at_once(self, store: PostgresMediaStateStore, lease: ScanLease) -> None:
        for directory in (b"d", b"e", b"f", b"g"):
            record(store, lease, asset(join(directory, b"a")), directory=directory)
        for directory in (b"d", b"e", b"f"):
            assert store.diff_page(page("a", directory=directory)) == PageDiff(unchanged=1)
        store.mark_missing(SOURCE, [b"f/a", b"g/a"])
        for directory in (b"f", b"g"):
            assert names(store.diff_page(page("a", directory=directory))) == ([b"a"], [], [])

    def test_what_another_process_writes_is_seen_within_a_second(self, open_store: Open, clock: FakeClock) -> None:
        store, elsewhere = open_store(), open_store()
        self.read_up_to_the_last_but_one(store, elsewhere)
        elsewhere.mark_missing(SOURCE, [b"h/a"])
        clock.advance(timedelta(seconds=1, microseconds=1))
        assert names(store.diff_page(page("a", directory=b"h"))) == ([b"a"], [], [])

    def test_a_scan_uses_nothing_that_was_read_for_an_earlier_one(self, open_store: Open) -> None:
        store, elsewhere = open_store(), open_store()
        lease = self.read_up_to_the_last_but_one(store, elsewhere)
        elsewhere.mark_missing(SOURCE, [b"h/a"])
        store.release_scan(lease)
        acquired(store)
        assert names(store.diff_page(page("a", directory=b"h"))) == ([b"a"], [], [])

    def test_a_listing_that_differs_is_compared_with_what_stands_there_now(self, open_store: Open) -> None:
        store, elsewhere = open_store(), open_store()
        self.read_up_to_the_last_but_one(store, elsewhere)
        elsewhere.update_seen(SOURCE, {b"h/a": Fingerprint(7, 7)})
        assert store.diff_page(page((b"a", 7, 7), directory=b"h")) == PageDiff(unchanged=1)

    @staticmethod
    def read_up_to_the_last_but_one(store: PostgresMediaStateStore, elsewhere: PostgresMediaStateStore) -> ScanLease:
        """Of the directories d to h the last one is read with the one before it."""
        lease = acquired(elsewhere)
        for directory in (b"d", b"e", b"f", b"g", b"h"):
            record(elsewhere, lease, asset(join(directory, b"a")), directory=directory)
        for directory in (b"d", b"e", b"f", b"g"):
            assert store.diff_page(page("a", directory=directory)) == PageDiff(unchanged=1)
        return lease


class TestValues:
    """What the columns and indices have to hold."""

    def test_paths_far_longer_than_an_entry_of_an_index_are_kept_in_order(
        self, store: PostgresMediaStateStore, lease: ScanLease
    ) -> None:
        draw = random.Random(1)
        long = [bytes(draw.choices(range(48, 58), k=250)) for _ in range(20)]
        deep = b"/".join(long)
        directories = [deep, deep + b"/below", deep + b"-beside", b"/".join(long[:10])]
        for directory in directories:
            assert record(store, lease, asset(join(directory, b"a")), directory=directory)
        ordered = [directories[3], deep, deep + b"/below", deep + b"-beside"]
        assert [state.asset_id for state in store.iterate_assets(SOURCE)] == [join(each, b"a") for each in ordered]
        for directory in directories:
            assert store.diff_page(page("a", directory=directory)) == PageDiff(unchanged=1)
        assert {each.directory for each in store.directory_totals(SOURCE, deep)} == {deep, deep + b"/below"}
        assert store.record_page(lease, PageRecord(directory=b"", scan_number=1, absent_directories=(deep,)))
        marked = [state.asset_id for state in store.absent_assets(SOURCE, 1)]
        assert sorted(marked) == sorted([join(deep, b"a"), join(deep + b"/below", b"a")])
        store.forget_seen(SOURCE)
        assert sorted(ids(store)) == sorted(join(each, b"a") for each in directories)

    @pytest.mark.parametrize(("size", "mtime_ns"), [(2**63, 0), (1, 2**64), (1, -(2**63) - 1)])
    def test_values_beyond_64_bits_name_the_directory_and_write_nothing(
        self, store: PostgresMediaStateStore, lease: ScanLease, size: int, mtime_ns: int
    ) -> None:
        with pytest.raises(
            ConfigurationError, match=r"the directory d has a size or mtime beyond 64 bits.*within_int64"
        ):
            record(store, lease, asset("d/0"), MediaAsset(SOURCE, b"d/a", size, mtime_ns))
        assert store.count_assets(SOURCE) == (0, 0)

    def test_an_asset_of_another_directory_is_refused(self, store: PostgresMediaStateStore, lease: ScanLease) -> None:
        with pytest.raises(ConfigurationError, match=r"d/e/a does not stand in the directory d of its page"):
            record(store, lease, asset("d/e/a"))

    def test_metadata_with_any_text_comes_back(self, store: PostgresMediaStateStore, lease: ScanLease) -> None:
        record(store, lease, asset("d/a"))
        metadata = MediaMetadata(title="NUL \0, lone \ud800, \x1a, 日本")
        store.save_metadata(SOURCE, b"d/a", asset("d/a").fingerprint, metadata)
        (state,) = store.assets(SOURCE, [b"d/a"])
        assert state is not None
        assert state.metadata == metadata

    @pytest.mark.parametrize(
        ("by_hand", "found"),
        [
            (r"UPDATE asset SET mtime_ns = mtime_ns + 1 WHERE name = '\x61'", ([], [b"a"], [])),
            (r"UPDATE asset SET size = 0 WHERE name = '\x61'", ([], [b"a"], [])),
            (r"UPDATE asset SET missing_since_ns = 1 WHERE name = '\x61'", ([b"a"], [], [])),
            (r"UPDATE asset SET name = '\x7a' WHERE name = '\x61'", ([b"a"], [], [b"d/z"])),
            (r"UPDATE asset SET directory = 99 WHERE name = '\x61'", ([b"a"], [], [])),
            (r"DELETE FROM asset WHERE name = '\x61'", ([b"a"], [], [])),
        ],
    )
    def test_rows_changed_by_hand_do_not_hide_behind_a_digest(
        self, open_store: Open, by_hand: str, found: tuple[list[bytes], list[bytes], list[bytes]]
    ) -> None:
        store = open_store()
        record(store, acquired(store), asset("d/a"), asset("d/b"))
        assert store.diff_page(page("a", "b")) == PageDiff(unchanged=2)
        store.database.execute(by_hand)
        assert names(open_store().diff_page(page("a", "b"))) == found

    def test_describing_an_asset_keeps_the_digest(self, store: PostgresMediaStateStore, lease: ScanLease) -> None:
        record(store, lease, asset("d/a"), asset("d/b"))
        digest = "SELECT digest FROM directory"
        before = store.database.execute(digest)
        store.save_metadata(SOURCE, b"d/a", asset("d/a").fingerprint, MediaMetadata(container="mov"))
        assert store.database.execute(digest) == before != [(None,)]

    def test_a_forgotten_source_is_forgotten_in_portions(
        self, store: PostgresMediaStateStore, lease: ScanLease, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("media_watch_tasks.stores.postgres.known_assets._AT_ONCE", 7)
        seen = [asset(f"d/{number:02}") for number in range(20)]
        record(store, lease, *seen)
        store.forget_seen(SOURCE)
        assert sorted(ids(store)) == [each.asset_id for each in seen]
        assert store.count_assets(SOURCE) == (0, 0)
        record(store, lease, *seen)
        assert store.mark_missing(SOURCE, [each.asset_id for each in seen]) == 20

    def test_numbers_of_the_largest_directory_are_compared(
        self, store: PostgresMediaStateStore, lease: ScanLease
    ) -> None:
        listed = [f"{number:05}" for number in range(1_500)]
        record(store, lease, *(asset(f"d/{name}") for name in listed))
        for length in (999, 1_000, 1_001, 1_499):
            assert len(store.diff_page(page(*listed[:length])).missing) == 1_500 - length
        assert store.diff_page(page(*listed)) == PageDiff(unchanged=1_500)
        assert store.diff_page(page((b"00000", 1, MTIME))).changed != ()
