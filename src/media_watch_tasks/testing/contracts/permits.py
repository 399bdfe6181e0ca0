"""PermitsContract: what places and turns promise over processes.

class TestMyPermits(PermitsContract):
    def make_permits(self, clock):
        return MyPermits(clock)

    def another(self, permits):
        return MyPermits(...)  # as another process has them
"""

# ruff: noqa: S101, S311, D102, PLR2004 - a suite asserts, draws its data, and names its tests by their fact

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.clock import Clock, to_ns
from media_watch_tasks.testing.clock import FakeClock

__all__ = ["PermitsContract"]

_MINUTE = to_ns(timedelta(minutes=1))
_NAMES = ("archive", "archive 2", "", "日本 \ud800/..", "x" * 2_000)


class PermitsContract:
    """`Permits`, asked by several processes."""

    def make_permits(self, clock: Clock) -> Permits:
        """New permits that nobody holds, which take all times from this clock."""
        raise NotImplementedError

    def another(self, permits: Permits) -> Permits:
        """The same permits as another process has them."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock that the tests move."""
        return FakeClock()

    @pytest.fixture
    def here(self, clock: FakeClock) -> Iterator[Permits]:
        """The permits as one process has them."""
        permits = self.make_permits(clock)
        yield permits
        permits.close()

    @pytest.fixture
    def there(self, here: Permits) -> Iterator[Permits]:
        """The permits as another process has them."""
        permits = self.another(here)
        yield permits
        permits.close()

    # ---- places

    def test_no_more_places_are_taken_than_there_are(self, here: Permits, there: Permits) -> None:
        taken = [permits.take_place("archive", places=3) for permits in (here, there, here, there, here)]
        assert sorted(place for place in taken if place is not None) == [0, 1, 2]
        assert taken[3:] == [None, None]

    def test_a_place_that_was_given_back_is_free_for_all(self, here: Permits, there: Permits) -> None:
        assert here.take_place("archive", places=1) == 0
        here.give_back("archive", 0)
        assert there.take_place("archive", places=1) == 0
        there.give_back("archive", 0)
        assert here.take_place("archive", places=1) == 0

    def test_a_place_is_given_back_once(self, here: Permits, there: Permits) -> None:
        assert here.take_place("archive", places=1) == 0
        here.give_back("archive", 0)
        here.give_back("archive", 0)
        assert there.take_place("archive", places=1) == 0
        here.give_back("archive", 0)
        assert here.take_place("archive", places=1) is None

    def test_names_do_not_mix(self, here: Permits, there: Permits) -> None:
        assert [here.take_place(name, places=1) for name in _NAMES] == [0] * len(_NAMES)
        assert [there.take_place(name, places=1) for name in _NAMES] == [None] * len(_NAMES)
        here.give_back(_NAMES[1], 0)
        assert [there.take_place(name, places=1) for name in _NAMES] == [None, 0, None, None, None]

    def test_closing_frees_all_places(self, here: Permits, there: Permits) -> None:
        for _ in range(3):
            assert here.take_place("archive", places=3) is not None
        here.close()
        here.close()
        assert [there.take_place("archive", places=3) for _ in range(4)] == [0, 1, 2, None]

    def test_threads_of_all_processes_keep_to_the_number(self, here: Permits, there: Permits) -> None:
        lock, inside, most, entered = threading.Lock(), 0, 0, 0
        failures: list[BaseException] = []

        def work(permits: Permits) -> None:
            nonlocal inside, most, entered
            try:
                while entered < 60:
                    place = permits.take_place("archive", places=2)
                    if place is None:
                        continue
                    with lock:
                        inside += 1
                        entered += 1
                        most = max(most, inside)
                    with lock:
                        inside -= 1
                    permits.give_back("archive", place)
            except BaseException as error:  # noqa: BLE001 - a thread hands over whatever ended it
                failures.append(error)

        threads = [threading.Thread(target=work, args=(permits,)) for permits in (here, there) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert most <= 2
        assert inside == 0

    # ---- turns

    def test_the_first_turns_come_at_once_and_the_next_after_the_stretch(self, here: Permits, there: Permits) -> None:
        asked = [
            permits.take_turn("archive", turns=2, per_ns=_MINUTE, longest_ns=2 * _MINUTE)
            for permits in (here, there, here, there, here)
        ]
        assert asked == [(True, 0), (True, 0), (True, _MINUTE), (True, _MINUTE), (True, 2 * _MINUTE)]

    def test_a_turn_that_is_too_far_is_not_reserved(self, here: Permits, there: Permits, clock: FakeClock) -> None:
        assert here.take_turn("archive", turns=1, per_ns=_MINUTE, longest_ns=0) == (True, 0)
        clock.advance(timedelta(seconds=20))
        for permits in (there, here, there):
            assert permits.take_turn("archive", turns=1, per_ns=_MINUTE, longest_ns=0) == (False, 2 * _MINUTE // 3)
        clock.advance(timedelta(seconds=40))
        assert there.take_turn("archive", turns=1, per_ns=_MINUTE, longest_ns=0) == (True, 0)

    def test_turns_of_other_names_do_not_count(self, here: Permits, there: Permits) -> None:
        for name in _NAMES:
            assert here.take_turn(name, turns=1, per_ns=_MINUTE, longest_ns=0) == (True, 0)
            assert there.take_turn(name, turns=1, per_ns=_MINUTE, longest_ns=0)[0] is False

    @pytest.mark.parametrize("seed", range(3))
    def test_no_stretch_of_time_holds_more_turns(
        self, here: Permits, there: Permits, clock: FakeClock, seed: int
    ) -> None:
        draw = random.Random(seed)
        taken: list[int] = []
        for _ in range(120):
            clock.advance(timedelta(seconds=draw.choice((0, 0, 1, 7, 30))))
            permits = draw.choice((here, there))
            reserved, wait = permits.take_turn("archive", turns=3, per_ns=_MINUTE, longest_ns=_MINUTE // 2)
            if reserved:
                assert 0 <= wait <= _MINUTE // 2
                taken.append(clock.boot_ns() + wait)
            else:
                assert wait > _MINUTE // 2
        assert taken == sorted(taken)
        assert all(later - earlier >= _MINUTE for earlier, later in zip(taken, taken[3:], strict=False))
        assert len(taken) > 20

    def test_no_clock_that_jumps_holds_turns_up(self, here: Permits, clock: FakeClock) -> None:
        assert here.take_turn("archive", turns=1, per_ns=_MINUTE, longest_ns=0) == (True, 0)
        clock.advance_wall(-timedelta(days=30))
        clock.advance_boot(timedelta(minutes=1))
        assert here.take_turn("archive", turns=1, per_ns=_MINUTE, longest_ns=_MINUTE) == (True, 0)
        clock.reboot()
        reserved, wait = here.take_turn("archive", turns=1, per_ns=_MINUTE, longest_ns=_MINUTE)
        assert reserved
        assert wait <= _MINUTE
