"""HueyScheduler: arguments, the interval over all consumers, and leases that are lost."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from huey import FileHuey, MemoryHuey, RedisHuey, SqliteHuey

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import ConfigurationError, MissingDependencyError
from media_watch_tasks.schedulers import HueyScheduler
from media_watch_tasks.schedulers.shared_leases import SharedLease, lease_for
from media_watch_tasks.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)
Make = Callable[[], Any]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes Huey instances of one queue, as several processes would."""
    name = secrets.token_hex(4)
    if request.param == "redis":
        port = request.getfixturevalue("redis_port")
        return lambda: RedisHuey(name, host="127.0.0.1", port=port)
    if request.param == "sqlite":
        return lambda: SqliteHuey(name, filename=str(tmp_path / "huey.db"))
    only = MemoryHuey(name, immediate=False)
    return lambda: only


def tick(huey: Any) -> None:
    """What a consumer does once a minute."""
    for task in huey.read_periodic(None):
        huey.enqueue(task)
        huey.execute(huey.dequeue())


def scheduled(huey: Any, job: Callable[[CancelToken], object], **options: Any) -> HueyScheduler:
    scheduler = HueyScheduler(huey, options.pop("every", MINUTE), **options)
    scheduler.start(job)
    return scheduler


def test_a_run_is_due_once_in_an_interval_however_many_consumers_ask(make: Make) -> None:
    clock, runs = FakeClock(), list[int]()
    consumers = list(dict.fromkeys(make() for _ in range(3)))
    schedulers = [
        scheduled(huey, lambda _cancel: runs.append(1), every=timedelta(minutes=15), clock=clock) for huey in consumers
    ]
    for minute in range(46):
        for huey in consumers * 3:
            tick(huey)
        assert len(runs) == 1 + minute // 15
        clock.advance(MINUTE)
    for scheduler in schedulers:
        assert scheduler.stop()


def test_looks_that_come_a_little_early_skip_no_run(make: Make) -> None:
    clock, runs, huey = FakeClock(), list[int](), make()
    scheduled(huey, lambda _cancel: runs.append(1), clock=clock)
    for _ in range(10):
        tick(huey)
        clock.advance(timedelta(seconds=59.9))
    assert len(runs) == 10


def test_a_clock_that_was_set_back_stops_nothing(make: Make) -> None:
    clock, runs, huey = FakeClock(), list[int](), make()
    scheduled(huey, lambda _cancel: runs.append(1), clock=clock)
    tick(huey)
    clock.advance_wall(timedelta(days=-1))
    tick(huey)
    assert len(runs) == 2


def test_several_at_once_where_that_is_asked_for(make: Make) -> None:
    huey, active, most = make(), 0, 0
    lock, both = threading.Lock(), threading.Barrier(2)

    def job(_cancel: CancelToken) -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        both.wait(60)
        with lock:
            active -= 1

    scheduled(huey, job, at_once=2)
    threads = [threading.Thread(target=tick, args=(huey,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 2


def a_lease(huey: Any, clock: FakeClock) -> SharedLease:
    return lease_for(huey, "lease", length=timedelta(seconds=60), clock=clock)


def test_a_lease_has_one_holder_and_is_given_back(make: Make) -> None:
    clock = FakeClock()
    one, other = a_lease(make(), clock), a_lease(make(), clock)
    assert one.acquire()
    assert not other.acquire()
    assert one.renew()
    other.release()
    assert not other.acquire(), "what another holds cannot be given back"
    one.release()
    assert other.acquire()
    assert not one.renew()
    one.release()
    assert not a_lease(make(), clock).acquire(), "what was lost cannot be given back"


def test_a_lease_on_sqlite_ends_by_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    hueys = [SqliteHuey("one", filename=str(tmp_path / "huey.db")) for _ in range(2)]
    one, other = (a_lease(huey, clock) for huey in hueys)
    assert one.acquire()
    clock.advance(timedelta(seconds=50))
    assert one.renew()
    clock.advance(timedelta(seconds=50))
    assert not other.acquire()
    clock.advance(timedelta(seconds=11))
    assert other.acquire()
    assert not one.renew()


def test_a_lease_on_redis_ends_by_itself(redis_port: int) -> None:
    huey = RedisHuey(secrets.token_hex(4), host="127.0.0.1", port=redis_port)
    one, other = a_lease(huey, FakeClock()), a_lease(huey, FakeClock())
    assert one.acquire()
    assert 50 < huey.storage.conn.ttl(f"{huey.name}.lease") <= 60
    huey.storage.conn.pexpire(f"{huey.name}.lease", 1)
    while huey.storage.conn.exists(f"{huey.name}.lease"):
        pass
    assert other.acquire()
    assert not one.renew()


def test_a_run_whose_lease_is_lost_is_cancelled(redis_port: int, caplog: pytest.LogCaptureFixture) -> None:
    huey = RedisHuey(secrets.token_hex(4), host="127.0.0.1", port=redis_port)
    reasons: list[CancelReason | None] = []

    def job(cancel: CancelToken) -> None:
        [key] = huey.storage.conn.keys(f"{huey.name}.*lease*")
        huey.storage.conn.set(key, "another")
        assert cancel.wait(60)
        reasons.append(cancel.reason)

    scheduled(huey, job, lease=timedelta(seconds=1))
    with caplog.at_level(logging.WARNING):
        tick(huey)
    assert reasons == [CancelReason.LEASE_LOST]
    assert "another consumer runs the job" in caplog.text
    [key] = huey.storage.conn.keys(f"{huey.name}.*lease*")
    assert huey.storage.conn.get(key) == b"another"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": timedelta(seconds=59)}, "a minute at the least"),
        ({"every": 15}, "a minute at the least"),
        ({"at_once": 0}, "at_once must be 1 or more"),
        ({"lease": timedelta(0)}, "lease must be a second"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        HueyScheduler(MemoryHuey(immediate=False), **({"every": MINUTE} | options))


def test_what_is_no_huey_is_refused_with_the_line_that_installs_it() -> None:
    with pytest.raises(MissingDependencyError, match=r"media-watch-tasks\[huey\]"):
        HueyScheduler("redis://localhost", MINUTE)


def test_a_storage_without_leases_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="RedisHuey and SqliteHuey, not with FileStorage"):
        HueyScheduler(FileHuey(path=str(tmp_path)), MINUTE)


def test_two_schedules_on_one_queue_need_two_names() -> None:
    huey = MemoryHuey(immediate=False)
    first = scheduled(huey, lambda _cancel: None)
    with pytest.raises(ConfigurationError, match="of that name already"):
        scheduled(huey, lambda _cancel: None)
    scheduled(huey, lambda _cancel: None, name="another")
    assert first.stop()
    scheduled(huey, lambda _cancel: None)
