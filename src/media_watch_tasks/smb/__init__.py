"""SMB and NAS shares: connection, scanner, resolver. Needs the extra `smb`."""

from media_watch_tasks.smb.connection import SmbConnection, SmbStatus
from media_watch_tasks.smb.entries import SmbEntry
from media_watch_tasks.smb.file import SmbFile
from media_watch_tasks.smb.resolver import SmbMediaResolver
from media_watch_tasks.smb.scanner import SmbMediaScanner

__all__ = ["SmbConnection", "SmbEntry", "SmbFile", "SmbMediaResolver", "SmbMediaScanner", "SmbStatus"]
