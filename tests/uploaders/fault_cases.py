"""What the tests of faults share that every way of sending over HTTP has to stand."""

from __future__ import annotations

import email.utils
import time
from datetime import timedelta
from typing import Any

import attrs
import pytest
from tests.uploaders.fault_server import FaultServer, Trouble

from media_watch_tasks.abc import Uploader
from media_watch_tasks.errors import MediaWatchError, TransientError
from media_watch_tasks.http import HttpTimeouts

__all__ = [
    "LATER",
    "RETRY_AFTER",
    "SHORT",
    "assert_a_newer_version_replaces_no_other",
    "assert_a_stranger_is_left_alone",
    "assert_answer_means",
    "assert_retry_after",
    "case",
    "retry_after",
]

# Far beyond what an answer on loopback takes, and short for the tests that wait for them.
SHORT = HttpTimeouts(stall=timedelta(seconds=1), answer=timedelta(seconds=1))
LATER = timedelta(hours=1)
RETRY_AFTER = {"7": 7, "date": 300, "99999999999999999999": 366 * 86_400, "soon": None}
"""The header, and the seconds that it asks for; `date` is five minutes from now."""


def case(value: object) -> str:
    """The name of a case: what is set of a trouble, the name of an error."""
    if isinstance(value, Trouble):
        found = attrs.asdict(value)
        shown = [f"{name}={one}" for name, one in found.items() if one not in (None, b"", {}) and one is not False]
        return " ".join(shown).removeprefix("method=")
    return value.__name__ if isinstance(value, type) else str(value)


def assert_answer_means(
    rig: Any,
    server: FaultServer,
    uploader: Uploader,
    data: bytes,
    *,
    error: type[MediaWatchError],
    state: str,
    attempts: int,
) -> int:
    """Of a trouble that strikes twice: the error of an upload, and then what the manager makes of it.

    Gives how many bytes were read for the upload.
    """
    media = rig.media("clip.mov", data)
    context = rig.context(media)
    with pytest.raises(MediaWatchError) as caught:
        uploader.upload(media, context)
    assert type(caught.value) is error
    assert rig.tree.open_streams == 0
    rig.tree.remove("clip.mov")
    rig.watch(uploader)
    rig.tree.put("clip.mov", data)
    (task,) = rig.run()
    assert (task.state, task.attempts, server.bodies) == (state, attempts, [])
    if state != "dead":
        (task,) = rig.process(LATER)
        assert (task.state, server.bodies == [data]) == ("success", True)
    return int(context.bytes_read)


def retry_after(text: str) -> dict[str, str]:
    """The header. A date is that of the machine, the rig's clock is months away: it counts from the answer's own."""
    return {"Retry-After": email.utils.formatdate(time.time() + 300, usegmt=True) if text == "date" else text}


def assert_retry_after(rig: Any, uploader: Uploader, delay: int | None) -> None:
    """The error of an upload asks for so many seconds, or names none."""
    media = rig.media("clip.mov", b"footage")
    with pytest.raises(TransientError) as caught:
        uploader.upload(media, rig.context(media))
    found = caught.value.retry_after
    assert (found is None) == (delay is None)
    assert found is None or abs(found.total_seconds() - (delay or 0)) <= 2


def assert_a_stranger_is_left_alone(rig: Any, server: FaultServer, uploader: Uploader) -> None:
    server.put("/clip.mov", b"a stranger's footage")
    rig.watch(uploader)
    rig.tree.put("clip.mov", b"footage")
    (task,) = rig.run()
    assert (task.state, task.reason) == ("dead", "name_conflict")
    assert server.bodies == [b"a stranger's footage"]


def assert_a_newer_version_replaces_no_other(rig: Any, server: FaultServer, uploader: Uploader) -> None:
    rig.watch(uploader)
    rig.tree.put("clip.mov", b"first")
    rig.run()
    rig.tree.change("clip.mov", b"second version")
    rig.run()
    assert server.bodies == [b"second version"]
    server.put("/clip.mov", b"a stranger's footage")
    rig.tree.change("clip.mov", b"a third version")
    states = sorted(task.state for task in rig.run())
    assert (states, server.bodies) == (["dead", "success", "success"], [b"a stranger's footage"])
