"""The whole suite for resolvers."""

from __future__ import annotations

from media_watch_tasks.testing.contracts.resolver_looks import (
    ResolverConfinementContract,
    ResolverLooksContract,
    ResolverTroubleContract,
)
from media_watch_tasks.testing.contracts.resolver_streams import ResolverChangesContract, ResolverStreamsContract

__all__ = ["MediaResolverContract"]


class MediaResolverContract(
    ResolverChangesContract,
    ResolverStreamsContract,
    ResolverLooksContract,
    ResolverTroubleContract,
    ResolverConfinementContract,
):
    """Every promise of `MediaResolver`; a subclass overrides the fixture `place` and says what the place cannot do."""
