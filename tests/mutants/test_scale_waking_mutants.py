"""Wrong announcements of work, each of which a test of theirs finds out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.manager import forever
from media_watch_tasks.stores.postgres import announcements as postgres_announcements
from media_watch_tasks.stores.postgres import database as databases
from media_watch_tasks.stores.postgres import task_store as postgres_task_store
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.relational.announcements import Announcements
from media_watch_tasks.stores.sqlite import announcements as sqlite_announcements
from media_watch_tasks.testing.contracts import announcements as suite

pytestmark = pytest.mark.usefixtures("postgres")  # one server for the sessions of all mutants
POSTGRES = "tests/contracts/test_scale_shared_queue_postgres.py::TestPostgresAnnouncements::"
SQLITE = "tests/contracts/test_shared_queue_sqlite.py::TestSqliteAnnouncements::"
WAKING = "tests/scale/test_scale_waking.py::"
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(POSTGRES + "test_what_another_process_has_enqueued_is_announced_and_there")
def nothing_is_announced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(databases.Database, "is_silent", property(lambda _database: True))


@killed_by(POSTGRES + "test_the_last_of_many_is_announced_too")
def nobody_looks_a_second_time(patch: pytest.MonkeyPatch) -> None:
    def hear(connection: Connection, ended: threading.Event, tell: Callable[[], None]) -> Iterator[None]:
        while not ended.is_set():
            if connection.heard(0.2):
                tell()
            yield

    patch.setattr(databases, "_SILENT_NS", 10**9)
    patch.setattr(postgres_announcements, "_hear", hear)


@killed_by(SQLITE + "test_what_another_process_has_enqueued_is_announced_and_there")
def only_the_first_is_noticed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sqlite_announcements, "_HIGHEST", "SELECT count(*) > 0 FROM task")


@killed_by(SQLITE + "test_all_who_listen_are_told")
def one_is_told(patch: pytest.MonkeyPatch) -> None:
    def tell(announcements: Announcements) -> None:
        next(iter(tuple(announcements._listeners.values())))()

    patch.setattr(Announcements, "_tell", tell)


@killed_by(SQLITE + "test_nobody_is_told_after_the_end")
def the_end_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Announcements, "_remove", lambda *_: None)


@killed_by(WAKING + "test_an_outage_of_the_announcements_is_logged_once")
def an_outage_is_logged_at_every_attempt(patch: pytest.MonkeyPatch) -> None:
    def watch(database: databases.Database, ended: threading.Event, tell: Callable[[], None]) -> None:
        while not ended.is_set():
            try:
                with closing(database.connect()) as connection:
                    connection.command(f"LISTEN {database.channel}")
                    for _ in postgres_announcements._hear(connection, ended, tell):
                        pass
            except Exception as error:  # noqa: BLE001 - as the right one does
                postgres_announcements.logger.warning("new tasks are not announced for now: %s", error)
                ended.wait(0.02)

    patch.setattr(postgres_task_store, "watch_announcements", watch)


@killed_by(WAKING + "test_announcements_that_follow_each_other_closely_are_one")
def every_task_is_announced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(databases, "_SILENT_NS", 0)


@killed_by(WAKING + "test_a_manager_that_waits_delivers_what_another_one_enqueues[postgres]")
def managers_do_not_listen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forever, "AnnouncesWork", int)


@MUTANTS.each()
def test_a_wrong_announcement_is_found_out(
    mutant: Mutant, test: str, assert_killed: Callable[[Mutant, str], None]
) -> None:
    def impatient(patch: pytest.MonkeyPatch) -> None:
        from tests.scale import test_scale_waking  # noqa: PLC0415 - its patience is shortened, not its tests taken

        # What does not come is waited for for two seconds; the right one has all the time that it takes.
        patch.setattr(suite, "_HANGS_AFTER", 2)
        patch.setattr(test_scale_waking, "HANGS_AFTER", 4)
        mutant(patch)

    assert_killed(impatient, test)
