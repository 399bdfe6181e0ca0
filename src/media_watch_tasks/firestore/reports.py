"""What a sync and a comparison have found and done."""

from __future__ import annotations

import attrs

__all__ = ["CatalogComparison", "Refusal", "SourceComparison", "SourceSync", "SyncReport"]


@attrs.frozen
class Refusal:
    """A document that cannot be written; the rest of the work went on."""

    document: str
    """The path of the asset, or of the parent document."""
    reason: str


@attrs.frozen(kw_only=True)
class SourceSync:
    """One source. In a dry run the counts say what would have been done."""

    source_id: str
    full: bool = False
    """Everything was written, not only what had changed."""
    reason: str | None = None
    """Why it was full."""
    written: int = 0
    """Documents of assets."""
    deleted: int = 0
    parents: int = 0
    """Parent documents, written or deleted."""
    refused: tuple[Refusal, ...] = ()
    held: str | None = None
    """Why the rest of the changes waits."""
    watermark: int = 0
    """Every change up to this sequence of the database is in the catalog."""
    reads: int = 0
    """Documents read from Firestore."""
    writes: int = 0
    """Documents written to and deleted from Firestore, the record of the sync and its fence included."""


@attrs.frozen
class SyncReport:
    """A run of the catalog sync."""

    sources: tuple[SourceSync, ...]
    dry_run: bool = False

    @property
    def written(self) -> int:
        """Documents of assets."""
        return sum(each.written for each in self.sources)

    @property
    def deleted(self) -> int:
        """Documents of assets that are gone."""
        return sum(each.deleted for each in self.sources)

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """Documents that cannot be written."""
        return tuple(refusal for each in self.sources for refusal in each.refused)

    @property
    def reads(self) -> int:
        """Documents read from Firestore."""
        return sum(each.reads for each in self.sources)

    @property
    def writes(self) -> int:
        """Documents written to and deleted from Firestore."""
        return sum(each.writes for each in self.sources)


@attrs.frozen(kw_only=True)
class SourceComparison:
    """Catalog and database of one source, beside each other. The lists hold at most 1,000 paths each."""

    source_id: str
    checked: int = 0
    """Assets of the database."""
    absent: tuple[str, ...] = ()
    """Documents that should be there and are not."""
    different: tuple[str, ...] = ()
    """Documents with other contents."""
    unexpected: tuple[str, ...] = ()
    """Documents of no asset."""
    refused: tuple[Refusal, ...] = ()
    """Assets whose documents cannot be written."""
    differences: int = 0
    """How many documents are absent, different or unexpected."""
    repaired: int = 0

    @property
    def equal(self) -> bool:
        """True if nothing differed."""
        return not self.differences and not self.refused


@attrs.frozen
class CatalogComparison:
    """A comparison of catalog and database."""

    sources: tuple[SourceComparison, ...]

    @property
    def equal(self) -> bool:
        """True if the catalog was exactly what the database says."""
        return all(each.equal for each in self.sources)

    @property
    def repaired(self) -> int:
        """Documents that were written or deleted."""
        return sum(each.repaired for each in self.sources)
