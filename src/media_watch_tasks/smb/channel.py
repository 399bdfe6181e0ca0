"""One logged-in connection to a share: message ids, credits, signatures, frames out and frames in.

A channel has no thread. `post` may be called by any thread; `receive` by one at a time (`ChannelPool` sees to that).
Everything that comes is checked before it is used; whatever is wrong ends the channel, and every exchange on it fails.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from struct import Struct
from types import ModuleType
from typing import Any

from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.smb import sealing, wire
from media_watch_tasks.smb.frames import ChannelLost, FrameSocket
from media_watch_tasks.smb.login import Login
from media_watch_tasks.smb.statuses import CONNECTION_OVER, Status, describe
from media_watch_tasks.smb.wire import HEADER, Message, ProtocolViolation, Reply

__all__ = ["Channel", "Exchange"]

_PROTOCOL = b"\xfeSMB"
_SIGNED, _RELATED, _FROM_SERVER, _ASYNC = 0x8, 0x4, 0x1, 0x2
_HEAD = Struct("<4sHHIHHIIQ")
_NO_SIGNATURE = bytes(16)
_CREDITS_WANTED = 2048
_CREDITS_A_STEP = 64
_PENDING_PATIENCE = 4


class Exchange:
    """A compound on its way, and its replies once they are all there."""

    __slots__ = ("buffers", "channel", "error", "inbox", "left", "pending", "replies", "token")

    def __init__(self, channel: Channel, count: int, inbox: deque[Exchange] | None, token: object) -> None:
        self.channel = channel
        self.left = count
        self.replies: list[Reply] = [Reply(0, memoryview(b""))] * count
        self.error: MediaWatchError | None = None
        self.inbox = inbox
        self.token: Any = token
        self.pending = 0
        self.buffers: list[bytearray] = []

    @property
    def done(self) -> bool:
        """True once all replies, or an error, are there."""
        return not self.left or self.error is not None

    def result(self) -> list[Reply]:
        """The replies in the order of the requests; raises what ended the channel."""
        if self.error is not None:
            raise self.error
        return self.replies

    def release(self) -> None:
        """The replies have been copied out: their buffers may be used again."""
        self.replies = []
        self.channel.take_back(self.buffers)
        self.buffers = []


class Channel:
    """Sends compounds and receives their replies over one socket."""

    def __init__(self, login: Login, *, crypto: ModuleType, timeout: float, clock: Clock) -> None:
        self.login = login
        self._timeout_ns = int(timeout * NANOSECONDS)
        self._frames = FrameSocket(login.sock, timeout_ns=self._timeout_ns, clock=clock)
        self._clock = clock
        self._signer = sealing.make_signer(login.signing, login.signing_key, crypto)
        self._sealer = sealing.make_sealer(
            login.cipher, login.encryption_key, login.decryption_key, login.session_id, crypto
        )
        self._lock = threading.Lock()
        self._next_id: int = login.next_message_id
        self.credits: int = login.credits
        self._waiting: dict[int, tuple[Exchange, int, int, int, int]] = {}
        self._in_flight_charge = 0
        self._pending = 0
        self._quiet_since = clock.monotonic_ns()
        self.failure: MediaWatchError | None = None
        self.frames_sent = 0
        self.frames_received = 0

    def fileno(self) -> int:
        """The socket's descriptor, for polling."""
        return self._frames.fileno()

    @property
    def alive(self) -> bool:
        """False once anything has ended the channel."""
        return self.failure is None

    @property
    def in_flight(self) -> int:
        """Requests that wait for a reply."""
        return len(self._waiting)

    @property
    def ceiling(self) -> int:
        """Credits there are when nothing is in flight."""
        return self.credits + self._in_flight_charge

    def post(
        self, messages: Sequence[Message], *, inbox: deque[Exchange] | None = None, token: object = None
    ) -> Exchange:
        """Send the messages as one compound, each related to the one before.

        A finished exchange is appended to `inbox`, one that failed in the sending too. Raises `ChannelLost` if the
        channel had ended before.
        """
        exchange = Exchange(self, len(messages), inbox, token)
        with self._lock:
            if self.failure is not None:
                raise ChannelLost(str(self.failure))
            if not self._waiting:
                self._quiet_since = self._clock.monotonic_ns()
            frame = self._pack(messages, exchange)
            self.frames_sent += 1
            try:
                self._frames.send(frame)
            except OSError as error:
                lost = ChannelLost(f"sending failed: {error}")
            else:
                return exchange
        self.fail(lost)
        return exchange

    def _pack(self, messages: Sequence[Message], exchange: Exchange) -> bytes:
        login, signer = self.login, self._signer
        flags = _SIGNED if signer is not None else 0
        extra = _CREDITS_A_STEP if self.ceiling < _CREDITS_WANTED else 0
        last = len(messages) - 1
        parts = [b""]
        for index, (command, body, charge, most) in enumerate(messages):
            size = HEADER.size + len(body)
            padding = b"" if index == last else bytes(-size % 8)
            message_id = self._next_id
            charged = charge if login.multi_credit else 1
            self._next_id += charged
            self.credits -= charged
            self._in_flight_charge += charged
            self._waiting[message_id] = (exchange, index, command, charged, most)
            message = HEADER.pack(
                _PROTOCOL, 64, charge if login.multi_credit else 0, 0, command, charge + extra, flags,
                size + len(padding) if index != last else 0, message_id, 0, login.tree_id, login.session_id,
                _NO_SIGNATURE,
            ) + body + padding  # fmt: skip
            if signer is not None:
                signature = signer.sign(message, message_id, from_server=False)
                message = message[:48] + signature + message[64:]
            parts.append(message)
            flags |= _RELATED
        frame = b"".join(parts)
        return frame if self._sealer is None else self._sealer.encrypt(frame)

    def readable(self, timeout: float) -> bool:
        """Wait until something has come, at most `timeout` seconds."""
        return self._frames.readable(timeout)

    def check_patience(self) -> None:
        """End the channel if it owes replies and has been silent for longer than the time limit.

        A server that has called a request pending gets four times as long: it may be asking another client to give a
        file free, which takes Samba and Windows up to 35 s.
        """
        if not self._waiting:
            return
        limit = self._timeout_ns * (_PENDING_PATIENCE if self._pending else 1)
        if self._clock.monotonic_ns() - self._quiet_since > limit:
            self.fail(ChannelLost(f"the server was silent for {limit / NANOSECONDS:g} s"))

    def take_back(self, buffers: list[bytearray]) -> None:
        """Keep buffers whose contents are no longer needed."""
        self._frames.take_back(buffers)

    def receive(self) -> None:
        """Take one frame from the socket and complete what it completes. Whatever is wrong ends the channel."""
        try:
            buffer, length = self._frames.receive()
            self.frames_received += 1
            self._quiet_since = self._clock.monotonic_ns()
            self._take_apart(buffer, length)
        except (OSError, MediaWatchError) as error:
            self.fail(error if isinstance(error, MediaWatchError) else ChannelLost(f"receiving failed: {error}"))

    def _take_apart(self, buffer: bytearray, length: int) -> None:
        view = memoryview(buffer)[:length]
        if buffer.startswith(sealing.TRANSFORM_PROTOCOL):
            if self._sealer is None:
                raise ProtocolViolation("the server encrypts although nothing of this session is encrypted")
            view = self._sealer.decrypt(buffer, length)
            length = len(view)
        elif self._sealer is not None:
            raise ProtocolViolation("the server answered an encrypted session in the clear")
        offset = 0
        while True:
            if length - offset < HEADER.size:
                raise ProtocolViolation(f"a response of {length - offset} bytes is too short")
            following = self._response(buffer, view, offset, length)
            if not following:
                return
            offset += following

    def _response(self, buffer: bytearray, view: memoryview, offset: int, length: int) -> int:
        protocol, size, _, status, command, granted, flags, following, message_id = _HEAD.unpack_from(view, offset)
        if protocol != _PROTOCOL or size != HEADER.size or not flags & _FROM_SERVER:
            raise ProtocolViolation("a response has no SMB2 header")
        end = offset + following if following else length
        if following and (following < HEADER.size or following % 8 or end + HEADER.size > length):
            raise ProtocolViolation(f"a response points to {following}, outside of its frame of {length} bytes")
        exchange, index, charged = self._asked_for(message_id, command, end - offset)
        message = view[offset:end]
        if status == Status.PENDING and flags & _ASYNC:
            # An interim answer is unsigned (MS-SMB2 3.2.5.1.3), comes once, and only says: later.
            if exchange.pending & 1 << index:
                raise ProtocolViolation(f"message {message_id} was called pending twice")
            exchange.pending |= 1 << index
            with self._lock:
                self._pending += 1
                self.credits += granted
            return int(following)
        if self._signer is not None:
            self._verify(message, message_id, flags)
        # Behind a request that failed, Samba answers the related ones with whatever comes to its mind.
        if status in CONNECTION_OVER and (not index or exchange.replies[0].status == Status.SUCCESS):
            raise ChannelLost(f"the server ended the session: {describe(status)}")
        with self._lock:
            del self._waiting[message_id]
            self._pending -= exchange.pending >> index & 1
            self._in_flight_charge -= charged
            self.credits += granted or (0 if self.login.multi_credit else 1)
        if not exchange.buffers or exchange.buffers[-1] is not buffer:
            exchange.buffers.append(buffer)
        exchange.replies[index] = Reply(status, message)
        exchange.left -= 1
        if not exchange.left and exchange.inbox is not None:
            exchange.inbox.append(exchange)
        return int(following)

    def _asked_for(self, message_id: int, command: int, size: int) -> tuple[Exchange, int, int]:
        entry = self._waiting.get(message_id)
        if entry is None or entry[2] != command:
            raise ProtocolViolation(f"a response to message {message_id}, command {command}, which nobody asked for")
        exchange, index, _, charged, most = entry
        if size > most:
            raise ProtocolViolation(f"a response of {size} bytes is larger than what was asked for ({most})")
        return exchange, index, charged

    def _verify(self, message: memoryview, message_id: int, flags: int) -> None:
        if self._signer is None:
            return
        signature = bytes(message[48:64])
        message[48:64] = _NO_SIGNATURE
        if not flags & _SIGNED or self._signer.sign(message, message_id, from_server=True) != signature:
            raise ProtocolViolation("the signature of a response is missing or wrong")

    def fail(self, error: MediaWatchError) -> None:
        """End the channel: everything that waits on it fails with this error."""
        with self._lock:
            if self.failure is None:
                self.failure = error
            waiting = {id(entry[0]): entry[0] for entry in self._waiting.values()}
            self._waiting.clear()
            # Wakes a thread that blocks in recv; the descriptor is closed only when nobody can be polling it.
            self._frames.shut_down()
        for exchange in waiting.values():
            exchange.error = error
            if exchange.inbox is not None:
                exchange.inbox.append(exchange)

    def log_off(self) -> None:
        """Leave the share and end the session, politely where that is still possible, and close the socket."""
        if self.alive:
            with contextlib.suppress(MediaWatchError):
                ends = [self.post((message,)) for message in wire.end_session()]
                while not all(end.done for end in ends) and self.readable(min(2.0, self._timeout_ns / NANOSECONDS)):
                    self.receive()
        self.fail(ChannelLost("the connection was closed"))
        self._frames.close()
