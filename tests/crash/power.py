"""Power cuts of the database: what was written and not synced is kept apart, and a cut drops or tears a part of it.

A VFS of apsw lets every write through, so that the process works as ever, and notes each write, truncation and sync in
a journal. The cut kills the process; then the files are made again as a disk may have kept them: everything up to a
file's last sync, and of what came later any part, each write whole, in some of its sectors, or not at all.
"""

from __future__ import annotations

import os
import random
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import apsw
import attrs

__all__ = ["Damage", "cut_power", "install"]

VFS = "power-cut"
FILES = ("watch.db", "watch.db-wal")
_SECTOR = 512
_RECORD = struct.Struct("<cBqq")  # kind, length of the name, offset or size, length of the data


class _Journal:
    def __init__(self, path: str, cut: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._left = cut

    def note(self, kind: bytes, name: str, number: int = 0, data: bytes = b"") -> None:
        """Write down what was done; the n-th time is the last."""
        base = os.path.basename(name).encode()
        os.write(self._fd, _RECORD.pack(kind, len(base), number, len(data)) + base + data)
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _File(apsw.VFSFile):
    def __init__(self, journal: _Journal, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._journal = journal
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._journal.note(b"W", self._name, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - as above
        super().xTruncate(newsize)
        self._journal.note(b"T", self._name, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - as above
        # The machine that this runs on keeps its power: only the journal has to know.
        self._journal.note(b"S", self._name)


class _Disk(apsw.VFS):
    name = VFS

    def __init__(self, journal: _Journal) -> None:
        self._journal = journal
        super().__init__(VFS, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - as above
        return _File(self._journal, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - as above
        super().xDelete(filename, syncdir)
        self._journal.note(b"T", filename, 0)


def install(folder: str, *, cut: int) -> _Disk:
    """Register the VFS in this process; the n-th write or sync of the database is the last thing that it does."""
    return _Disk(_Journal(f"{folder}/journal", cut))


@attrs.define
class Damage:
    """What a cut has done."""

    kept: int = 0
    """Writes that were not synced and are on the disk all the same."""
    dropped: int = 0
    torn: int = 0


def cut_power(folder: Path, before: dict[str, bytes], draw: random.Random) -> Damage:
    """Make the files as the disk has kept them.

    Args:
        folder: where the database is.
        before: the files as the process found them.
        draw: decides over each write.
    """
    damage = Damage()
    journal = list(_records(folder / "journal"))
    (folder / "journal").unlink(missing_ok=True)
    share = draw.choice((0.1, 0.5, 0.9, 1.0))
    for name in FILES:
        content = bytearray(before.get(name, b""))
        mine = [(kind, number, data) for kind, file, number, data in journal if file == name]
        synced = max((index for index, (kind, _, _) in enumerate(mine) if kind == b"S"), default=-1)
        for index, (kind, number, data) in enumerate(mine):
            if kind != b"S":
                _apply(content, kind, number, data, damage, None if index <= synced else draw, share)
        if content or name == FILES[0]:
            (folder / name).write_bytes(content)
        else:
            (folder / name).unlink(missing_ok=True)
    (folder / "watch.db-shm").unlink(missing_ok=True)
    return damage


def _apply(  # noqa: PLR0917 - one step of the loop above
    content: bytearray, kind: bytes, number: int, data: bytes, damage: Damage, draw: random.Random | None, share: float
) -> None:
    if draw is not None:
        fate = draw.random()
        if fate < share * 0.7:
            damage.dropped += 1
            return
        if fate < share and len(data) > _SECTOR:
            damage.torn += 1
            for start in range(0, len(data), _SECTOR):
                if draw.random() < 0.5:
                    _write(content, number + start, data[start : start + _SECTOR])
            return
        damage.kept += 1
    if kind == b"T":
        del content[number:]
    else:
        _write(content, number, data)


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _records(path: Path) -> Iterator[tuple[bytes, str, int, bytes]]:
    journal = path.read_bytes() if path.exists() else b""
    at = 0
    while at < len(journal):
        kind, name, number, length = _RECORD.unpack_from(journal, at)
        at += _RECORD.size
        yield kind, journal[at : at + name].decode(), number, journal[at + name : at + name + length]
        at += name + length
