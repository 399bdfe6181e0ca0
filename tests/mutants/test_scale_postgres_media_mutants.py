"""Wrong media state stores on PostgreSQL, each of which a test finds out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from media_watch_tasks.manager import task_manager
from media_watch_tasks.stores.postgres import (
    changes,
    directory_rows,
    known_assets,
    listings_ahead,
    media_state_store,
    migrations,
    scan_leases,
)
from media_watch_tasks.stores.postgres.listings_ahead import ListingsAhead
from media_watch_tasks.stores.postgres.schema_media import MEDIA_SCHEMA

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
TESTS = "tests/scale/test_scale_postgres_media_state.py"
SUITE = "tests/contracts/test_scale_media_state_store_postgres.py::TestPostgresMediaStateStore"
Mutate = Callable[[pytest.MonkeyPatch], None]

MUTANTS: list[tuple[Mutate, str]] = []


def killed_by(test: str) -> Callable[[Mutate], Mutate]:
    def register(mutate: Mutate) -> Mutate:
        MUTANTS.append((mutate, test))
        return mutate

    return register


def without(patch: pytest.MonkeyPatch, module: object, name: str, text: str, instead: str = "") -> None:
    """Patch a statement: the text must be in it."""
    statement: str = getattr(module, name)
    assert text in statement
    patch.setattr(module, name, statement.replace(text, instead))


@killed_by(f"{TESTS}::TestFollowers::test_a_change_that_commits_late_is_not_missed")
@killed_by(f"{TESTS}::TestFollowers::test_a_number_taken_late_by_an_early_transaction_is_not_missed")
def follows_the_numbers_alone(patch: pytest.MonkeyPatch) -> None:
    """Reads everything that is committed, in order of its number."""
    without(patch, changes, "_OF_ALL", f"AND a.{changes.SETTLED}")
    without(patch, changes, "_OF_ALL", f"AND r.{changes.SETTLED}")
    without(patch, changes, "_LAST", f" WHERE {changes.SETTLED}")


def _with_schema(patch: pytest.MonkeyPatch, text: str, instead: str) -> None:
    assert any(text in statement for statement in MEDIA_SCHEMA)
    changed = tuple(statement.replace(text, instead) for statement in migrations.MIGRATIONS[0])
    patch.setattr(migrations, "MIGRATIONS", (changed,))


@killed_by(f"{TESTS}::TestFollowers::test_a_change_that_commits_late_is_not_missed")
def takes_open_transactions_for_settled(patch: pytest.MonkeyPatch) -> None:
    _with_schema(patch, "pg_snapshot_xmin", "pg_snapshot_xmax")


@killed_by(f"{TESTS}::TestFollowers::test_a_database_restored_to_a_younger_server_goes_on_numbering")
def trusts_the_numbers_of_another_server(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(media_state_store, "rebase_changes", lambda _database: None)


@killed_by(f"{SUITE}::test_a_follower_ends_with_what_the_store_knows")
def numbers_each_statement_of_a_transaction_alike(patch: pytest.MonkeyPatch) -> None:
    _with_schema(patch, "RETURN number + taken", "RETURN number")


@killed_by(f"{TESTS}::TestFencing::test_a_take_over_waits_for_the_page_that_is_being_written")
def looks_at_the_lease_without_holding_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scan_leases, "_HOLD", scan_leases._HELD)


@killed_by(f"{TESTS}::TestFencing::test_a_late_page_is_refused_after_a_take_over_that_resumes")
@killed_by(f"{SUITE}::test_a_lost_lease_writes_nothing")
def asks_for_no_token(patch: pytest.MonkeyPatch) -> None:
    for name in ("_HELD", "_HOLD"):
        without(patch, scan_leases, name, "scan_token = $2", "$2 > 0")


@killed_by(f"{TESTS}::TestFencing::test_writers_of_one_directory_leave_a_digest_of_all_they_wrote")
def writes_assets_without_their_directory(patch: pytest.MonkeyPatch) -> None:
    without(patch, directory_rows, "_HOLD", "FOR NO KEY UPDATE")


@killed_by(f"{TESTS}::TestReadingAhead::test_one_statement_covers_a_run_of_directories")
def reads_one_directory_at_a_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(listings_ahead, "_LONGEST", 1)


@killed_by(f"{TESTS}::TestReadingAhead::test_what_this_store_writes_is_seen_at_once")
@killed_by(f"{SUITE}::test_a_page_is_compared_with_the_latest_look")
def forgets_that_it_wrote(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ListingsAhead, "drop", lambda *_arguments: None)


@killed_by(f"{TESTS}::TestReadingAhead::test_what_another_process_writes_is_seen_within_a_second")
def believes_for_ever_what_it_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(listings_ahead, "_USED_NS", 2**62)


@killed_by(f"{TESTS}::TestReadingAhead::test_a_scan_uses_nothing_that_was_read_for_an_earlier_one")
def begins_a_scan_with_what_it_read_for_the_last(patch: pytest.MonkeyPatch) -> None:
    store = media_state_store.PostgresMediaStateStore
    patch.setattr(store, "acquire_scan", scan_leases.ScanLeases.acquire_scan)


@killed_by(f"{TESTS}::TestValues::test_rows_changed_by_hand_do_not_hide_behind_a_digest")
def has_no_triggers(patch: pytest.MonkeyPatch) -> None:
    kept = tuple(each for each in migrations.MIGRATIONS[0] if "CREATE TRIGGER" not in each)
    patch.setattr(migrations, "MIGRATIONS", (kept,))


@killed_by(f"{TESTS}::TestValues::test_describing_an_asset_keeps_the_digest")
def drops_the_digest_at_any_update(patch: pytest.MonkeyPatch) -> None:
    _with_schema(patch, "missing_since_ns IS NULL FROM later", "sequence IS NULL FROM later")


@killed_by(f"{TESTS}::TestValues::test_a_forgotten_source_is_forgotten_in_portions")
def forgets_one_portion(patch: pytest.MonkeyPatch) -> None:
    without(patch, known_assets, "_FORGET", "SELECT count(*) FROM forgotten", "SELECT 0 FROM forgotten LIMIT 1")


@pytest.mark.parametrize(("mutate", "test"), MUTANTS, ids=lambda value: getattr(value, "__name__", "by"))
def test_a_wrong_store_is_found_out(
    mutate: Mutate, test: str, assert_killed: Callable[[Mutate, str], None]
) -> None:  # fmt: skip
    assert_killed(mutate, test)


def test_a_manager_that_goes_by_its_own_clock_is_found_out(assert_killed: Callable[[Mutate, str], None]) -> None:
    assert_killed(
        lambda patch: patch.setattr(task_manager, "KeepsTime", pytest.MonkeyPatch),
        "tests/scale/test_scale_managers.py::test_a_manager_goes_by_the_clock_of_stores_that_have_one",
    )
