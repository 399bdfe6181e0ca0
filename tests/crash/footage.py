"""The source of the crash tests: files that somebody writes and replaces while the library works, and remembers."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import attrs

FOLDERS = ("", "card", "card/DCIM", "shoot")


@attrs.frozen
class Version:
    """What a file held at some time."""

    path: str
    """Relative to the source."""
    number: int
    content: bytes = attrs.field(repr=False)
    size: int
    mtime_ns: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Footage:
    """Writes into `source` below a folder; every content is written once only, so that it says whose it is."""

    def __init__(self, folder: Path, seed: int, *, grow: bool = False) -> None:
        """`grow`: some files are written in portions under their names."""
        self.root = folder / "source"
        self._workshop = folder / "being written"
        self._draw = random.Random(seed)
        self._grow = grow
        self._growing: tuple[str, bytes, int] | None = None
        self.versions: dict[str, list[Version]] = {}
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self._workshop.mkdir()

    def change(self) -> None:
        """Somebody does something: goes on with a file that grows, replaces one, or brings a new one."""
        if self._growing is not None:
            self._append()
            return
        paths = sorted(self.versions)
        again = bool(paths) and self._draw.random() < 0.3
        path = self._draw.choice(paths) if again else f"{self._draw.choice(FOLDERS)}/{len(paths)}.mov".lstrip("/")
        if self._grow and not again and self._draw.random() < 0.3:
            self._growing = (path, self._content(path, 1), 0)
            self._append()
        else:
            self.write(path)

    def write(self, path: str) -> None:
        """The next version of a file, put in its place at once."""
        number = len(self.versions.get(path, ())) + 1
        self._put(path, number, self._content(path, number))

    def finish(self) -> None:
        """Complete what grows."""
        while self._growing is not None:
            self._append()

    def bring_one_to_each_folder(self) -> None:
        """A new file in every folder."""
        for name in FOLDERS:
            path = f"{name}/last.mov".lstrip("/")
            self._put(path, 1, f"{path} 1\n".encode())

    def find(self, path: str, size: int, mtime_ns: int) -> Version | None:
        """The version that had this size and time; a part of one that grew has no time of its own here."""
        for version in self.versions.get(path, ()):
            if (version.size, version.mtime_ns) == (size, mtime_ns):
                return version
        return None

    def number_of(self, path: str, content: bytes) -> int | None:
        """Which version of the path holds these bytes, or begins with them where files grow."""
        for version in self.versions.get(path, ()):
            if content == version.content or (self._grow and content and version.content.startswith(content)):
                return version.number
        if self._growing is not None and path == self._growing[0] and self._growing[1].startswith(content):
            return 1
        return None

    def _content(self, path: str, number: int) -> bytes:
        return f"{path} {number}\n".encode() + self._draw.randbytes(self._draw.choice((200, 3_000, 40_000, 400_000)))

    def _put(self, path: str, number: int, content: bytes) -> None:
        made = self._workshop / "file"
        with made.open("wb") as file:
            file.write(content)
        found = made.stat()
        # Remembered first: the library may see it, send it and remove it at once.
        version = Version(path, number, content, found.st_size, found.st_mtime_ns)
        self.versions.setdefault(path, []).append(version)
        made.replace(self.root / path)

    def _append(self) -> None:
        assert self._growing is not None
        path, content, written = self._growing
        portion = content[written : written + max(len(content) // 3, 1)]
        with (self.root / path).open("ab") as file:
            file.write(portion)
            file.flush()
            found = os.fstat(file.fileno())
        written += len(portion)
        self._growing = (path, content, written)
        if written == len(content):
            self._growing = None
            self.versions[path] = [Version(path, 1, content, found.st_size, found.st_mtime_ns)]
