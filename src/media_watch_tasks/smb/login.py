"""How to log in to a share, and what is known of a connection once smbprotocol has done that."""

from __future__ import annotations

import socket
from collections.abc import Callable

import attrs

__all__ = ["Credentials", "Login"]


@attrs.frozen(kw_only=True)
class Login:
    """A logged-in connection to a share, as `Channel` takes it over. The socket is the caller's to close."""

    sock: socket.socket = attrs.field(repr=False)
    session_id: int = attrs.field(repr=False)
    tree_id: int
    dialect: int
    multi_credit: bool
    max_transact: int
    max_read: int
    next_message_id: int
    credits: int
    is_dfs: bool
    signing: int | None
    """Algorithm id (MS-SMB2 2.2.3.1.7), None where nothing is signed."""
    signing_key: bytes | None = attrs.field(repr=False)
    cipher: int | None
    """Cipher id (MS-SMB2 2.2.3.1.2), None where nothing is encrypted."""
    encryption_key: bytes | None = attrs.field(repr=False)
    decryption_key: bytes | None = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Credentials:
    """Where to log in, and how. Its text holds no secret."""

    host: str
    port: int
    share: str
    username: str
    password: Callable[[], str] = attrs.field(repr=False)
    encrypt: bool | None
    require_signing: bool
    auth: str
    timeout: float

    @property
    def place(self) -> str:
        """The share, for messages."""
        return f"//{self.host}/{self.share}"
