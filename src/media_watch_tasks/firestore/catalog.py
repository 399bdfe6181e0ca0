"""CatalogMapping: documents in nested collections, placed by the folders of a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import attrs

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.firestore.documents import DocumentMapping
from media_watch_tasks.firestore.names import asset_document_id, folder_of_id, folder_to_id
from media_watch_tasks.firestore.plain import clean_text
from media_watch_tasks.model.identity import display_text, split
from media_watch_tasks.model.sources import DirectoryTotals

__all__ = ["CatalogMapping"]

_CATALOG, _SERIES = "{catalog}", "{series}"
_WILD = frozenset("*?[")


@attrs.frozen
class _Place:
    """The folders that name the catalog and the series of a directory."""

    catalog: bytes
    series: bytes


@attrs.frozen
class _Pattern:
    components: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str) -> _Pattern:
        components = tuple(pattern.strip("/").split("/"))
        if components[-1] == "**":
            components = components[:-1]
        if components.count(_CATALOG) != 1 or components.count(_SERIES) != 1 or "" in components or "**" in components:
            raise ConfigurationError(
                f"{pattern!r} is no pattern of a catalog: folders from the root on, {_CATALOG} and {_SERIES} once each "
                "as whole folders, others by name or with * ? [] in them, such as '{catalog}/{series}'"
            )
        return cls(components)

    def place(self, folders: Sequence[bytes]) -> _Place | None:
        if len(folders) < len(self.components):
            return None
        found: dict[str, bytes] = {}
        for component, folder in zip(self.components, folders, strict=False):
            if component in {_CATALOG, _SERIES}:
                found[component] = folder
            elif not fnmatchcase(display_text(folder), component):
                return None
        return _Place(found[_CATALOG], found[_SERIES])

    def scope(self, catalog: bytes, series: bytes | None) -> bytes:
        """The longest directory that is known to be above everything of this catalog or series."""
        known: list[bytes] = []
        for component in self.components:
            if component == _CATALOG:
                known.append(catalog)
            elif component == _SERIES and series is not None:
                known.append(series)
            elif component == _SERIES or _WILD & set(component):
                break
            else:
                known.append(component.encode("utf-8"))
        return b"/".join(known)


class CatalogMapping(DocumentMapping):
    """Documents at `catalogs/{id}/series/{id}/contents/{id}`, with parent documents that count what is in them.

        CatalogMapping("{catalog}/{series}")             # WSOP/WSOP 2024/… is series WSOP 2024 of catalog WSOP
        CatalogMapping("tv/*/{catalog}/{series}", "{catalog}/{series}")

    Everything at and below the folder of a series is one of its contents. Parent documents hold absolute counts, which
    the catalog sync computes from the database of all sources that it syncs; `FirestoreUploader` writes contents alone.

    Args:
        patterns: folders from the root of the source on; the first that fits decides.
        otherwise: where assets go that no pattern fits, `files/{id}` by default; None leaves them out of the catalog.

    Raises:
        ConfigurationError: no pattern is given, or one is none.
    """

    def __init__(self, *patterns: str, otherwise: DocumentMapping | None = DocumentMapping()) -> None:  # noqa: B008 - stateless
        super().__init__()
        if not patterns:
            raise ConfigurationError("CatalogMapping needs a pattern, such as '{catalog}/{series}'")
        self._patterns = tuple(_Pattern.parse(pattern) for pattern in patterns)
        self._otherwise = otherwise

    @property
    def collections(self) -> Sequence[Sequence[str]]:
        """The nested collections, and those of the mapping for all other assets."""
        others = () if self._otherwise is None else tuple(self._otherwise.collections)
        return (("catalogs", "series", "contents"), *others)

    @property
    def signature(self) -> str:
        """As in `DocumentMapping`, with the patterns."""
        patterns = "|".join("/".join(each.components) for each in self._patterns)
        return f"{super().signature}:{patterns}:{self._otherwise.signature if self._otherwise else None}"

    def path(self, source_id: str, asset_id: bytes) -> str | None:
        """Below its series; the folders' names are the ids of catalog and series."""
        place = self._place(split(asset_id)[0])
        if place is None:
            return None if self._otherwise is None else self._otherwise.path(source_id, asset_id)
        return f"{_series_path(place)}/contents/{asset_document_id(source_id, asset_id)}"

    def parents(self, directory: bytes) -> Sequence[str]:
        """The catalog, then the series."""
        place = self._place(directory)
        if place is None:
            return () if self._otherwise is None else self._otherwise.parents(directory)
        return (_catalog_path(place.catalog), _series_path(place))

    def scopes(self, parent: str) -> Sequence[bytes]:
        """One directory for each pattern."""
        segments = parent.split("/")
        if segments[0] != "catalogs":
            return super().scopes(parent) if self._otherwise is None else self._otherwise.scopes(parent)
        catalog = folder_of_id(segments[1])
        series = folder_of_id(segments[3]) if len(segments) > 2 else None  # noqa: PLR2004 - catalogs/{id}
        return tuple(dict.fromkeys(pattern.scope(catalog, series) for pattern in self._patterns))

    def parent_fields(self, parent: str, totals: Sequence[DirectoryTotals]) -> Mapping[str, Any]:
        """`name`, `contents` (present ones), `missing`, `size` in bytes; of a catalog also `series`, their number."""
        segments = parent.split("/")
        if segments[0] != "catalogs" and self._otherwise is not None:
            return self._otherwise.parent_fields(parent, totals)
        fields = {
            "name": clean_text(folder_of_id(segments[-1])),
            "contents": sum(each.present for each in totals),
            "missing": sum(each.missing for each in totals),
            "size": sum(each.size for each in totals),
        }
        if len(segments) > 2:  # noqa: PLR2004 - catalogs/{id}
            return {**fields, "catalog": clean_text(folder_of_id(segments[1]))}
        return {**fields, "series": len(set(self._series(totals)))}

    def _series(self, totals: Sequence[DirectoryTotals]) -> Iterator[str]:
        for each in totals:
            yield from self.parents(each.directory)[1:]

    def _place(self, directory: bytes) -> _Place | None:
        folders = directory.split(b"/") if directory else []
        for pattern in self._patterns:
            place = pattern.place(folders)
            if place is not None:
                return place
        return None


def _catalog_path(catalog: bytes) -> str:
    return f"catalogs/{folder_to_id(catalog)}"


def _series_path(place: _Place) -> str:
    return f"{_catalog_path(place.catalog)}/series/{folder_to_id(place.series)}"
