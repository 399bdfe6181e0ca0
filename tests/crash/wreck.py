"""What must hold right after a process was killed, looked at before anything recovers it, and what at the end."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
from tests.crash.databases import database_of
from tests.crash.footage import Footage, Version
from tests.crash.programs import Afterwards

from media_watch_tasks.model.identity import join
from media_watch_tasks.stores.relational.task_codec import DEAD, SUCCESS

_ENDED = """
SELECT t.id, t.key, t.asset_id, t.size, t.mtime_ns, t.state, t.reason, r.task_id, r.remote_id, r.size, r.sha256
FROM task AS t LEFT JOIN task_receipt AS r ON r.task_id = t.id WHERE t.phase = 5
"""
_SEEN = """
SELECT d.path, a.name, a.size, a.mtime_ns FROM asset AS a JOIN directory AS d ON d.id = a.directory
WHERE a.missing_since_ns IS NULL AND NOT a.baseline
"""


# A version that was put back beside a later one, see `AfterUpload`.
_NUMBERED = re.compile(r" \(\d+\)(?=\.mov$)")


@attrs.frozen
class Delivery:
    """A task that the database calls a success."""

    task_id: int
    key: str
    path: str
    """Under which it was written."""
    size: int
    mtime_ns: int
    remote_id: str
    sha256: str


@attrs.frozen
class Wreck:
    """The database as it stood when its last process died, and the folders beside it."""

    deliveries: tuple[Delivery, ...]
    dead: dict[int, str]
    """The reason, by task id."""
    crashes: Counter[int]
    tasks: frozenset[int]
    """The ids of all."""
    is_complete: bool = True
    """False where the process died before the tables were there."""


def look(folder: Path) -> Wreck:
    """The database of a folder, before any other process has opened it."""
    with database_of(folder).as_left() as query:
        if query is None:
            return Wreck((), {}, Counter(), frozenset(), is_complete=False)
        rows = query(_ENDED)
        queued = set(query("SELECT asset_id, size, mtime_ns FROM task"))
        seen = {(join(path.replace(b"\0", b"/"), name), size, mtime_ns) for path, name, size, mtime_ns in query(_SEEN)}
        assert seen <= queued, f"seen, and never queued: {seen - queued}"
        crashes = Counter(dict(query("SELECT id, crashes FROM task WHERE crashes > 0")))
        tasks = frozenset(task_id for (task_id,) in query("SELECT id FROM task"))
    deliveries = []
    for row in rows:
        task_id, key, asset_id, size, mtime_ns, state, _, receipt, remote_id, receipt_size, sha256 = row
        if state == SUCCESS:
            assert receipt is not None, f"the success of {asset_id!r} has no receipt"
            assert receipt_size == size
            path = _NUMBERED.sub("", asset_id.decode())
            deliveries.append(Delivery(task_id, key.hex(), path, size, mtime_ns, remote_id, _text(sha256)))
    dead = {row[0]: row[6] for row in rows if row[5] == DEAD}
    return Wreck(tuple(deliveries), dead, crashes, tasks)


def _text(sha256: bytes | str) -> str:
    """SQLite keeps the digest, PostgreSQL its hexadecimal digits."""
    return sha256.hex() if isinstance(sha256, bytes) else sha256


class Judge:
    """Compares a wreck with what was written at the source."""

    def __init__(self, folder: Path, footage: Footage, afterwards: Afterwards) -> None:
        self._folder = folder
        self._footage = footage
        self._afterwards = afterwards
        self._checked: set[int] = set()

    def check(self, wreck: Wreck) -> None:
        """Nothing is called delivered that is not there, and nothing was taken from the source before."""
        for delivery in wreck.deliveries:
            if delivery.task_id not in self._checked:
                self._stands_at_destination(delivery)
                self._checked.add(delivery.task_id)
        delivered = {(each.path, each.size, each.mtime_ns) for each in wreck.deliveries}
        for path, versions in self._footage.versions.items():
            self._was_not_taken_too_early(path, versions[-1], delivered)

    def check_end(self, wreck: Wreck) -> None:
        """Once everything is done: every file is there, as it was last, with a receipt."""
        self._checked.clear()
        self.check(wreck)
        delivered = {(each.path, each.size, each.mtime_ns): each for each in wreck.deliveries}
        for path, versions in self._footage.versions.items():
            last = versions[-1]
            delivery = delivered.get((path, last.size, last.mtime_ns))
            assert delivery is not None, f"{path}, version {last.number}, was never delivered"
            assert delivery.sha256 == last.sha256
            assert (self._folder / "backup" / delivery.remote_id).read_bytes() == last.content
        left = list((self._folder / "source").rglob(".mwt-*"))
        assert left == [], "files were left aside at the source"

    def _stands_at_destination(self, delivery: Delivery) -> None:
        at = self._folder / "backup" / delivery.remote_id
        assert at.exists(), f"{delivery.path} is called delivered and is not at the destination"
        content = at.read_bytes()
        if hashlib.sha256(content).hexdigest() == delivery.sha256:
            assert len(content) == delivery.size
            assert self._footage.number_of(delivery.path, content) is not None, f"{at} holds what was never written"
            return
        assert self._afterwards != "versions", f"{at} is not what was delivered there"
        mine = self._footage.find(delivery.path, delivery.size, delivery.mtime_ns)
        number = self._footage.number_of(delivery.path, content)
        assert number is not None, f"{at} holds what was never written"
        assert mine is None or number > mine.number, f"{at} holds version {number} in the place of {mine}"

    def _was_not_taken_too_early(self, path: str, last: Version, delivered: set[Any]) -> None:
        at = self._footage.root / path
        if at.exists():
            return
        assert self._afterwards in {"delete", "move"}, f"{path} vanished from the source"
        aside = [each for each in at.parent.glob(f".mwt-*-{at.name}") if each.stat().st_size == last.size]
        if not aside:
            key = (path, last.size, last.mtime_ns)
            assert key in delivered, f"{path}, version {last.number}, was taken from the source and never delivered"
