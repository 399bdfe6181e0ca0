"""RemoteFolders: the folders on a WebDAV server that files go into, made as they are needed."""

from __future__ import annotations

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import DestinationOfflineError, MediaWatchError, TransientError
from media_watch_tasks.http.origins import shown
from media_watch_tasks.http.session import Headers, HttpSession

__all__ = ["RemoteFolders"]

_MADE_OR_THERE = frozenset({200, 201, 204, 405})
"""405 (Method Not Allowed): something has that URL already (RFC 4918, section 9.3.1)."""
_NO_PARENT = 409


class RemoteFolders:
    """Makes the folders below a URL, each of them once. Thread-safe: to make one twice is no error."""

    def __init__(self, session: HttpSession, base: str) -> None:
        self._session = session
        self._base = base
        self._known: set[str] = set()

    def make(self, url: str, *, headers: Headers, cancel: CancelToken) -> None:
        """Make the folders between the base and the file at this URL.

        Raises:
            DestinationOfflineError: the base itself is not there: it is not for a delivery to make it.
            anything that `HttpSession.request` raises.
        """
        folder = self._base
        for name in url.removeprefix(self._base).split("/")[:-1]:
            folder += f"{name}/"
            if name and folder not in self._known:
                expected = {*_MADE_OR_THERE, _NO_PARENT}
                answer = self._session.request("MKCOL", folder, headers=headers, expected=expected, cancel=cancel)
                if answer.status == _NO_PARENT:
                    raise self.missing(folder.rstrip("/"))
                self._known.add(folder)

    def missing(self, url: str) -> MediaWatchError:
        """What it means that the server knows no folder for this URL; what was made is asked for again from here on."""
        self._known.clear()
        if "/" in url.removeprefix(self._base):
            return TransientError(f"a folder of {shown(url)} is gone; the next attempt makes it again")
        return DestinationOfflineError(f"the folder {shown(self._base)} is not there: make it, or give the right URL")
