"""The directories of a walk that are known and not handed out yet, in the order of their paths.

Of the names in a directory only the first becomes a node; the next one follows when that is asked for. So a directory
of a hundred thousand others costs their names, and nothing more.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Sequence

from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import KnownDirectory
from media_watch_tasks.scanning import Position, Resume
from media_watch_tasks.smb.collected import MOST_NAMES, OVER_A_NAME, Walked

__all__ = ["DEEPEST", "Frontier", "Node"]

DEEPEST = 256
"""Directories below each other; a path of 255-character names is far longer than a server can open by then."""


class Node:
    """A directory of the walk."""

    __slots__ = (
        "asked_bytes", "attempts", "children", "depth", "dropped", "followed", "in_turn", "information_class",
        "is_large", "key", "known", "looked_up", "names", "parent", "path", "result", "silent", "unique",
    )  # fmt: skip

    def __init__(self, path: bytes, parent: Node | None, information_class: int) -> None:
        self.path = path
        self.key = identity.order_key(path)
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.information_class = information_class
        self.names: deque[bytes] = deque()
        self.known: KnownDirectory | None = None
        self.children: dict[bytes, Node] | None = None
        self.looked_up = self.followed = self.silent = self.dropped = self.is_large = self.in_turn = False
        self.attempts = self.asked_bytes = 0
        self.unique: tuple[int, int | None] | None = None
        self.result: Walked | None = None

    def __lt__(self, other: Node) -> bool:
        return self.key < other.key


class Frontier:
    """Which directory is asked for next, and which is handed out next."""

    def __init__(self, *, information_class: int, resume: Resume | None) -> None:
        self._information_class = information_class
        self._resume = resume
        self._waiting: list[Node] = []
        self._order: list[Node] = []
        self._names = 0
        self._held = 0
        self._make(b"", None)

    def __bool__(self) -> bool:
        return bool(self._order)

    @property
    def first(self) -> Node:
        """The one whose turn it is to be handed out."""
        return self._order[0]

    @property
    def next(self) -> Node | None:
        """The one whose turn it is to be asked for."""
        while self._waiting and self.is_dropped(self._waiting[0]):
            heapq.heappop(self._waiting)
        return self._waiting[0] if self._waiting else None

    @property
    def waiting(self) -> int:
        """How many are to be asked for, as far as is known."""
        return len(self._waiting) + self._names

    def take(self, node: Node) -> None:
        """`next` is asked for now."""
        heapq.heappop(self._waiting)
        if not node.followed:
            node.followed = True
            if node.parent is not None:
                self._follow(node.parent)

    def again(self, node: Node) -> None:
        """It has to be asked for again."""
        heapq.heappush(self._waiting, node)

    def hand_out(self) -> Node:
        """Take `first` out."""
        node = heapq.heappop(self._order)
        if self.is_dropped(node):
            self._forget_names(node)
        return node

    @staticmethod
    def is_dropped(node: Node) -> bool:
        """True if it proved not to be there."""
        # Parents come first in the order, so one step up the tree is enough.
        if node.parent is not None and node.parent.dropped:
            node.dropped = True
        return node.dropped

    @property
    def room(self) -> int:
        """Bytes of names that can still be kept until it is their turn."""
        return MOST_NAMES - self._held

    def has_room_for(self, names: Sequence[bytes]) -> bool:
        """True if the names of another directory can be kept."""
        return _bytes_of(names) <= self.room

    def has_room_ahead_for(self, names: Sequence[bytes]) -> bool:
        """The same for a directory ahead of its turn: half of the room is left to those whose turn it is."""
        return self._held + _bytes_of(names) <= MOST_NAMES // 2

    def add_children(self, node: Node, names: Sequence[bytes]) -> None:
        """What stands in a directory, as its listing says, or as a known one had it; the last word counts."""
        before, gone = node.children or {}, set(node.children or ())
        gone.difference_update(names)
        for name in gone:
            before.pop(name).dropped = True
        self._forget_names(node)
        node.names.extend(sorted(name for name in names if name not in before))
        # Only of a known directory, whose listing is still to come, it has to be remembered what was made of it.
        node.children = before if node.known is not None else None
        self._names += len(node.names)
        self._held += _bytes_of(node.names)
        self._follow(node)

    def _follow(self, parent: Node) -> None:
        while parent.names:
            name = parent.names.popleft()
            self._names -= 1
            self._held -= len(name) + OVER_A_NAME
            child = self._make(identity.join(parent.path, name), parent)
            if child is not None:
                if parent.children is not None:
                    parent.children[name] = child
                return

    def _make(self, path: bytes, parent: Node | None) -> Node | None:
        node = Node(path, parent, self._information_class)
        position = Position.AHEAD if self._resume is None else self._resume.position(path)
        if position is Position.BEHIND:
            return None
        # What the checkpoint stands in is listed once more, only to find what comes after it.
        node.silent = position is Position.ON_THE_WAY
        heapq.heappush(self._waiting, node)
        heapq.heappush(self._order, node)
        return node

    def _forget_names(self, node: Node) -> None:
        self._names -= len(node.names)
        self._held -= _bytes_of(node.names)
        node.names.clear()


def _bytes_of(names: Collection[bytes]) -> int:
    return sum(map(len, names)) + OVER_A_NAME * len(names)
