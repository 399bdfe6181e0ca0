"""Does after delivery what the options say with the file at its source, and never touches another version of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from media_watch_tasks.abc.action import AfterUploadAction, ChangesSource
from media_watch_tasks.abc.scanner import Filters
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetNotFound, ConfigurationError, MediaWatchError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.model.assets import AssetStat, MediaAsset
from media_watch_tasks.model.events import ActionDone
from media_watch_tasks.model.identity import Route, display_text, join, split
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.tasks import Task

__all__ = ["AfterUpload"]

_log = logging.getLogger(__name__)
_ASIDE = b".mwt-"
"""Names that the default filters of the scanners leave out, so that a scan does not take them for new files."""


class AfterUpload:
    """The action of the options. It is owed from the commit of the success on, and repeated after a crash.

    A file is renamed within its directory before anything else: whoever writes it then writes to another name, and a
    second look tells whether it is the version that was delivered. If not, it is renamed back and queued; where another
    file has its name by then, it gets a name beside that one.
    """

    def __init__(self, core: ManagerCore) -> None:
        self._core = core
        self._action: AfterUploadAction | None = core.options.after_upload
        if self._action is not None and not isinstance(core.resolver, ChangesSource):
            raise ConfigurationError(
                f"after_upload={self._action.name!r} needs a resolver that can change the source (ChangesSource);"
                f" {type(core.resolver).__name__} cannot"
            )
        self._refuse_folder_in_sight()

    def pending(self, *, limit: int = 100) -> Sequence[Task]:
        """Delivered tasks whose action is owed."""
        return (
            ()
            if self._action is None
            else self._core.tasks.pending_actions(self._core.destinations.routes, limit=limit)
        )

    def perform(self, task: Task, cancel: CancelToken) -> None:
        """Do what is owed for one task; it is left owed where that can help later."""
        core, action = self._core, self._action
        resolver = core.resolver
        if action is None or not isinstance(resolver, ChangesSource):
            return
        try:
            # Of two at once the slower one would put aside what has come in the place of the file meanwhile.
            with core.tasks.acting(task.id) as is_mine:
                if is_mine:
                    self._perform(action, resolver, task, cancel)
        except MediaWatchError:
            _log.warning("after-upload action failed, will be tried again", exc_info=True, extra={"task_id": task.id})

    def _perform(self, action: AfterUploadAction, resolver: ChangesSource, task: Task, cancel: CancelToken) -> None:
        core = self._core
        try:
            owed, error = self._act(action, resolver, task, cancel)
        except AssetNotFound:
            owed, error = False, "the file was gone already"
        if owed:
            return
        if not core.tasks.finish_action(task.id, error=error):
            return  # another host that was at it too has told
        notifier = core.notifier
        notifier.emit(ActionDone(at_ns=notifier.now_ns(), task=task, action=action.name, error=error and redact(error)))

    def _refuse_folder_in_sight(self) -> None:
        folder = self._action.keeps_below if self._action is not None else None
        scanner = self._core.scanner
        if folder is None or not isinstance(scanner, Filters):
            return
        if not scanner.leaves_out(folder):
            raise ConfigurationError(
                f"delivered files would go to {display_text(folder)!r}, which the scanner lists: they would be found as"
                " new ones. Choose a folder that its filter leaves out (a name with a dot in front), or exclude it"
            )

    def _act(
        self, action: AfterUploadAction, resolver: ChangesSource, task: Task, cancel: CancelToken
    ) -> tuple[bool, str | None]:
        """True if it is owed further on; else why it was given up, None if it was done."""
        core, asset = self._core, task.asset
        directory, name = split(task.asset_id)
        aside = join(directory, _ASIDE + task.key[:16].encode() + b"-" + name[-100:])
        aside_asset = MediaAsset(asset.source_id, aside, asset.size, asset.mtime_ns)
        (found,) = core.resolver.stat((aside_asset,), cancel=cancel)
        if found is None:  # else: an earlier call died after the rename, and what stands there is nowhere else
            if not self._has(task, task.route):
                return False, "a newer version was delivered since"
            if not all(self._has(task, route) for route in core.destinations.routes):
                return True, None
            try:
                resolver.set_aside(asset, aside, cancel=cancel)
            except AssetNotFound:
                # Perhaps another host was quicker: then it is at it, and what it leaves when it dies is still owed.
                if core.resolver.stat((aside_asset,), cancel=cancel)[0] is not None:
                    return True, None
                raise
            (found,) = core.resolver.stat((aside_asset,), cancel=cancel)
        if found is None or found.fingerprint != asset.fingerprint:
            self._give_back(resolver, asset, aside, found, cancel)
            return False, "the file is another version by now, which is queued"
        # Before the file goes: a scan must not count it among the absences.
        core.media_state.mark_missing(core.source_id, [asset.asset_id])
        action.perform(resolver, aside, asset, cancel=cancel)
        return False, None

    def _give_back(
        self, resolver: ChangesSource, asset: MediaAsset, aside: bytes, found: AssetStat | None, cancel: CancelToken
    ) -> None:
        """Rename back what is not the delivered version, and queue it."""
        core = self._core
        if not resolver.put_back(aside, asset.asset_id, cancel=cancel):
            # A third version has the name by now: this one gets a number, and the next scan finds both.
            resolver.move_to(aside, asset.asset_id, cancel=cancel)
        elif found is not None:
            newer = MediaAsset(asset.source_id, asset.asset_id, found.size, found.mtime_ns)
            due_ns = core.clock.now_ns() + core.settle_ns
            core.tasks.enqueue_if_absent(core.new_tasks(newer, due_ns=due_ns), durable=True)

    def _has(self, task: Task, route: Route) -> bool:
        """True if the latest that this destination has of the asset is the version of the task."""
        (delivered,) = self._core.tasks.delivered(route, (task.asset_id,))
        return delivered is not None and delivered.fingerprint == task.fingerprint
