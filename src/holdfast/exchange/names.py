"""What the files of an export are called: by scope and key where that is a safe name on any machine."""

from __future__ import annotations

import re
from hashlib import sha256
from unicodedata import normalize

from ..address import Path

__all__ = ["Names"]

_LONGEST = 200  # bytes, so that a folder of some depth still fits around it
_ODD = re.compile(r"[^\w.\-+=@,()# ]|^ |[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_BITS = 1 << 24


class Names:
    """Gives each key a name that no other has, also where case or the form of letters makes no difference.

    Names given are remembered as bits of a Bloom filter of 2 MB, so for any number of them: now and then a name is
    taken for given that is not, which costs nothing but that the digest takes its place.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)

    def give(self, path: Path, key: str, encoding: str | None) -> str | None:
        """``files/namespace=prod/report.pdf``; None where that is not safe, or given."""
        parts = [*(f"{kind}={name}" for kind, name in path), *key.split("/")]
        name = "/".join(("files", *parts)) + (f".{encoding}" if encoding else "")
        if len(name.encode()) > _LONGEST or normalize("NFC", name) != name:
            return None
        if any(not part or _ODD.search(part) for part in parts):
            return None
        folded = normalize("NFC", name.casefold())
        folders = [folded[: at + 1] for at, letter in enumerate(folded) if letter == "/"]
        if any(map(self._given, (folded, f"{folded}/", *(folder[:-1] for folder in folders)))):
            return None  # as a file, as a folder, or with a file where its folder should be
        for text in (folded, *folders):
            for bit in _places(text):
                self._bits[bit >> 3] |= 1 << (bit & 7)
        return name

    def _given(self, text: str) -> bool:
        return all(self._bits[bit >> 3] & 1 << (bit & 7) for bit in _places(text))


def _places(text: str) -> list[int]:
    digest = sha256(text.encode()).digest()
    return [int.from_bytes(digest[at : at + 4]) % _BITS for at in (0, 4, 8)]
