"""Reparse points: which are links (left alone), and which are files that the server merely keeps in an unusual way."""

from __future__ import annotations

from media_watch_tasks.smb.entries import REPARSE_POINT, Entry

__all__ = ["is_link"]

_NAME_SURROGATE = 0x2000_0000
# Tags without that bit that are no files either (MS-FSCC 2.1.2.1): NFS and WSL sockets, pipes and devices.
_SPECIAL = frozenset({0x8000_0014, 0x8000_0023, 0x8000_0024, 0x8000_0025, 0x8000_0026})


def is_link(entry: Entry) -> bool:
    """True if the entry stands for another place (symbolic link, junction) or is no file.

    Files that a server deduplicates or keeps in a slower store are reparse points too, and are read as usual. Where the
    tag is not known (0) the entry counts as a link.
    """
    if not entry.attributes & REPARSE_POINT:
        return False
    return not entry.tag or bool(entry.tag & _NAME_SURROGATE) or entry.tag in _SPECIAL
