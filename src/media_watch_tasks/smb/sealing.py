"""Signing, verifying, encrypting, decrypting of SMB2 frames (MS-SMB2 3.1.4.1, 3.1.4.3); smbprotocol derived the keys.

The cipher objects are made once a connection: making one costs more than signing a small message with it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from struct import Struct
from types import ModuleType

from media_watch_tasks.smb.wire import ProtocolViolation

__all__ = ["TAG", "TRANSFORM_PROTOCOL", "Sealer", "Signer", "make_sealer", "make_signer"]

TRANSFORM_PROTOCOL = b"\xfdSMB"
_TRANSFORM = Struct("<4s16s16sIHHQ")
_SIGNED_PART = 20
_ENCRYPTED = 1
TAG = 16
"""Length of an authentication tag."""
_MAC_NONCE = Struct("<QI")
_FROM_SERVER = 1
_HMAC_SHA256, _AES_CMAC, _AES_GMAC = 0, 1, 2
_CCM_CIPHERS, _GCM_CIPHERS = frozenset({1, 3}), frozenset({2, 4})


class Signer(ABC):
    """Computes the 16 bytes of signature of one message whose signature field holds zeros."""

    @abstractmethod
    def sign(self, message: bytes | memoryview, message_id: int, *, from_server: bool) -> bytes:
        """The signature."""


class _HmacSigner(Signer):
    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, message: bytes | memoryview, message_id: int, *, from_server: bool) -> bytes:  # noqa: ARG002
        return hmac.digest(self._key, message, hashlib.sha256)[:16]


class _CmacSigner(Signer):
    def __init__(self, key: bytes, crypto: ModuleType) -> None:
        self._fresh = crypto.cmac.CMAC(crypto.algorithms.AES(key))

    def sign(self, message: bytes | memoryview, message_id: int, *, from_server: bool) -> bytes:  # noqa: ARG002
        mac = self._fresh.copy()
        mac.update(message)
        return bytes(mac.finalize())


class _GmacSigner(Signer):
    def __init__(self, key: bytes, crypto: ModuleType) -> None:
        self._seal: Callable[[bytes, bytes, bytes | memoryview], bytes] = crypto.aead.AESGCM(key).encrypt

    def sign(self, message: bytes | memoryview, message_id: int, *, from_server: bool) -> bytes:
        nonce = _MAC_NONCE.pack(message_id, _FROM_SERVER if from_server else 0)
        return self._seal(nonce, b"", message)


class Sealer:
    """Encrypts what is sent and decrypts what comes, a whole frame at a time."""

    def __init__(
        self, *, cipher: int, encryption_key: bytes, decryption_key: bytes, session_id: int, crypto: ModuleType
    ) -> None:
        if cipher not in _CCM_CIPHERS | _GCM_CIPHERS:
            raise ProtocolViolation(f"the server chose the unknown cipher {cipher}")
        make = crypto.aead.AESCCM if cipher in _CCM_CIPHERS else crypto.aead.AESGCM
        self._nonce_size = 11 if cipher in _CCM_CIPHERS else 12
        self._encrypt = make(encryption_key).encrypt
        opener = make(decryption_key)
        self._decrypt: Callable[[bytes, memoryview, memoryview], bytes] = opener.decrypt
        # Where this release of cryptography can do that: in its place takes half the time of into new memory.
        in_place = getattr(opener, "decrypt_into", None) if cipher in _GCM_CIPHERS else None
        self._decrypt_into: Callable[[bytes, memoryview, memoryview, memoryview], int] | None = in_place
        self._invalid_tag = crypto.InvalidTag
        self._session_id = session_id
        # A nonce must never come twice under one key. The login has used random ones; behind a random start a counter
        # cannot repeat itself, and meets one of those with a chance of 2^-80.
        self._prefix = os.urandom(self._nonce_size - 6)
        self._count = 0

    def encrypt(self, frame: bytes) -> bytes:
        """The frame with a transform header (MS-SMB2 2.2.41)."""
        self._count += 1
        nonce = self._prefix + self._count.to_bytes(6, "little")
        header = _TRANSFORM.pack(
            TRANSFORM_PROTOCOL, bytes(TAG), nonce.ljust(16, b"\0"), len(frame), 0, _ENCRYPTED, self._session_id
        )
        sealed = self._encrypt(nonce, frame, header[_SIGNED_PART:])
        return b"".join((header[:4], sealed[-TAG:], header[_SIGNED_PART:], sealed[:-TAG]))

    def decrypt(self, buffer: bytearray, length: int) -> memoryview:
        """The frame within the transform header at the start of `buffer`, which has `TAG` bytes of room behind it.

        The frame may stand in `buffer` itself. Raises `ProtocolViolation` if it is not what the server sent.
        """
        if length < _TRANSFORM.size:
            raise ProtocolViolation(f"an encrypted frame of {length} bytes is too short")
        _, tag, nonce, size, _, flags, session_id = _TRANSFORM.unpack_from(buffer)
        if flags != _ENCRYPTED or session_id != self._session_id or size != length - _TRANSFORM.size:
            raise ProtocolViolation("the header of an encrypted frame does not fit the session or the frame")
        buffer[length : length + TAG] = tag
        view = memoryview(buffer)
        nonce, sealed = nonce[: self._nonce_size], view[_TRANSFORM.size : length + TAG]
        header, plain = view[_SIGNED_PART : _TRANSFORM.size], view[_TRANSFORM.size : length]
        try:
            if self._decrypt_into is None:
                return memoryview(self._decrypt(nonce, sealed, header))
            self._decrypt_into(nonce, sealed, header, plain)
        except self._invalid_tag:
            raise ProtocolViolation("an encrypted frame was changed on its way, or has another key") from None
        return plain


def make_signer(algorithm: int | None, key: bytes | None, crypto: ModuleType) -> Signer | None:
    """The signer for an algorithm id (MS-SMB2 2.2.3.1.7); None where nothing is signed."""
    if algorithm is None or key is None:
        return None
    if algorithm == _HMAC_SHA256:
        return _HmacSigner(key)
    if algorithm == _AES_CMAC:
        return _CmacSigner(key, crypto)
    if algorithm == _AES_GMAC:
        return _GmacSigner(key, crypto)
    raise ProtocolViolation(f"the server chose the unknown signing algorithm {algorithm}")


def make_sealer(
    cipher: int | None, encryption_key: bytes | None, decryption_key: bytes | None, session_id: int, crypto: ModuleType
) -> Sealer | None:
    """The sealer for a cipher id (MS-SMB2 2.2.3.1.2); None where nothing is encrypted."""
    if cipher is None or encryption_key is None or decryption_key is None:
        return None
    return Sealer(
        cipher=cipher,
        encryption_key=encryption_key,
        decryption_key=decryption_key,
        session_id=session_id,
        crypto=crypto,
    )
