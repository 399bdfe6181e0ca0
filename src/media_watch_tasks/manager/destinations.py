"""The destinations of a manager: one uploader each, and the check that they are those the source was run with."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from media_watch_tasks.abc.scanner import Filters, LocalSource, MediaScanner
from media_watch_tasks.abc.uploader import BatchUploader, FansOut, FindsExisting, LocalDestination, Uploader
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.values import Value

__all__ = ["ClaimGroup", "Destinations", "destination_change"]


class Destinations:
    """Uploaders by destination id, and the routes from the manager's source to them."""

    def __init__(self, source_id: str, uploader: Uploader) -> None:
        self._uploader = uploader
        self._by_route: dict[Route, Uploader] = {}
        for part in _parts(uploader):
            route = Route(source_id, part.destination_id)
            if route in self._by_route:
                raise ConfigurationError(f"two uploaders have the destination id {route.destination_id!r}")
            self._by_route[route] = part

    def refuse_watched(self, scanner: MediaScanner) -> None:
        """Raise `ConfigurationError` if files would go to where this scanner finds them: they would go on for ever."""
        if not isinstance(scanner, LocalSource):
            return
        excluded = scanner.leaves_out if isinstance(scanner, Filters) else None
        for part in self._by_route.values():
            if isinstance(part, LocalDestination):
                part.refuse_watched(scanner.folder, excluded=excluded)

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes, in the order of the uploaders."""
        return tuple(self._by_route)

    @property
    def ids(self) -> frozenset[str]:
        """The destination ids."""
        return frozenset(route.destination_id for route in self._by_route)

    @property
    def find_existing(self) -> bool:
        """What was delivered before a crash, and not written, is found at every destination instead of sent again."""
        return all(isinstance(part, FindsExisting) for part in self._by_route.values())

    def uploader(self, route: Route) -> Uploader:
        """The uploader of a route."""
        return self._by_route[route]

    def groups(self) -> tuple[ClaimGroup, ...]:
        """Routes whose tasks are claimed together: all single ones, and each batch destination for itself."""
        single = tuple(route for route, part in self._by_route.items() if not isinstance(part, BatchUploader))
        groups = [ClaimGroup(single, None)] if single else []
        groups += [
            ClaimGroup((route,), max(1, part.max_batch_size))
            for route, part in self._by_route.items()
            if isinstance(part, BatchUploader)
        ]
        return tuple(groups)

    def close(self) -> None:
        """Close the uploader."""
        self._uploader.close()


@attrs.frozen(eq=False, repr=False)
class ClaimGroup(Value):
    """Routes that one claim serves."""

    routes: tuple[Route, ...]
    batch: int | None
    """Tasks for one hand, None where a hand takes one task."""


def destination_change(recorded: frozenset[str], present: frozenset[str], choice: str | None) -> bool:
    """True if the destinations differ from the recorded ones and the options say what to do about it.

    Raises:
        ConfigurationError: they differ and the options say nothing.
    """
    if not recorded or recorded == present:
        return False
    if choice is None:
        added, gone = sorted(present - recorded), sorted(recorded - present)
        raise ConfigurationError(
            f"the source was run with the destinations {sorted(recorded)}, and is now given {sorted(present)}"
            f" (new: {added}, gone: {gone}). Set the option destination_changed to 'keep' to send only new files to"
            " the new ones, or to 'resend' to send there all that was not part of the baseline"
        )
    return True


def _parts(uploader: Uploader) -> Iterator[Uploader]:
    if isinstance(uploader, FansOut):
        for part in uploader.parts:
            yield from _parts(part)
    else:
        yield uploader
