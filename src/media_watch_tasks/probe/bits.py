"""Reads the bit fields of H.264 and H.265 parameter sets."""

from __future__ import annotations

__all__ = ["BitReader", "without_emulation"]


class BitReader:
    """Big-endian bits. Past the end it raises `ValueError`."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def u(self, bits: int) -> int:
        """An unsigned number of so many bits."""
        self._left -= bits
        if self._left < 0:
            raise ValueError("the parameter set is cut off")
        return (self._value >> self._left) & ((1 << bits) - 1)

    def flag(self) -> bool:
        """One bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:  # noqa: PLR2004 - no field is longer
                raise ValueError("an impossible Exp-Golomb number")
        return (1 << zeros) - 1 + self.u(zeros)

    def skip_ue(self, count: int) -> None:
        """Pass over so many Exp-Golomb numbers, signed or not."""
        for _ in range(count):
            self.ue()

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def without_emulation(data: bytes) -> bytes:
    """The payload of a NAL unit without its emulation prevention bytes (00 00 03 -> 00 00)."""
    return data.replace(b"\0\0\3", b"\0\0")
