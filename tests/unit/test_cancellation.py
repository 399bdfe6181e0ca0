"""The event of a token exists once somebody asks for it, and is set whenever the token is cancelled."""

from __future__ import annotations

import threading

from media_watch_tasks.cancellation import CancelReason, CancelToken

PATIENCE = 20.0
"""Seconds after which a test that hangs is ended."""


def test_an_event_asked_for_before_the_cancellation_is_set_by_it() -> None:
    """And it stays the same event."""
    token = CancelToken()
    event = token.event
    assert not event.is_set()
    token.cancel(CancelReason.USER)
    assert event.is_set()
    assert token.event is event


def test_an_event_asked_for_after_the_cancellation_is_set() -> None:
    """Who comes late does not wait."""
    token = CancelToken()
    token.cancel()
    assert token.event.is_set()
    assert token.wait(0)


def test_a_wait_in_another_thread_ends_with_the_cancellation() -> None:
    """Whichever of the two comes first."""
    for _ in range(200):
        token = CancelToken()
        ended: list[bool] = []
        waiting = threading.Thread(target=lambda token=token, ended=ended: ended.append(token.wait(PATIENCE)))
        waiting.start()
        token.cancel()
        waiting.join(PATIENCE)
        assert ended == [True]


def test_a_callback_finds_the_event_set() -> None:
    """Callbacks come after it, and may ask for it first."""
    early, late = CancelToken(), CancelToken()
    seen: list[bool] = []
    event = early.event
    early.on_cancel(lambda _reason: seen.append(event.is_set()))
    late.on_cancel(lambda _reason: seen.append(late.event.is_set()))
    early.cancel()
    late.cancel()
    assert seen == [True, True]
