"""Pages on SQLite: what an unchanged page costs, what a changed one writes, and what a page may not be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.sources import PageDiff, PageRecord, ScanLease
from media_watch_tasks.model.tasks import NewTask, TaskState
from media_watch_tasks.stores.sqlite import absences, known_assets, scanned_pages
from media_watch_tasks.stores.sqlite.media_state_store import SqliteMediaStateStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.contracts.media_state_store_base import MTIME, SOURCE, asset, row


class Statements:
    """What SQLite was told to do since the last question."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def factory(self, path: str, *, synchronous: str) -> peewee.SqliteDatabase:
        statements = self

        class Traced(peewee.SqliteDatabase):
            def _connect(self) -> sqlite3.Connection:
                connection: sqlite3.Connection = super()._connect()  # type: ignore[misc]  # the stub leaves it out
                connection.set_trace_callback(statements.told.append)
                return connection

        return Traced(path, timeout=0, thread_safe=False, check_same_thread=False)

    def since(self) -> list[str]:
        # The statements of triggers come as comments.
        told = [statement.split()[0].upper() for statement in self.told if not statement.startswith("--")]
        self.told.clear()
        return told


@pytest.fixture
def statements() -> Statements:
    return Statements()


@pytest.fixture
def store(tmp_path: Path, statements: Statements) -> Iterator[SqliteMediaStateStore]:
    with SqliteStores(tmp_path / "watch.db", database_factory=statements.factory) as stores:
        yield stores.media_state


@pytest.fixture
def lease(store: SqliteMediaStateStore) -> ScanLease:
    lease = store.acquire_scan(SOURCE, owner="x", lease_ns=1)
    assert lease is not None
    return lease


def page(*names: str | tuple[bytes, int, int], complete: bool = True) -> ScanPage:
    rows = tuple(sorted(name if isinstance(name, tuple) else row(name) for name in names))
    return ScanPage(SOURCE, b"d", rows, complete=complete)


def record(store: SqliteMediaStateStore, lease: ScanLease, *seen: MediaAsset, complete: bool = True) -> None:
    assert store.record_page(lease, PageRecord(directory=b"d", seen=seen, complete=complete))


def written_by(store: SqliteMediaStateStore, statement: str) -> int:
    return int(store.database.execute(statement)[0][0])


def test_an_unchanged_directory_is_known_by_one_row(
    store: SqliteMediaStateStore, lease: ScanLease, statements: Statements
) -> None:
    record(store, lease, *(asset(f"d/{number:03}") for number in range(900)))
    same = page(*(f"{number:03}" for number in range(900)))
    statements.since()
    assert store.diff_page(same) == PageDiff(unchanged=900)
    (statement,) = statements.told
    assert "FROM asset " not in statement


def test_a_part_of_a_directory_is_read_with_one_statement(
    store: SqliteMediaStateStore, lease: ScanLease, statements: Statements
) -> None:
    record(store, lease, asset("d/a"), asset("d/b"))
    statements.since()
    assert store.diff_page(page("a", complete=False)).unchanged == 1
    assert statements.since() == ["SELECT"]


def test_a_changed_directory_is_read_with_one_more_statement(
    store: SqliteMediaStateStore, lease: ScanLease, statements: Statements
) -> None:
    record(store, lease, asset("d/a"), asset("d/b"))
    statements.since()
    assert store.diff_page(page("a")).missing == (b"d/b",)
    assert statements.since() == ["SELECT"] * 2


def test_a_page_that_says_nothing_new_begins_no_transaction(
    store: SqliteMediaStateStore, lease: ScanLease, statements: Statements
) -> None:
    record(store, lease, asset("d/a"))
    statements.since()
    version = store.database.data_version()
    for nothing_new in (
        PageRecord(directory=b"d", complete=True),
        PageRecord(directory=b"d"),
        PageRecord(directory=b"e"),
    ):
        assert store.record_page(lease, nothing_new)
    assert set(statements.since()) == {"PRAGMA", "SELECT"}
    assert store.database.data_version() == version


def test_a_changed_page_writes_its_changes_alone(store: SqliteMediaStateStore, lease: ScanLease) -> None:
    record(store, lease, *(asset(f"d/{number:03}") for number in range(500)))
    before = written_by(store, "SELECT total_changes()")
    record(store, lease, asset("d/007", version=2), asset("d/new"))
    # The two assets; the digest of the directory is dropped twice and written once.
    assert written_by(store, "SELECT total_changes()") - before <= 5


def test_the_second_record_of_a_page_changes_no_asset(store: SqliteMediaStateStore, lease: ScanLease) -> None:
    seen = [asset(f"d/{number:03}") for number in range(500)]
    record(store, lease, *seen)
    before = written_by(store, "SELECT total_changes()")
    record(store, lease, *seen)
    # The directory, its digest, and the counter of changes.
    assert written_by(store, "SELECT total_changes()") - before <= 3


@pytest.mark.parametrize(
    ("by_hand", "found"),
    [
        ("UPDATE asset SET mtime_ns = mtime_ns + 1 WHERE name = x'61'", ([], [b"a"], [])),
        ("UPDATE asset SET size = 0 WHERE name = x'61'", ([], [b"a"], [])),
        ("UPDATE asset SET missing_since_ns = 1 WHERE name = x'61'", ([b"a"], [], [])),
        ("UPDATE asset SET name = x'7a' WHERE name = x'61'", ([b"a"], [], [b"d/z"])),
        ("DELETE FROM asset WHERE name = x'61'", ([b"a"], [], [])),
    ],
)
def test_rows_changed_by_hand_do_not_hide_behind_a_digest(
    store: SqliteMediaStateStore, lease: ScanLease, by_hand: str, found: tuple[list[bytes], list[bytes], list[bytes]]
) -> None:
    record(store, lease, asset("d/a"), asset("d/b"))
    assert store.diff_page(page("a", "b")) == PageDiff(unchanged=2)
    store.database.execute(by_hand)
    diff = store.diff_page(page("a", "b"))
    assert ([each.name for each in diff.new], [each.name for each in diff.changed], list(diff.missing)) == found


def test_a_directory_that_outgrows_a_page_loses_its_digest(store: SqliteMediaStateStore, lease: ScanLease) -> None:
    few = [f"{number:05}" for number in range(10)]
    record(store, lease, *(asset(f"d/{name}") for name in few))
    assert store.diff_page(page(*few)).unchanged == 10
    record(store, lease, *(asset(f"d/x{number:05}") for number in range(1_000)), complete=False)
    # The page that equals the old digest no longer equals the directory, complete or not.
    assert len(store.diff_page(page(*few)).missing) == 1_000
    record(store, lease, asset("d/y"))
    assert len(store.diff_page(page(*few)).missing) == 1_001


def test_the_first_thousand_names_of_a_larger_directory_are_not_all_of_it(
    store: SqliteMediaStateStore, lease: ScanLease
) -> None:
    names = [f"{number:05}" for number in range(1_500)]
    record(store, lease, *(asset(f"d/{name}") for name in names))
    for length in (999, 1_000, 1_001, 1_499):
        assert len(store.diff_page(page(*names[:length])).missing) == 1_500 - length


class Size(int):
    """An integer of a scanner's own."""


def test_rows_of_unusual_types_are_compared_by_value(store: SqliteMediaStateStore, lease: ScanLease) -> None:
    record(store, lease, asset("d/a"))
    assert store.diff_page(page((b"a", Size(1_001), MTIME + 1))) == PageDiff(unchanged=1)
    assert store.diff_page(page((b"a", Size(1_002), MTIME + 1))).unchanged == 0


@pytest.mark.parametrize(("size", "mtime_ns"), [(2**63, 0), (1, 2**64), (1, -(2**63) - 1)])
def test_values_beyond_64_bits_name_the_directory_and_write_nothing(
    store: SqliteMediaStateStore, lease: ScanLease, size: int, mtime_ns: int
) -> None:
    huge = MediaAsset(SOURCE, b"d/a", size, mtime_ns)
    with pytest.raises(ConfigurationError, match=r"the directory d has a size or mtime beyond 64 bits.*within_int64"):
        store.record_page(lease, PageRecord(directory=b"d", seen=(asset("d/0"), huge), complete=True))
    assert store.count_assets(SOURCE) == (0, 0)
    assert not store.diff_page(page()).listed_before


def test_an_asset_of_another_directory_is_refused(store: SqliteMediaStateStore, lease: ScanLease) -> None:
    with pytest.raises(ConfigurationError, match=r"d/e/a does not stand in the directory d of its page"):
        store.record_page(lease, PageRecord(directory=b"d", seen=(asset("d/e/a"),)))
    assert store.count_assets(SOURCE) == (0, 0)


@pytest.mark.parametrize(
    "statement",
    [
        scanned_pages._KNOWN_WHOLE,
        scanned_pages._KNOWN_AFTER,
        scanned_pages._KNOWN_UP_TO,
        scanned_pages._KNOWN_BETWEEN,
        scanned_pages._KNOWN_COUNT,
        scanned_pages._LISTED,
        known_assets._FROM_START,
        known_assets._REST_OF_DIRECTORY,
        known_assets._NEXT_DIRECTORIES,
        known_assets._look_up(16),
        known_assets._SEE_AGAIN,
        known_assets._MARK_MISSING,
        known_assets._DIRECTORY,
        known_assets._ANY_MARK,
        known_assets._UNMARK,
        absences._LISTING,
        absences._MARK,
        absences._MARK_BELOW,
        absences._MARKED,
        absences._DISTRUST,
        absences._DISTRUST_BELOW,
        absences._ABSENT,
        absences._SAME_VERSION,
        absences._UNDESCRIBED_IN_DIRECTORY,
        absences._UNDESCRIBED_BEHIND,
    ],
)
def test_hot_statements_search_by_key_and_sort_nothing(store: SqliteMediaStateStore, statement: str) -> None:
    plan = store.database.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?"))
    steps = [detail for *_numbers, detail in plan]
    scans = [step for step in steps if step.startswith("SCAN ") and step != "SCAN w"]
    scans = [step for step in scans if "CONSTANT ROW" not in step]
    assert scans == []
    assert [step for step in steps if "TEMP B-TREE" in step] == []
    assert [step for step in steps if step.startswith("SEARCH")] != []


@pytest.mark.parametrize("statement", [absences._MARK_BELOW, absences._DISTRUST_BELOW])
def test_what_is_below_a_directory_is_a_range_of_keys(store: SqliteMediaStateStore, statement: str) -> None:
    # A share whose ten thousand folders are gone at once is walked through once, not ten thousand times.
    plan = store.database.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?"))
    assert any("(source=? AND path>? AND path<?)" in detail for *_numbers, detail in plan)


def test_stores_of_one_file_share_a_transaction_and_others_do_not(tmp_path: Path) -> None:
    with SqliteStores(tmp_path / "a.db") as first, SqliteStores(tmp_path / "a.db") as second:
        mine = first.media_state
        assert mine.shares_with(first.tasks)
        assert first.tasks.shares_with(mine)
        assert not mine.shares_with(second.media_state)
        assert not first.tasks.shares_with(second.media_state)
        assert not mine.shares_with(object())


@pytest.mark.parametrize("through", ["media_state", "tasks"])
@pytest.mark.parametrize("durable", [False, True])
def test_writes_to_both_stores_commit_together_or_not_at_all(tmp_path: Path, through: str, *, durable: bool) -> None:
    new = NewTask(route=Route(SOURCE, "archive"), asset_id=b"d/a", fingerprint=asset("d/a").fingerprint, due_ns=0)
    with SqliteStores(tmp_path / "watch.db") as stores, SqliteStores(tmp_path / "watch.db") as elsewhere:
        lease = stores.media_state.acquire_scan(SOURCE, owner="x", lease_ns=1)
        assert lease is not None

        def page_commit(*, fail: bool) -> None:
            with getattr(stores, through).transaction(durable=durable):
                stores.tasks.enqueue_if_absent([new])
                record(stores.media_state, lease, asset("d/a"))
                assert seen() == (0, 0)
                if fail:
                    raise LookupError

        def seen() -> tuple[int, int]:
            """(tasks, assets) as another process sees them."""
            tasks = elsewhere.tasks.counts()[TaskState.PENDING]
            return tasks, elsewhere.media_state.count_assets(SOURCE)[0]

        with pytest.raises(LookupError):
            page_commit(fail=True)
        assert seen() == (0, 0)
        page_commit(fail=False)
        assert seen() == (1, 1)
