"""Is the place at the root still the place that is known?"""

from __future__ import annotations

import logging
from enum import StrEnum

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import SourceOfflineError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.events import RootAccepted

__all__ = ["RootCheck", "RootVerdict"]

_log = logging.getLogger(__name__)
_SAMPLE = 64
"""Known assets that are looked at when only weak names of the root have changed; half of them must be there."""


class RootVerdict(StrEnum):
    """What a look at the root says."""

    SAME = "same"
    OTHER = "other"


class RootCheck:
    """Looks at the root before the first and after the last page of a scan."""

    def __init__(self, core: ManagerCore, cancel: CancelToken) -> None:
        self._core = core
        self._cancel = cancel
        self._first: RootIdentity | None = None
        self.reason: str | None = None
        """Why the root is another one, for people."""

    def before(self) -> RootVerdict:
        """Look, and compare with the accepted identity; the first root of a source is accepted.

        A strong name that differs means another place. Where only weak names differ (a remount gives other device
        numbers), known assets decide: if half of a random sample are there unchanged, the new names are taken over.
        """
        core = self._core
        found = self._first = core.scanner.identify(cancel=self._cancel)
        accepted = core.media_state.source(core.source_id).identity
        if accepted is None:
            core.media_state.save_identity(core.source_id, found)
            return RootVerdict.SAME
        if found == accepted:
            return RootVerdict.SAME
        if accepted.strong and found.strong and accepted.strong != found.strong:
            self.reason = f"the root was {accepted.strong}, and is {found.strong}"
            return RootVerdict.OTHER
        strong_agrees = bool(accepted.strong) and accepted.strong == found.strong
        if strong_agrees or self._knows_the_assets():
            self._accept(found)
            return RootVerdict.SAME
        self.reason = f"the root was {accepted.weak}, and is {found.weak}, without the files that are known"
        return RootVerdict.OTHER

    def after(self) -> None:
        """Raise `SourceOfflineError` if the root is not what it was before the first page."""
        found = self._core.scanner.identify(cancel=self._cancel)
        if self._first is not None and found != self._first:
            raise SourceOfflineError(
                f"the root of {self._core.source_id} changed during the scan: it was {self._first}, and is {found}"
            )

    def accept_present(self) -> None:
        """Take the root as it is now for the source."""
        self._accept(self._core.scanner.identify(cancel=self._cancel))

    def _knows_the_assets(self) -> bool:
        core = self._core
        sample = core.media_state.sample_assets(core.source_id, _SAMPLE)
        if not sample:
            return True
        stats = core.resolver.stat([state.asset for state in sample], cancel=self._cancel)
        unchanged = sum(
            stat is not None and stat.fingerprint == state.fingerprint
            for state, stat in zip(sample, stats, strict=True)
        )
        return unchanged * 2 >= len(sample)

    def _accept(self, found: RootIdentity) -> None:
        core = self._core
        core.media_state.save_identity(core.source_id, found)
        _log.info("root accepted", extra={"source_id": core.source_id, "identity": str(found)})
        core.notifier.emit(RootAccepted(at_ns=core.notifier.now_ns(), source_id=core.source_id, identity=found))
