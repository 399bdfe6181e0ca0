"""Wrong permits and limits, each of which a test finds out."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.mutants.registered import Mutants

from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.stores.postgres import permits as postgres_permits
from media_watch_tasks.stores.postgres.permits import PostgresPermits
from media_watch_tasks.stores.sqlite import permits as sqlite_permits
from media_watch_tasks.stores.sqlite.permits import SqlitePermits
from media_watch_tasks.stores.turns import next_turn
from media_watch_tasks.uploaders.wrappers import shared_limit
from media_watch_tasks.uploaders.wrappers.shared_limit import SharedLimit

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
SQLITE = "tests/contracts/test_permits_sqlite.py::TestSqlitePermits"
POSTGRES = "tests/contracts/test_scale_permits_postgres.py::TestPostgresPermits"
LIMIT = "tests/uploaders/test_uploaders_shared_limit.py"
Mutate = Callable[[pytest.MonkeyPatch], None]

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(f"{SQLITE}::test_no_more_places_are_taken_than_there_are", f"{SQLITE}::test_names_do_not_mix")
def locks_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sqlite_permits, "locked", lambda _descriptor, *, wait: True)


@killed_by(f"{SQLITE}::test_a_place_that_was_given_back_is_free_for_all")
def keeps_what_is_given_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqlitePermits, "give_back", lambda *_arguments: None)


@killed_by(f"{SQLITE}::test_names_do_not_mix", f"{SQLITE}::test_turns_of_other_names_do_not_count")
def has_one_file_for_all_names(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sqlite_permits, "_file_name", lambda _name: "all")


@killed_by(f"{POSTGRES}::test_no_clock_that_jumps_holds_turns_up")
def believes_turns_of_a_far_future(patch: pytest.MonkeyPatch) -> None:
    real = next_turn
    patch.setattr(
        postgres_permits, "next_turn", lambda reserved, **named: real(reserved, **{**named, "longest_ns": 2**62})
    )


@killed_by(f"{SQLITE}::test_no_clock_that_jumps_holds_turns_up")
def keeps_turns_of_another_boot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sqlite_permits, "next_turn", _unguarded)
    patch.setattr(
        sqlite_permits, "_read_turns", lambda descriptor, _boot: json.loads(
            os.pread(descriptor, 9_999, 0) or b"{}"
        ).get("turns", [])
    )  # fmt: skip


def _unguarded(
    reserved: Any, *, now_ns: int, turns: int, per_ns: int, longest_ns: int
) -> tuple[int, list[int]]:  # fmt: skip
    return next_turn(reserved, now_ns=now_ns, turns=turns, per_ns=per_ns, longest_ns=longest_ns + 2**62)


def _bucket(
    reserved: Any, *, now_ns: int, turns: int, per_ns: int, longest_ns: int
) -> tuple[int, list[int]]:  # fmt: skip
    """The usual leaky bucket: a burst, and then one after the other."""
    latest = reserved[-1] if reserved else now_ns - per_ns
    turn = max(now_ns, latest + per_ns // turns - per_ns)
    return turn, [max(latest, now_ns - per_ns) + per_ns // turns]


@killed_by(f"{SQLITE}::test_no_stretch_of_time_holds_more_turns")
def lets_twice_as_many_into_a_stretch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sqlite_permits, "next_turn", _bucket)


@killed_by(f"{POSTGRES}::test_no_more_places_are_taken_than_there_are")
def shares_the_lock(patch: pytest.MonkeyPatch) -> None:
    statement = postgres_permits._TAKE.replace("pg_try_advisory_lock", "pg_try_advisory_lock_shared")
    assert statement != postgres_permits._TAKE
    patch.setattr(postgres_permits, "_TAKE", statement)


@killed_by(f"{POSTGRES}::test_no_more_places_are_taken_than_there_are")
def takes_its_own_place_again(patch: pytest.MonkeyPatch) -> None:
    class Forgetful(set[Any]):
        def __contains__(self, _item: object) -> bool:
            return False

    real = PostgresPermits.__init__

    def wrong(self: PostgresPermits, database: Any, clock: Any) -> None:
        real(self, database, clock)
        self._held = Forgetful()

    patch.setattr(PostgresPermits, "__init__", wrong)


@killed_by(f"{POSTGRES}::test_the_first_turns_come_at_once_and_the_next_after_the_stretch")
def writes_no_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(postgres_permits, "_WRITE", "SELECT $1::text, $2::bigint[]")


@killed_by(f"{LIMIT}::test_an_upload_that_finds_no_place_is_put_back_and_the_next_one_finds_it")
def asks_for_no_place(patch: pytest.MonkeyPatch) -> None:
    real = SharedLimit.__init__

    def wrong(self: SharedLimit, *arguments: Any, **named: Any) -> None:
        real(self, *arguments, **named)
        self._at_once = None

    patch.setattr(SharedLimit, "__init__", wrong)


@killed_by(f"{LIMIT}::test_only_the_named_kinds_are_held_up")
def holds_up_every_kind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shared_limit, "kind_of", lambda _name: MediaKind.VIDEO)


@killed_by(f"{LIMIT}::test_the_rate_is_counted_over_all_processes")
def counts_the_rate_for_itself(patch: pytest.MonkeyPatch) -> None:
    own: dict[int, list[int]] = {}
    lock = threading.Lock()

    def take_turn(self: SqlitePermits, _name: str, *, turns: int, per_ns: int, longest_ns: int) -> tuple[bool, int]:
        with lock:
            now = self._clock.boot_ns()
            turn, kept = next_turn(own.get(id(self), ()), now_ns=now, turns=turns, per_ns=per_ns, longest_ns=longest_ns)
            own[id(self)] = kept
            return turn - now <= longest_ns, turn - now

    patch.setattr(SqlitePermits, "take_turn", take_turn)


@MUTANTS.each()
def test_wrong_permits_are_found_out(
    mutant: Mutate, test: str, assert_killed: Callable[[Mutate, str], None]
) -> None:  # fmt: skip
    assert_killed(mutant, test)
