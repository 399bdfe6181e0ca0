"""The channels of a connection, shared by all threads that use it.

There is no reader thread. Of the threads that wait for replies on a channel one receives for all ("leads"); when it has
what it waited for it leaves the lead to the next. So a single-threaded scan pays for no hand-over between threads, and
upload threads share two connections without knowing of each other.
"""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.smb.channel import Channel, Exchange
from media_watch_tasks.smb.frames import ChannelLost
from media_watch_tasks.smb.operations import CompoundRefused
from media_watch_tasks.smb.wire import Message, echo

__all__ = ["ChannelPool"]

_BUSY = 8
_SLICE = 0.25
_SLICE_WHEN_OTHERS_LEAD = 0.005


class ChannelPool:
    """Opens channels when they are needed, spreads exchanges over them, and waits for replies. Thread-safe."""

    def __init__(self, open_channel: Callable[[], Channel], *, size: int) -> None:
        self._open_channel = open_channel
        self._size = size
        self._channels: list[Channel] = []
        self._opening = threading.Lock()
        self._changed = threading.Condition()
        self._led: set[Channel] = set()
        self._frames_before = 0

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels that live."""
        return [channel for channel in self._channels if channel.alive]

    @property
    def frames_sent(self) -> int:
        """Frames sent since the beginning, logins not counted."""
        return self._frames_before + sum(channel.frames_sent for channel in self._channels)

    def ensure(self, count: int = 1) -> Sequence[Channel]:
        """At least `count` living channels, at most as many as the pool may have; opens what is missing.

        Raises what opening raises; where at least one channel lives, a failure to open more is passed over.
        """
        wanted = min(count, self._size)
        live = self.channels
        if len(live) >= wanted:
            return live
        with self._opening:
            self._sweep()
            while len(live := self.channels) < wanted:
                try:
                    self._channels.append(self._open_channel())
                except Exception:
                    if live:
                        # Some servers allow a user few sessions: fewer channels do the same work.
                        self._size = len(live)
                        return live
                    raise
            return live

    def _sweep(self) -> None:
        with self._changed:
            dead = [channel for channel in self._channels if not channel.alive and channel not in self._led]
            for channel in dead:
                self._channels.remove(channel)
                self._frames_before += channel.frames_sent
                channel.log_off()

    def least_busy(self, count: int = 1) -> Channel:
        """The living channel with the fewest requests in flight, among at least `count`; one more if all are busy."""
        channels = self.ensure(count)
        quietest = min(channels, key=lambda channel: channel.in_flight)
        if quietest.in_flight >= _BUSY and len(channels) < self._size:
            return min(self.ensure(len(channels) + 1), key=lambda channel: channel.in_flight)
        return quietest

    def post(
        self,
        channel: Channel,
        messages: Sequence[Message],
        *,
        inbox: deque[Exchange] | None = None,
        token: object = None,
    ) -> Exchange:
        """Send on a channel, waiting for credits where they are short. Raises `ChannelLost`."""
        charge = sum(message.charge for message in messages) if channel.login.multi_credit else len(messages)
        if charge > channel.credits:
            self._wait_for_credits(channel, charge)
        return channel.post(messages, inbox=inbox, token=token)

    def _wait_for_credits(self, channel: Channel, charge: int) -> None:
        while charge > channel.credits:
            if not channel.alive:
                raise ChannelLost(str(channel.failure))
            if channel.in_flight:
                self.wait(lambda: charge <= channel.credits or not channel.in_flight, (channel,))
                continue
            before = channel.ceiling
            self.finish(channel.post((echo(),)))
            if channel.alive and channel.ceiling <= before and charge > channel.credits:
                raise CompoundRefused(f"the server grants {channel.ceiling} credits where {charge} are needed")

    def call(self, channel: Channel, messages: Sequence[Message]) -> Exchange:
        """Send and wait for the replies."""
        return self.finish(self.post(channel, messages))

    def finish(self, exchange: Exchange, *, cancel: CancelToken | None = None) -> Exchange:
        """Wait for the replies of an exchange."""
        self.wait(lambda: exchange.done, (exchange.channel,), cancel=cancel)
        return exchange

    def wait(
        self, ready: Callable[[], bool], channels: Iterable[Channel], *, cancel: CancelToken | None = None
    ) -> None:
        """Receive on the channels until `ready()` or one of them has ended. Raises `OperationCancelled`."""
        wanted = tuple(channels)
        while not ready() and all(channel.alive for channel in wanted):
            if cancel is not None:
                cancel.raise_if_cancelled()
            with self._changed:
                if ready():
                    return
                mine = [channel for channel in wanted if channel not in self._led]
                if not mine:
                    self._changed.wait(_SLICE)
                    continue
                self._led.update(mine)
            try:
                self._receive(mine, _SLICE if len(mine) == len(wanted) else _SLICE_WHEN_OTHERS_LEAD)
            finally:
                with self._changed:
                    self._led.difference_update(mine)
                    self._changed.notify_all()

    @staticmethod
    def _receive(channels: Sequence[Channel], timeout: float) -> None:
        if len(channels) == 1:
            ready = frozenset(channels) if channels[0].readable(timeout) else frozenset()
        else:
            poll = select.poll()
            for channel in channels:
                poll.register(channel, select.POLLIN)
            descriptors = {descriptor for descriptor, _ in poll.poll(timeout * 1_000)}
            ready = frozenset(channel for channel in channels if channel.fileno() in descriptors)
        for channel in channels:
            if channel in ready:
                channel.receive()
            else:
                channel.check_patience()

    def close(self) -> None:
        """Log off everywhere. Exchanges that still wait fail."""
        with self._opening:
            for channel in self._channels:
                self._take_lead(channel)
                self._frames_before += channel.frames_sent
                channel.log_off()
                with self._changed:
                    self._led.discard(channel)
                    self._changed.notify_all()
            self._channels = []

    def _take_lead(self, channel: Channel) -> None:
        with self._changed:
            if channel in self._led:
                channel.fail(ChannelLost("the connection was closed"))
            self._changed.wait_for(lambda: channel not in self._led, timeout=2 * _SLICE)
            self._led.add(channel)
