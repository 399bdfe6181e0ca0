"""The record of the manager's source: destinations, identity, filter, and what of the baseline is still owed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from media_watch_tasks.abc.scanner import Filters
from media_watch_tasks.errors import BaselineRequiredError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.destinations import destination_change
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import is_below
from media_watch_tasks.model.sources import BaselineState, PageDiff, SourceState
from media_watch_tasks.model.tasks import EnqueueResult

__all__ = ["Debt", "SourceRecord"]

_RESEND_PORTION = 1_000


class SourceRecord:
    """Opens the source's record for an operation."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core

    def check_destinations(self) -> None:
        """Raise `ConfigurationError` if the destinations are not the recorded ones and the options say nothing."""
        recorded = self._core.media_state.source(self._core.source_id).destinations
        destination_change(recorded, self._core.destinations.ids, self._core.options.destination_changed)

    def open(self) -> SourceState:
        """The record, with the destinations of this manager written into it."""
        core = self._core
        state = core.media_state.source(core.source_id)
        present = core.destinations.ids
        changed = destination_change(state.destinations, present, core.options.destination_changed)
        if changed and core.options.destination_changed == "resend":
            self._resend()
        if state.destinations != present:
            # After the resend: a crash in the middle of it repeats it, and tasks that are there are kept.
            state = attrs.evolve(state, destinations=present)
            core.media_state.save_source(state)
        return state

    def require_baseline(self, state: SourceState) -> None:
        """Raise `BaselineRequiredError` unless there is one, or the options take every file as new."""
        if state.baseline is BaselineState.STARTED:
            raise BaselineRequiredError(
                f"the baseline of {state.source_id} was cut short: call initialize_baseline() again, it goes on there"
            )
        if state.baseline is BaselineState.NONE and self._core.options.first_scan == "refuse":
            raise BaselineRequiredError(
                f"{state.source_id} has no baseline: call initialize_baseline() first, so that files which are there"
                " already are not sent, or say TaskManagerOptions(first_scan='enqueue') to send them all"
            )

    def _resend(self) -> None:
        core = self._core
        due_ns = core.clock.now_ns()
        portion: list[MediaAsset] = []
        for state in core.media_state.iterate_assets(core.source_id):
            if not state.baseline:
                portion.append(state.asset)
            if len(portion) >= _RESEND_PORTION:
                self._enqueue(portion, due_ns)
                portion = []
        self._enqueue(portion, due_ns)

    def _enqueue(self, assets: Iterable[MediaAsset], due_ns: int) -> Sequence[EnqueueResult]:
        tasks = [task for asset in assets for task in self._core.new_tasks(asset, due_ns=due_ns)]
        return self._core.tasks.enqueue_if_absent(tasks, durable=True) if tasks else ()


class Debt:
    """What a scan still owes the baseline: files that were hidden from it are recorded, not sent.

    A directory that the baseline could not read is owed, with all below it: the first complete listing of each
    directory there is its baseline. A filter that was widened owes what the earlier one hid.
    """

    def __init__(self, core: ManagerCore, state: SourceState) -> None:
        self._core = core
        self.owed = state.owed
        self.unreadable: set[bytes] = set()
        """Owed directories that this scan could not read either."""
        self._earlier_filter: str | None = None
        scanner = core.scanner
        if isinstance(scanner, Filters) and core.options.on_filter_widened == "baseline" and state.scans:
            spec = state.filter_spec
            self._earlier_filter = spec if spec != scanner.filter_spec else None

    @property
    def filter_spec(self) -> str | None:
        """The scanner's filter, to be recorded once a scan with it is complete."""
        scanner = self._core.scanner
        return scanner.filter_spec if isinstance(scanner, Filters) else None

    def owes(self, directory: bytes) -> bool:
        """True if the directory stands in what the baseline could not read."""
        return any(is_below(directory, owed) for owed in self.owed)

    def split(self, directory: bytes, diff: PageDiff) -> tuple[tuple[MediaAsset, ...], tuple[MediaAsset, ...]]:
        """(to be enqueued, to be recorded only) of a page's new assets."""
        if not diff.new:
            return (), ()
        if self.owed and not diff.listed_before and self.owes(directory):
            return (), diff.new
        scanner, spec = self._core.scanner, self._earlier_filter
        if spec is None or not isinstance(scanner, Filters):
            return diff.new, ()
        visible = tuple(asset for asset in diff.new if scanner.was_visible(spec, asset))
        hidden = tuple(asset for asset in diff.new if not scanner.was_visible(spec, asset))
        return visible, hidden

    def problem(self, path: bytes) -> None:
        """A directory could not be read in this scan."""
        if self.owed and self.owes(path):
            self.unreadable.add(path)

    def left(self, *, to_the_end: bool) -> frozenset[bytes]:
        """What is owed after this scan: only what it could not read either, or all of it if the scan was cut short."""
        return frozenset(self.unreadable) if to_the_end else self.owed
