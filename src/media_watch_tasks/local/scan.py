"""One scan of a local tree, from the opening of its root to the closing."""

from __future__ import annotations

from collections.abc import Iterator

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local.descriptors import DirectoryChain
from media_watch_tasks.local.file_systems import file_system_of
from media_watch_tasks.local.folder import FolderPages
from media_watch_tasks.local.reading_ahead import ReadingAhead
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.local.walk import TreeWalk
from media_watch_tasks.model.scans import KnownDirectories, ScanPage
from media_watch_tasks.scanning.checkpoints import Resume
from media_watch_tasks.scanning.filters import MediaFilter

__all__ = ["scan_pages"]


def scan_pages(
    source_id: str,
    root: LocalRoot,
    *,
    filter: MediaFilter,  # noqa: A002 - as in the scanner
    follow_symlinks: bool,
    known: KnownDirectories | None,
    resume_from: str | None,
    cancel: CancelToken,
) -> Iterator[ScanPage]:
    """The pages, see `MediaScanner.scan_assets`. Raises `ConfigurationError` at once if `resume_from` is none."""
    resume = None if resume_from is None else Resume.from_checkpoint(resume_from)

    def pages() -> Iterator[ScanPage]:
        cancel.raise_if_cancelled()
        with root.opened() as descriptor:
            try:
                chain = DirectoryChain(descriptor, follow_below=root.path if follow_symlinks else None)
            except OSError as error:
                raise root.offline(error) from error
            folders = FolderPages(source_id, root, descriptor, chain, filter, follow_symlinks, cancel)
            # Of what is known next to nothing has to be read, unless folders do not tell that they changed. Links are
            # judged in this process alone.
            reads_all = known is None or not file_system_of(descriptor).keeps_directory_times
            ahead = ReadingAhead(descriptor) if reads_all and not follow_symlinks else None
            try:
                yield from TreeWalk(root, descriptor, chain, folders, known, resume, cancel, ahead).pages()
            finally:
                if ahead is not None:
                    ahead.close()
                chain.close()

    return pages()
