"""Exports changed by hand, with heads that vouch for what was changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Edited"]


class Edited:
    """An export, and the ways to forge one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def head(self, **changes: Any) -> None:
        path = self.folder / "holdfast-export.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def replace(self, name: str, make: Callable[[Path], object]) -> None:
        (self.folder / name).unlink()
        make(self.folder / name)

    def records(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        self._lines("records.jsonl", change)

    def scopes(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        self._lines("scopes.jsonl", change)

    def record(self, name: str, /, **changes: Any) -> None:
        """Change fields of the line of a key; None takes one away."""

        def change(lines: list[bytes]) -> list[bytes]:
            found = [json.loads(line) for line in lines]
            for line in found:
                if line["key"] == name:
                    line.update(changes)
                    for field in [field for field, value in changes.items() if value is None]:
                        del line[field]
            return [json.dumps(line).encode() for line in found]

        self.records(change)

    def _lines(self, name: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
        data = b"".join(line + b"\n" for line in change((self.folder / name).read_bytes().split(b"\n")[:-1]))
        self.write(name, data)
        manifests = json.loads((self.folder / "holdfast-export.json").read_bytes())["manifests"]
        manifests[name] = hashlib.sha256(data).hexdigest()
        self.head(manifests=manifests)

    def copy(self, folder: Path) -> Edited:
        shutil.copytree(self.folder, folder)
        return Edited(folder)
