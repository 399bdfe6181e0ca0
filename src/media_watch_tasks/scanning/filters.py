"""Which files of a source belong to it: by name, by path, by kind, by size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model import identity
from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.model.values import Value
from media_watch_tasks.scanning.patterns import name_expression, path_expression

__all__ = ["DEFAULT_EXCLUDED_NAMES", "MediaFilter"]

DEFAULT_EXCLUDED_NAMES = (
    "@eaDir", "#recycle", "#snapshot", ".@__thumb", "$RECYCLE.BIN",
    ".DS_Store", "Thumbs.db", "desktop.ini", "._*",
    "*.part", "*.crdownload", "*.tmp", ".~*", ".stversions",
)  # fmt: skip
"""What NAS systems, desktops, downloads and synchronisers leave beside the files of people."""

_SPEC_VERSION = 1
_HIDDEN = ".*"
_AT_ONCE = 10_000
"""Names of one folder that are judged as one text: more would only take more memory."""


def _patterns(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str | bytes):
        raise ConfigurationError(f"patterns come as a tuple of texts, not as one: {value!r}")
    patterns = tuple(value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ConfigurationError(f"a pattern is a text, not {pattern!r}")
    return tuple(sorted(set(patterns)))


def _kinds(value: Iterable[MediaKind | str] | None) -> frozenset[MediaKind] | None:
    if value is None:
        return None
    try:
        return frozenset(map(MediaKind, [value] if isinstance(value, str) else value))
    except ValueError as error:
        raise ConfigurationError(f"{error}; the kinds are {', '.join(MediaKind)}") from error


class _Names:
    """The patterns on names, made for many names at once: NUL-separated, in lower case, searched as one text.

    A pattern that begins with a star is looked for by its end alone, so that no position is tried in vain.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        whole, ends = [], []
        for pattern in patterns:
            rest = pattern.lstrip("*")
            if pattern.startswith("*") and rest and rest[0] not in "?[":
                ends.append(name_expression(rest))
            else:
                whole.append(name_expression(pattern))
        self._searches = [
            re.compile(start + b"(?:" + b"|".join(alternatives) + rb")(?=\x00)", re.DOTALL).finditer
            for start, alternatives in ((rb"\x00", whole), (b"", ends))
            if alternatives
        ]

    def rejected(self, text: bytes) -> set[bytes]:
        """The names, in lower case, that a pattern matches; the text begins and ends with NUL."""
        found = set()
        for search in self._searches:
            for match in search(text):
                inside = match.start() + 1
                found.add(text[text.rfind(b"\0", 0, inside) + 1 : text.index(b"\0", inside)])
        return found


@attrs.frozen(kw_only=True, eq=False, repr=False)
class MediaFilter(Value):
    """What a scanner lists. Everything it is not told to leave out belongs to the source.

    Patterns are wildcards, see `scanning.patterns`, and hold in upper and lower case. They are matched with folders
    too: a folder that is left out is never listed.
    """

    kinds: frozenset[MediaKind] | None = attrs.field(default=None, converter=_kinds)
    """Only files of these kinds, judged by their extension; None: all."""
    exclude_names: tuple[str, ...] = attrs.field(default=DEFAULT_EXCLUDED_NAMES, converter=_patterns)
    """Files and folders with such a name, anywhere."""
    exclude_paths: tuple[str, ...] = attrs.field(default=(), converter=_patterns)
    """Files and folders with such a path relative to the root."""
    min_size: int = 1
    """Bytes; smaller files are left out. By default those without content, which are often not written yet."""
    max_size: int | None = None
    """Bytes; larger files are left out. None: no limit."""
    include_hidden: bool = False
    """List names that begin with a dot."""
    _names: _Names = attrs.field(init=False, eq=False, repr=False)
    _matches_path: Any = attrs.field(init=False, eq=False, repr=False)

    @_names.default
    def _compile_names(self) -> _Names:
        return _Names((*self.exclude_names, *(() if self.include_hidden else (_HIDDEN,))))

    @_matches_path.default
    def _compile_paths(self) -> Any:  # noqa: ANN401 - a bound method of a compiled expression, or None
        if not self.exclude_paths:
            return None
        return re.compile(b"|".join(map(path_expression, self.exclude_paths)), re.DOTALL).fullmatch

    def __attrs_post_init__(self) -> None:
        for name, value in (("min_size", self.min_size), ("max_size", self.max_size)):
            if value is not None and (not isinstance(value, int) or value < 0):
                raise ConfigurationError(f"{name} is a number of bytes, not {value!r}")
        if self.max_size is not None and self.max_size < self.min_size:
            raise ConfigurationError(f"no file is at least {self.min_size} and at most {self.max_size} bytes large")

    def files(self, directory: bytes, names: Sequence[bytes]) -> list[bytes]:
        """Those names of files in a directory that may belong to the source, in the same order; size is not judged."""
        kept = self._without_excluded(directory, names)
        return kept if self.kinds is None else [name for name in kept if kind_of(name) in self.kinds]

    def directories(self, directory: bytes, names: Sequence[bytes]) -> list[bytes]:
        """Those names of folders in a directory that are to be listed, in the same order."""
        return self._without_excluded(directory, names)

    def admits_size(self, size: int) -> bool:
        """True if a file of this many bytes belongs to the source."""
        return self.min_size <= size and (self.max_size is None or size <= self.max_size)

    def admits(self, path: bytes, size: int) -> bool:
        """True if a file is listed: its own name and path, and every folder above it, are judged."""
        directory, name = identity.split(path)
        return self.lists(directory) and self.admits_size(size) and bool(self.files(directory, (name,)))

    def lists(self, directory: bytes) -> bool:
        """True if a folder is listed, by its path below the root: it and every folder above it are judged."""
        above = b""
        for name in directory.split(b"/") if directory else ():
            if not self.directories(above, (name,)):
                return False
            above = identity.join(above, name)
        return True

    @property
    def spec(self) -> str:
        """The filter as JSON; equal texts mean equal filters."""
        fields = {
            "version": _SPEC_VERSION,
            "kinds": None if self.kinds is None else sorted(self.kinds),
            "exclude_names": self.exclude_names,
            "exclude_paths": self.exclude_paths,
            "min_size": self.min_size,
            "max_size": self.max_size,
            "include_hidden": self.include_hidden,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_spec(cls, spec: str) -> MediaFilter:
        """The filter that has this `spec`. Raises `ConfigurationError` if the text is none of this release."""
        try:
            fields = dict(json.loads(spec))
            known = fields.pop("version", None) == _SPEC_VERSION
            found = cls(**fields) if known else None
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"this is no filter: {spec!r} ({error})") from error
        if found is None:
            raise ConfigurationError(f"this filter was written by another release: {spec!r}")
        return found

    def _without_excluded(self, directory: bytes, names: Sequence[bytes]) -> list[bytes]:
        kept: list[bytes] = []
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            rejected = self._names.rejected((b"\0" + b"\0".join(some) + b"\0").lower())
            kept += [name for name in some if name.lower() not in rejected] if rejected else some
        if self._matches_path is None:
            return kept
        return [name for name, path in self._paths(directory, kept) if not self._matches_path(path)]

    @staticmethod
    def _paths(directory: bytes, names: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        join = partial(identity.join, directory)
        return ((name, join(name).lower()) for name in names)
