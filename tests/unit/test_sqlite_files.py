"""The database file: who may read it, where it may be, and what is said when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import peewee
import pytest
from playhouse.apsw_ext import APSWDatabase  # type: ignore[import-untyped]  # ships no types

from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory
from media_watch_tasks.stores.sqlite.file_system import network_file_system
from media_watch_tasks.stores.sqlite.migrations import migrate
from media_watch_tasks.stores.sqlite.stores import SqliteStores


def apsw_database(path: str, *, synchronous: str) -> APSWDatabase:
    return APSWDatabase(path, timeout=0, thread_safe=False)


@pytest.fixture(params=["sqlite3", "apsw"])
def factory(request: pytest.FixtureRequest) -> DatabaseFactory | None:
    return apsw_database if request.param == "apsw" else None


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


def test_all_files_are_for_their_owner_alone(tmp_path: Path, factory: DatabaseFactory | None) -> None:
    umask = os.umask(0)
    try:
        with SqliteStores(tmp_path / "watch.db", database_factory=factory):
            assert modes(tmp_path) == {"watch.db": 0o600, "watch.db-wal": 0o600, "watch.db-shm": 0o600}
    finally:
        os.umask(umask)


def test_a_file_that_is_there_is_not_opened_beside_sqlite(tmp_path: Path) -> None:
    # Closing such a descriptor would drop the locks of the process, and another program would delete the log in use.
    path = tmp_path / "watch.db"
    with SqliteStores(path) as first, SqliteStores(path), SqliteStores(path):
        first.media_state.acquire_scan("camera", owner="x", lease_ns=1)
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM source'); c.close()"
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        assert (tmp_path / "watch.db-wal").exists()
        assert first.media_state.sources() != ()


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_database_in_memory_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="need the path of a file"):
        Database(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/watch\.db cannot be created \(No such file.*folder exists"):
        Database(tmp_path / "nowhere" / "watch.db")


def test_a_folder_is_no_database(tmp_path: Path, factory: DatabaseFactory | None) -> None:
    with pytest.raises(StoreError, match="cannot be opened: check that its folder exists"):
        Database(tmp_path, database_factory=factory)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path, factory: DatabaseFactory | None) -> None:
    path = tmp_path / "film.mov"
    path.write_bytes(b"ftypqt  " * 1_000)
    with pytest.raises(StoreError, match=r"film\.mov is not an SQLite database: choose another path"):
        SqliteStores(path, database_factory=factory)
    assert path.read_bytes() == b"ftypqt  " * 1_000
    assert modes(tmp_path).keys() == {"film.mov"}


@pytest.mark.parametrize("foreign", ["CREATE TABLE photo (id)", "PRAGMA application_id = 77"])
def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute(foreign)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"photos\.db belongs to another program; choose another path"):
        SqliteStores(path)
    assert path.read_bytes() == before
    assert modes(tmp_path).keys() == {"photos.db"}


def test_an_old_sqlite_is_refused(tmp_path: Path) -> None:
    class OldSqlite(peewee.SqliteDatabase):
        def _connect(self) -> sqlite3.Connection:
            connection: sqlite3.Connection = super()._connect()  # type: ignore[misc]  # the stub leaves it out
            connection.create_function("sqlite_version", 0, lambda: "3.39.4")
            return connection

    def old(path: str, *, synchronous: str) -> OldSqlite:
        return OldSqlite(path, timeout=0, thread_safe=False, check_same_thread=False)

    with pytest.raises(ConfigurationError, match=r"SQLite 3\.39\.4 is too old: 3\.40 or newer is needed"):
        Database(tmp_path / "watch.db", database_factory=old)


def test_a_full_database_loses_the_transaction_alone(tmp_path: Path, factory: DatabaseFactory | None) -> None:
    with Database(tmp_path / "watch.db", database_factory=factory) as database:
        migrate(database)
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (1)")
        ((pages,),) = database.execute("PRAGMA page_count")
        database.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(StoreError, match=r"watch\.db has no room left: free space"), database.transaction():
            database.execute("INSERT INTO t VALUES (2), (zeroblob(1000000))")
        with database.transaction():
            database.execute("INSERT INTO t VALUES (3)")
        assert database.execute("SELECT x FROM t") == [(1,), (3,)]


def test_a_full_disk_loses_the_transaction_alone(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=True)
    try:
        with Database(disk / "watch.db") as database:
            migrate(database)
            database.execute("CREATE TABLE t (x)")
            database.execute("INSERT INTO t VALUES (1)")
            for durable in (False, True):
                with pytest.raises(StoreError, match=r"watch\.db .*: (free space|check the disk)"):  # noqa: SIM117 - the block is what is tested
                    with database.transaction(durable=durable):
                        database.execute("INSERT INTO t VALUES (2), (zeroblob(2000000))")
            (disk / "filler").unlink(missing_ok=True)
            with database.transaction():
                database.execute("INSERT INTO t VALUES (3)")
            assert database.execute("SELECT x FROM t") == [(1,), (3,)]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


_IO_ERROR = """
import os, resource, sys
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.migrations import migrate
with Database(sys.argv[1]) as database:
    migrate(database)
    database.execute("CREATE TABLE t (x)")
    database.execute("INSERT INTO t VALUES (1)")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    for durable in (False, True):
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(sys.argv[1] + "-wal").st_size + 100_000, unlimited[1]))
        try:
            with database.transaction(durable=durable):
                database.execute("INSERT INTO t VALUES (2), (zeroblob(9000000))")
        except StoreError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    with database.transaction(durable=True):
        database.execute("INSERT INTO t VALUES (3)")
    print(database.execute("SELECT x FROM t"))
"""


def test_an_io_error_loses_the_transaction_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _IO_ERROR, str(tmp_path / "watch.db")]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(answer) == 3
    for said in answer[:2]:
        assert "watch.db could not be read or written (I/O error): check the disk and the system log" in said
    assert answer[2] == "[(1,), (3,)]"


def test_a_damaged_file_is_called_damaged(tmp_path: Path, factory: DatabaseFactory | None) -> None:
    path = tmp_path / "watch.db"
    with SqliteStores(path) as stores:
        stores.media_state.acquire_scan("camera", owner="x", lease_ns=1)
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    path.write_bytes(content)
    with (
        pytest.raises(StoreError, match=r"watch\.db is damaged: stop all"),
        SqliteStores(path, database_factory=factory) as stores,
    ):
        stores.media_state.sources()


_READ_ONLY = """
import os, sys
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.stores import SqliteStores
SqliteStores(sys.argv[2]).close()
if os.geteuid() == 0:
    # Root may write anywhere: an ordinary user tries it, who may not even read the modules of this Python.
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
try:
    with SqliteStores(sys.argv[1]) as stores:
        stores.media_state.acquire_scan("camera", owner="x", lease_ns=1)
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "said"),
    [
        (0o555, 0o444, "cannot be written: make the file and its folder writable"),
        (0o777, 0o444, "cannot be written: make the file and its folder writable"),
        (0o777, 0o000, "cannot be opened: check that its folder exists and that the user of this program may write"),
    ],
)
def test_what_may_not_be_written_is_named(tmp_path: Path, folder_mode: int, file_mode: int, said: str) -> None:
    # A folder below /tmp, which every user can reach.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "watch.db"
        SqliteStores(path).close()
        path.chmod(file_mode)
        Path(folder).chmod(folder_mode)
        command = [sys.executable, "-c", _READ_ONLY, str(path), str(tmp_path / "warm-up.db")]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        Path(folder).chmod(0o755)
    assert f"the database {path} {said}" in answer.stdout


_FORK = """
import os, sys
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.stores.sqlite.stores import SqliteStores
stores = SqliteStores(sys.argv[1])
child = os.fork()
if child == 0:
    code = 0
    for use in (stores.media_state.sources, stores.database.transaction, stores.database.data_version):
        try:
            use()
            code = 1
        except ConfigurationError as error:
            code = code if "a forked process opens stores of its own" in str(error) else 2
    stores.close()
    try:
        stores.media_state.sources()
    except ConfigurationError:
        pass  # Not closed: what the parent has open was left alone.
    with SqliteStores(sys.argv[1]) as own:
        own.media_state.acquire_scan("child", owner="x", lease_ns=1)
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert stores.media_state.acquire_scan("parent", owner="x", lease_ns=1)
assert [source.source_id for source in stores.media_state.sources()] == ["child", "parent"]
stores.close()
"""


def test_a_forked_child_opens_stores_of_its_own(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", _FORK, str(tmp_path / "watch.db")], check=True)


_MOUNTS = r"""
    22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
    30 22 0:26 / /mnt/nas rw,relatime shared:2 master:1 - nfs4 nas:/export rw,vers=4.2
    31 22 0:27 / /mnt/my\040share rw - cifs //nas/share rw
    32 30 254:1 / /mnt/nas/local rw - xfs /dev/sdb1 rw
    33 22 0:28 / /home/me/remote rw - fuse.sshfs me@host: rw
    34 22 0:29 / /over rw - nfs nas:/other rw
    35 22 254:2 / /over rw - ext4 /dev/sdc1 rw
    36 22 0:30 / /mnt/pool rw - fuse.mergerfs a:b rw
    malformed line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/watch.db", None),
        ("/mnt/nas/watch.db", "nfs4"),
        ("/mnt/nas/a/b/watch.db", "nfs4"),
        ("/mnt/nastier/watch.db", None),
        ("/mnt/my share/watch.db", "cifs"),
        ("/mnt/nas/local/watch.db", None),
        ("/home/me/remote/watch.db", "fuse.sshfs"),
        ("/over/watch.db", None),
        ("/mnt/pool/watch.db", None),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_mount(tmp_path: Path, path: str, kind: str | None) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(textwrap.dedent(_MOUNTS).lstrip())
    assert network_file_system(path, mountinfo=str(table)) == kind


def test_a_platform_without_a_table_of_mounts_is_trusted(tmp_path: Path) -> None:
    assert network_file_system("/mnt/nas/watch.db", mountinfo=str(tmp_path / "nothing")) is None


def test_a_network_file_system_is_refused_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_watch_tasks.stores.sqlite.file_system.network_file_system", lambda _path: "nfs4")
    with pytest.raises(ConfigurationError, match=r"network file system \(nfs4\).*allow_network_filesystem=True"):
        SqliteStores(tmp_path / "watch.db")
    assert list(tmp_path.iterdir()) == []
    SqliteStores(tmp_path / "watch.db", allow_network_filesystem=True).close()
